export {
  startControlPlane,
  type ControlPlane,
  type ControlPlaneOptions,
  type IngesterPart,
  type OperatorPart,
} from "./control-plane.ts";
export {
  startOperator,
  type OperatorBusPort,
  type OperatorOptions,
  type RunningOperator,
} from "./operator.ts";
export { readBusKeys, readIngesterCredentials, writeBusFiles, type BusInitOptions } from "./bus-files.ts";
export {
  INGEST_METRICS,
  KubeAccess,
  LoopbackAccess,
  startIngester,
  type AccessPort,
  type Ingester,
  type IngesterOptions,
} from "./ingest/index.ts";
export { identifyByTokenReview } from "./kube-identity.ts";
export { KubeObjectStore, type KubeObjectStoreOptions } from "./store/kube-object-store.ts";
export { MemoryObjectStore, type RecordedEvent } from "./store/memory-object-store.ts";
export type { ObjectStore } from "./store/object-store.ts";
