/**
 * Where the operator's objects live, as narrow as its controllers need it. Two adapters: the Kubernetes API
 * (`KubeObjectStore`), and memory for a first run without a cluster (`MemoryObjectStore`).
 *
 * Reads are of a cache and never wait; what this process wrote is in it at once, even while the watch still lags.
 * Listeners get keys (`namespace/name`, or `name`), never objects.
 */
import type {
  AutoGLMModel,
  AutoGLMNode,
  AutoGLMPrompt,
  AutoGLMTask,
  ModelStatus,
  NodeStatus,
  TaskStatus,
} from "@autoglm/api";
import type { ConditionDraft, KubeObject, Node, StatusWriteOutcome } from "@autoglm/kube";

/** OpenYurt's node pool, whichever version serves it. */
export interface NodePool extends KubeObject {
  readonly spec?: { readonly type?: string };
}

export interface StoredObjects {
  readonly AutoGLMTask: AutoGLMTask;
  readonly AutoGLMModel: AutoGLMModel;
  readonly AutoGLMPrompt: AutoGLMPrompt;
  readonly AutoGLMNode: AutoGLMNode;
  readonly Node: Node;
  readonly NodePool: NodePool;
}
export type StoredKind = keyof StoredObjects;

/** What the node's enrolment writes; the node controller leaves these fields alone. */
export const ENROLMENT_FIELDS = ["nodeId", "publicKey", "usedTokenSha256", "enrolledAt"] as const;
export type Enrolment = Pick<NodeStatus, (typeof ENROLMENT_FIELDS)[number]>;

interface StoredStatuses {
  readonly AutoGLMTask: TaskStatus;
  readonly AutoGLMModel: ModelStatus;
  readonly AutoGLMNode: Omit<NodeStatus, keyof Enrolment>;
}
export type StatusKind = keyof StoredStatuses;

/** A status as a plan states it: the store adds `observedGeneration` and the times of conditions. */
export type StatusDraftOf<K extends StatusKind> = Omit<
  StoredStatuses[K],
  "conditions" | "observedGeneration"
> & {
  readonly conditions: readonly ConditionDraft[];
};

export interface StoreEvent {
  readonly regarding: StoredObjects[StatusKind];
  readonly type: "Normal" | "Warning";
  /** CamelCase: why. */
  readonly reason: string;
  /** CamelCase: what was done. */
  readonly action: string;
  /** For people; no input or result text. */
  readonly note: string;
}

export interface ObjectStore {
  /** Keeps the cache until the signal fires; rejects never. Subscribe before. */
  run(signal: AbortSignal): Promise<void>;
  /** Resolves when every kind was read once. */
  waitForSync(signal: AbortSignal): Promise<void>;
  hasSynced(): boolean;
  subscribe(kind: StoredKind, listener: (key: string) => void): void;
  get<K extends StoredKind>(kind: K, key: string): StoredObjects[K] | undefined;
  list<K extends StoredKind>(kind: K): readonly StoredObjects[K][];
  /** Writes the whole status, if it differs. After `stale` and `gone` nothing was written; an event follows. */
  writeStatus<K extends StatusKind>(
    kind: K,
    object: StoredObjects[K],
    draft: StatusDraftOf<K>,
  ): Promise<StatusWriteOutcome>;
  /** Adds or removes the task's finalizer and returns the task as it is then; undefined when it is gone. */
  setFinalizer(task: AutoGLMTask, isPresent: boolean): Promise<AutoGLMTask | undefined>;
  /** No error when it is gone already, or another one by now. */
  deleteTask(task: AutoGLMTask): Promise<void>;
  /** No error when it exists. */
  createNode(name: string): Promise<void>;
  /** The node as it is now, past the cache: a one-time token is judged by it. */
  readNode(name: string): Promise<AutoGLMNode | undefined>;
  recordEnrolment(node: AutoGLMNode, enrolment: Enrolment): Promise<void>;
  /** Text by key, UTF-8; undefined when there is no such ConfigMap. */
  readConfigMap(namespace: string, name: string): Promise<Readonly<Record<string, string>> | undefined>;
  /** Never waits, never throws. */
  recordEvent(event: StoreEvent): void;
}

export function keyOfObject(object: {
  readonly metadata: { name: string; namespace?: string | undefined };
}): string {
  const { name, namespace } = object.metadata;
  return namespace === undefined ? name : `${namespace}/${name}`;
}
