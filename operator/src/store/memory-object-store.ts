/**
 * Objects in memory, with the rules of the API server that the controllers rely on: the schema with its defaults,
 * the rules of create and update, uid, resourceVersion, generation that counts changes of spec, finalizers that
 * delay a deletion. For a first run without a cluster; nothing survives the process.
 */
import { randomUUID } from "node:crypto";
import {
  API_VERSION,
  AutoglmError,
  checkTaskSpec,
  checkTaskUpdate,
  KINDS,
  manifestSchema,
  TASK_FINALIZER,
  type AutoGLMNode,
  type AutoGLMTask,
  type KindName,
  type ObjectMeta,
} from "@autoglm/api";
import { mergeConditions, type Condition, type Node, type StatusWriteOutcome } from "@autoglm/kube";
import { isDeepStrictEqual } from "node:util";
import {
  keyOfObject,
  type Enrolment,
  type NodePool,
  type ObjectStore,
  type StatusDraftOf,
  type StatusKind,
  type StoredKind,
  type StoredObjects,
  type StoreEvent,
} from "./object-store.ts";

type Stored = StoredObjects[StoredKind];

const MAX_EVENTS = 1000;

export interface RecordedEvent extends Omit<StoreEvent, "regarding"> {
  readonly kind: string;
  readonly key: string;
  readonly at: string;
}

export class MemoryObjectStore implements ObjectStore {
  readonly #objects: { readonly [K in StoredKind]: Map<string, Stored> } = {
    AutoGLMTask: new Map(),
    AutoGLMModel: new Map(),
    AutoGLMPrompt: new Map(),
    AutoGLMNode: new Map(),
    Node: new Map(),
    NodePool: new Map(),
  };
  readonly #configMaps = new Map<string, Readonly<Record<string, string>>>();
  readonly #listeners: { readonly kind: StoredKind; readonly listener: (key: string) => void }[] = [];
  readonly #events: RecordedEvent[] = [];
  readonly #now: () => number;
  #version = 0;

  constructor(now: () => number = Date.now) {
    this.#now = now;
  }

  async run(signal: AbortSignal): Promise<void> {
    for (const kind of Object.keys(this.#objects) as StoredKind[]) {
      for (const key of this.#objects[kind].keys()) this.#tell(kind, key);
    }
    if (signal.aborted) return;
    await new Promise<void>((resolve) => signal.addEventListener("abort", () => resolve(), { once: true }));
  }

  async waitForSync(): Promise<void> {}

  hasSynced(): boolean {
    return true;
  }

  subscribe(kind: StoredKind, listener: (key: string) => void): void {
    this.#listeners.push({ kind, listener });
  }

  get<K extends StoredKind>(kind: K, key: string): StoredObjects[K] | undefined {
    // Each map holds objects of its kind alone: #store is the only writer.
    return this.#objects[kind].get(key) as StoredObjects[K] | undefined;
  }

  list<K extends StoredKind>(kind: K): readonly StoredObjects[K][] {
    return [...this.#objects[kind].values()] as StoredObjects[K][];
  }

  /**
   * Creates or replaces an object from a manifest, as `kubectl apply` does. Returns its key.
   * @throws AutoglmError `Invalid`, naming the field
   */
  apply(manifest: unknown): string {
    const kind = kindOf(manifest);
    const parsed = manifestSchema(kind).safeParse(manifest);
    if (!parsed.success) {
      const [issue] = parsed.error.issues;
      throw invalid(issue?.path.join(".") ?? "", issue?.message ?? "does not fit the schema");
    }
    const { metadata, spec } = parsed.data as {
      metadata: Partial<ObjectMeta> & { name: string };
      spec: unknown;
    };
    const namespace = KINDS[kind].scope === "Namespaced" ? (metadata.namespace ?? "default") : undefined;
    const named = { ...metadata, ...(namespace === undefined ? {} : { namespace }) };
    const key = keyOfObject({ metadata: named });
    const previous = this.#objects[kind].get(key) as StoredObjects[StatusKind] | undefined;
    if (kind === "AutoGLMTask") {
      // The schema has just made it one.
      const next = { spec: spec as AutoGLMTask["spec"] };
      refuse(checkTaskSpec(next.spec));
      if (previous !== undefined) refuse(checkTaskUpdate(previous as AutoGLMTask, { ...previous, ...next }));
    }
    const isSpecChanged = previous === undefined || !isDeepStrictEqual(previous.spec, spec);
    const object = {
      ...previous,
      apiVersion: API_VERSION,
      kind,
      metadata: {
        uid: randomUUID(),
        creationTimestamp: seconds(this.#now()),
        ...previous?.metadata,
        ...named,
        generation: (previous?.metadata.generation ?? 0) + (isSpecChanged ? 1 : 0),
      },
      spec,
    };
    this.#store(kind, object as Stored);
    return key;
  }

  /** Puts an object of others (Node, NodePool) as it is. */
  put(kind: "Node" | "NodePool", object: Node | NodePool): void {
    this.#store(kind, object);
  }

  putConfigMap(namespace: string, name: string, content: Readonly<Record<string, string>>): void {
    this.#configMaps.set(`${namespace}/${name}`, content);
  }

  /** As `kubectl delete`: at once, or when the last finalizer is gone. */
  delete(kind: StoredKind, key: string): void {
    const object = this.#objects[kind].get(key);
    if (object === undefined) return;
    const { metadata } = object;
    if ((metadata.finalizers ?? []).length === 0) {
      this.#objects[kind].delete(key);
      this.#tell(kind, key);
    } else if (metadata.deletionTimestamp === undefined) {
      const deletionTimestamp = seconds(this.#now());
      this.#store(kind, { ...object, metadata: { ...metadata, deletionTimestamp } } as Stored);
    }
  }

  events(): readonly RecordedEvent[] {
    return this.#events;
  }

  async writeStatus<K extends StatusKind>(
    kind: K,
    object: StoredObjects[K],
    draft: StatusDraftOf<K>,
  ): Promise<StatusWriteOutcome> {
    const key = keyOfObject(object);
    const current: StoredObjects[StatusKind] | undefined = this.get<StatusKind>(kind, key);
    if (current === undefined || current.metadata.uid !== object.metadata.uid) return "gone";
    const { generation } = object.metadata;
    const enrolment = kind === "AutoGLMNode" ? enrolmentOf((current as AutoGLMNode).status) : {};
    // What this store wrote earlier: conditions made by mergeConditions.
    const conditions = (current.status?.conditions ?? []) as readonly Condition[];
    // Through JSON, as the API server would see it: no undefined fields.
    const status = JSON.parse(
      JSON.stringify({
        ...draft,
        ...enrolment,
        observedGeneration: generation,
        conditions: mergeConditions(conditions, draft.conditions, {
          nowMs: this.#now(),
          observedGeneration: generation,
        }),
      }),
    ) as unknown;
    if (isDeepStrictEqual(status, current.status)) return "unchanged";
    const checked = KINDS[kind].status.safeParse(status);
    if (!checked.success) {
      const [issue] = checked.error.issues;
      throw invalid(`status.${issue?.path.join(".")}`, issue?.message ?? "does not fit the schema");
    }
    this.#store(kind, { ...current, status } as Stored);
    return "written";
  }

  async setFinalizer(task: AutoGLMTask, isPresent: boolean): Promise<AutoGLMTask | undefined> {
    const key = keyOfObject(task);
    const current = this.get("AutoGLMTask", key);
    if (current?.metadata.uid !== task.metadata.uid) return undefined;
    const others = (current.metadata.finalizers ?? []).filter((one) => one !== TASK_FINALIZER);
    const finalizers = isPresent ? [...others, TASK_FINALIZER] : others;
    this.#store("AutoGLMTask", { ...current, metadata: { ...current.metadata, finalizers } });
    if (current.metadata.deletionTimestamp !== undefined) this.delete("AutoGLMTask", key);
    return this.get("AutoGLMTask", key);
  }

  async deleteTask(task: AutoGLMTask): Promise<void> {
    const key = keyOfObject(task);
    if (this.get("AutoGLMTask", key)?.metadata.uid === task.metadata.uid) this.delete("AutoGLMTask", key);
  }

  async createNode(name: string): Promise<void> {
    if (this.#objects.AutoGLMNode.has(name)) return;
    this.apply({ apiVersion: API_VERSION, kind: "AutoGLMNode", metadata: { name }, spec: {} });
  }

  async readNode(name: string): Promise<AutoGLMNode | undefined> {
    return this.get("AutoGLMNode", name);
  }

  async recordEnrolment(node: AutoGLMNode, enrolment: Enrolment): Promise<void> {
    const current = this.get("AutoGLMNode", node.metadata.name);
    if (current === undefined) return;
    this.#store("AutoGLMNode", { ...current, status: { ...current.status, ...enrolment } });
  }

  async readConfigMap(
    namespace: string,
    name: string,
  ): Promise<Readonly<Record<string, string>> | undefined> {
    return this.#configMaps.get(`${namespace}/${name}`);
  }

  recordEvent({ regarding, ...event }: StoreEvent): void {
    const at = new Date(this.#now()).toISOString();
    this.#events.push({ ...event, kind: regarding.kind, key: keyOfObject(regarding), at });
    if (this.#events.length > MAX_EVENTS) this.#events.shift();
  }

  #store(kind: StoredKind, object: Stored): void {
    this.#version += 1;
    const metadata = { ...object.metadata, resourceVersion: String(this.#version) };
    const key = keyOfObject(object);
    this.#objects[kind].set(key, { ...object, metadata } as Stored);
    this.#tell(kind, key);
  }

  #tell(kind: StoredKind, key: string): void {
    for (const one of this.#listeners) if (one.kind === kind) one.listener(key);
  }
}

function kindOf(manifest: unknown): KindName {
  const kind = (manifest as { readonly kind?: unknown } | null)?.kind;
  if (typeof kind === "string" && kind in KINDS) return kind as KindName;
  throw invalid("kind", `must be one of ${Object.keys(KINDS).join(", ")}`);
}

function enrolmentOf(status: Enrolment = {}): Enrolment {
  const { nodeId, publicKey, usedTokenSha256, enrolledAt } = status;
  return { nodeId, publicKey, usedTokenSha256, enrolledAt };
}

function refuse(problems: readonly { readonly field: string; readonly message: string }[]): void {
  const [problem] = problems;
  if (problem !== undefined) throw invalid(problem.field, problem.message);
}

const invalid = (field: string, message: string) =>
  new AutoglmError("Invalid", `${field}: ${message}`, { details: { field } });

const seconds = (ms: number) => `${new Date(ms).toISOString().slice(0, 19)}Z`;
