export {
  AutoglmError,
  ERROR_FAMILIES,
  assertNever,
  hasErrorCode,
  isAutoglmError,
  toAutoglmError,
  type AutoglmErrorOptions,
  type ErrorCode,
  type ErrorFamily,
  type ErrorRetry,
} from "./errors.ts";
export { QUANTITY_PATTERN, formatQuantity, parseQuantityBytes } from "./quantity.ts";
export { DEFAULT_TIER_FLOOR_MIB, TIERS, compareTiers, type Tier } from "./tiers.ts";
export {
  ANNOTATION_OPENYURT_AUTONOMY,
  API_VERSION,
  GROUP,
  LABEL_GFD_MEMORY_MIB,
  LABEL_GFD_PRODUCT,
  LABEL_GFD_REPLICAS,
  LABEL_INSTANCE_TYPE,
  LABEL_LOCATION,
  LABEL_OPENYURT_EDGE_WORKER,
  LABEL_OPENYURT_POOL,
  LABEL_TIER,
  NODE_ID_PATTERN,
  TASK_FINALIZER,
  VERSION,
} from "./names.ts";
export {
  SPEC_TASK_TYPES,
  TASK_TYPES,
  TASK_TYPE_ALIASES,
  TASK_TYPE_CONTRACTS,
  canonicalTaskType,
  type GateSignal,
  type ItemKind,
  type SpecTaskType,
  type TaskType,
  type TaskTypeContract,
} from "./task-types.ts";
export {
  TENSOR_DATATYPES,
  huggingFaceShape,
  itemOutputSchema,
  type ItemOutput,
  type OutputOf,
  type ScoreSource,
  type TensorDatatype,
  type TextClassificationOutput,
  type TextGenerationOutput,
  type TokenClassificationOutput,
} from "./task-outputs.ts";
export {
  MODEL_CONDITIONS,
  NODE_CONDITIONS,
  NODE_REASONS,
  TASK_CONDITIONS,
  TASK_REASONS,
  type ModelConditionType,
  type NodeConditionType,
  type NodeReason,
  type TaskConditionType,
  type TaskReason,
} from "./reasons.ts";
export { conditionSchema, type CelRule, type Condition, type ObjectMeta } from "./kinds/meta.ts";
export {
  INPUT_FORMATS,
  MAX_INLINE_ITEMS,
  MAX_INLINE_ITEM_CHARACTERS,
  PREPROCESS_STEPS,
  type InputFormat,
  type PreprocessStep,
} from "./kinds/task-input.ts";
export { typesOfParameter, type TaskParameters } from "./kinds/task-parameters.ts";
export {
  promptSpecSchema,
  workPromptSchema,
  type PromptExample,
  type PromptSpec,
  type TaskPrompt,
  type WorkPrompt,
} from "./kinds/prompt.ts";
export { gatePolicySchema, type GatePolicy, type Gating } from "./kinds/gating.ts";
export {
  taskSpecSchema,
  type PlacementSpec,
  type TaskSpec,
  type TaskSpecInput,
  type Toleration,
} from "./kinds/task.ts";
export {
  MAX_PLACEMENTS,
  taskStatusSchema,
  type PlacementPhase,
  type PlacementStatus,
  type TaskStatus,
} from "./kinds/task-status.ts";
export {
  modelSpecSchema,
  modelStatusSchema,
  type Endpoint,
  type ModelFile,
  type ModelSpec,
  type ModelStatus,
  type ModelVariant,
} from "./kinds/model.ts";
export {
  TIER_SOURCES,
  nodeSpecSchema,
  nodeStatusSchema,
  type NodeSpec,
  type NodeStatus,
  type TierSource,
} from "./kinds/node.ts";
export {
  KINDS,
  manifestSchema,
  type AutoGLMModel,
  type AutoGLMNode,
  type AutoGLMPrompt,
  type AutoGLMTask,
  type KindContract,
  type KindName,
  type ObjectOfKind,
  type PrinterColumn,
} from "./kinds/kinds.ts";
export {
  toCustomResourceDefinition,
  type CustomResourceDefinition,
  type CustomResourceDefinitionVersion,
} from "./crd/custom-resource-definition.ts";
export { toStructuralSchema, type StructuralSchema } from "./crd/structural-schema.ts";
export { checkTaskSpec, checkTaskUpdate, type FieldProblem } from "./crd/rules.ts";
export {
  FORGET_SUBJECT,
  STREAM_DESIRED,
  STREAM_LEDGER,
  STREAM_RESULTS,
  STREAM_SPECS,
  chunkSubject,
  desiredSubject,
  fetchDesiredSubject,
  fetchSpecSubject,
  heartbeatSubject,
  ledgerSubject,
  parseChunkSubject,
  pokeSubject,
  specSubject,
  type ChunkAddress,
} from "./subjects.ts";
export {
  MAX_BODY_BYTES,
  WIRE_VERSION,
  assignmentKeyText,
  assignmentKeySchema,
  assignmentSchema,
  desiredDocumentSchema,
  itemRangesSchema,
  nodeIdSchema,
  workSpecSchema,
  type Assignment,
  type AssignmentKey,
  type DesiredDocument,
  type EndpointWorkModel,
  type ItemRanges,
  type OnnxWorkModel,
  type WorkFile,
  type WorkInput,
  type WorkModel,
  type WorkSpec,
} from "./messages/documents.ts";
export {
  HEADER_GRANT,
  HEADER_SIGNATURE,
  grantSchema,
  itemResultSchema,
  ledgerSchema,
  resultChunkSchema,
  resultPageSchema,
  resultRecordSchema,
  answeredBySchema,
  gateRecordSchema,
  type AnsweredBy,
  type GateRecord,
  type Grant,
  type ItemResult,
  type Ledger,
  type ResultChunk,
  type ResultPage,
  type ResultRecord,
} from "./messages/results.ts";
export {
  assignmentReportSchema,
  heartbeatSchema,
  modelReportSchema,
  type AssignmentReport,
  type Heartbeat,
  type ModelReport,
} from "./messages/heartbeat.ts";
export {
  ENROL_AUDIENCE,
  enrolmentReplySchema,
  enrolmentRequestSchema,
  type EnrolmentReply,
  type EnrolmentRequest,
  renewalRequestSchema,
  renewalText,
  type RenewalRequest,
} from "./messages/enrolment.ts";
export { decodeMessage, encodeMessage } from "./messages/wire.ts";
