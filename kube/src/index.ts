export {
  KubeClient,
  type ApplyOptions,
  type CallOptions,
  type DeleteOptions,
  type KubeClientOptions,
  type ListSelector,
  type ObjectList,
  type PatchOptions,
  type RawRequest,
} from "./client.ts";
export {
  formatMicroTime,
  formatTime,
  mergeConditions,
  type Condition,
  type ConditionDraft,
  type ConditionMoment,
  type ConditionStatus,
} from "./conditions.ts";
export {
  applyCrds,
  CUSTOM_RESOURCE_DEFINITIONS,
  type ApplyCrdsOptions,
  type CustomResourceDefinition,
} from "./crd.ts";
export { EventRecorder, type EventDraft, type EventRecorderOptions } from "./events.ts";
export { Informer, type ChangeListener, type InformerOptions } from "./informer.ts";
export { loadKubeClient, type LoadOptions } from "./load.ts";
export type { IndexFunction, ObjectChange, ObjectReader } from "./object-cache.ts";
export {
  KUBE_METRICS,
  type Clock,
  type KubeMetricName,
  type KubeMetrics,
  type Log,
  type LogFields,
  type MetricDefinition,
  type MetricLabels,
  type Random,
} from "./ports.ts";
export {
  WorkQueue,
  type AddOptions,
  type Reconcile,
  type ReconcileOutcome,
  type WorkQueueOptions,
} from "./queue.ts";
export {
  CONFIG_MAPS,
  NAMESPACES,
  NODES,
  SECRETS,
  apiVersionOf,
  keyOf,
  parseKey,
  resourceName,
  type ConfigMap,
  type KubeObject,
  type Node,
  type ObjectMetadata,
  type ObjectReference,
  type OwnerReference,
  type Resource,
  type Secret,
} from "./resource.ts";
export {
  reviewAccess,
  reviewToken,
  type AccessAnswer,
  type AccessQuestion,
  type ReviewedUser,
  type TokenReviewOptions,
} from "./reviews.ts";
export {
  StatusWriter,
  type ObjectWithStatus,
  type StatusDraft,
  type StatusWriteOutcome,
  type StatusWriterOptions,
} from "./status-writer.ts";
