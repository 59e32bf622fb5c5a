/** Condition types of an AutoGLMTask. */
export const TASK_CONDITIONS = ["Accepted", "Placed", "Running", "Ready", "Complete", "Failed"] as const;
export type TaskConditionType = (typeof TASK_CONDITIONS)[number];

/**
 * The one dominant reason of a task, from a closed list. Those of the first group can be mended by the author of
 * the task, those of the second say what it waits for, those of the third say how far it is.
 */
export const TASK_REASONS = [
  "TypeNotResolved",
  "ModelNotFound",
  "ModelDoesNotServeType",
  "NoVariantFitsTier",
  "PromptNotFound",
  "PromptInvalid",
  "PromptNeeded",
  "ParametersInvalid",
  "GateModelInvalid",
  "SiteOnlyForbidsEndpoint",
  "ConfigMapNotFound",
  "ConfigMapKeyNotFound",
  "InputEmpty",
  "InputTooLarge",
  "InputFileNotFound",
  "InputFileOutsideDataRoot",
  "InputFormatNotRecognised",
  "InputFieldNotFound",
  "InputHostNotAllowed",
  "InputUnavailable",
  "EndpointRefused",
  "EndpointUnavailable",
  "EndpointKeyMissing",
  "ModelDigestMismatch",
  "ModelUnavailable",
  "ModelLoadFailed",
  "InsufficientMemory",
  "InsufficientTier",
  "NoNodeMatches",
  "NodeNotReady",
  "NoNodes",
  "Suspended",
  "ResultStoreFull",
  "OutboxFull",
  "NodeUnreachable",
  "Placed",
  "Downloading",
  "Loading",
  "Running",
  "Completed",
  "WaitingForNextRun",
  "Deleting",
  "Internal",
] as const;
export type TaskReason = (typeof TASK_REASONS)[number];

/** Why one node can't take one task; the order is the order of filters, cheapest and most final first. */
export const NODE_REASONS = [
  "LocationMismatch",
  "PoolMismatch",
  "SelectorMismatch",
  "TaintNotTolerated",
  "NodeNotReady",
  "EndpointKeyMissing",
  "TierUnknown",
  "InsufficientTier",
  "InsufficientMemory",
] as const;
export type NodeReason = (typeof NODE_REASONS)[number];

export const NODE_CONDITIONS = ["Ready", "TierConflict"] as const;
export type NodeConditionType = (typeof NODE_CONDITIONS)[number];

export const MODEL_CONDITIONS = ["Ready"] as const;
export type ModelConditionType = (typeof MODEL_CONDITIONS)[number];
