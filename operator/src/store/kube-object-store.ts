/**
 * Objects in the Kubernetes API: one informer per kind, one status writer, one event recorder.
 *
 * What this process has written is laid over the cache until the watch shows it, so that a pass right after a write
 * decides on what was written: the operator is the only writer of these statuses, so its last word is the newest.
 */
import { isDeepStrictEqual } from "node:util";
import {
  API_VERSION,
  hasErrorCode,
  KINDS,
  TASK_FINALIZER,
  VERSION,
  GROUP,
  type AutoGLMModel,
  type AutoGLMNode,
  type AutoGLMPrompt,
  type AutoGLMTask,
  type KindName,
} from "@autoglm/api";
import {
  CONFIG_MAPS,
  EventRecorder,
  Informer,
  mergeConditions,
  NODES,
  StatusWriter,
  type Clock,
  type Condition,
  type ConditionDraft,
  type KubeClient,
  type KubeMetrics,
  type KubeObject,
  type Log,
  type Resource,
  type StatusWriteOutcome,
} from "@autoglm/kube";
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

const ENROLMENT_MANAGER = "autoglm-enrolment";
/** By then a watch has delivered, or was started again from a list. */
const OVERLAY_MS = 30_000;

function resourceOf<T extends KubeObject>(kind: KindName): Resource<T> {
  const { plural, scope } = KINDS[kind];
  return { group: GROUP, version: VERSION, plural, kind, namespaced: scope === "Namespaced" };
}
/** An object of ours as kube's generics want it: the same JSON, with a looser metadata type. */
type AsKube<T> = T & KubeObject;
const TASKS = resourceOf<AsKube<AutoGLMTask>>("AutoGLMTask");
const MODELS = resourceOf<AsKube<AutoGLMModel>>("AutoGLMModel");
const PROMPTS = resourceOf<AsKube<AutoGLMPrompt>>("AutoGLMPrompt");
const AUTOGLM_NODES = resourceOf<AsKube<AutoGLMNode>>("AutoGLMNode");
const STATUS_RESOURCES: { readonly [K in StatusKind]: Resource } = {
  AutoGLMTask: TASKS,
  AutoGLMModel: MODELS,
  AutoGLMNode: AUTOGLM_NODES,
};

export interface KubeObjectStoreOptions {
  readonly client: KubeClient;
  /** Which replica: the pod's name. */
  readonly instance: string;
  readonly log?: Log;
  readonly metrics?: KubeMetrics;
  readonly clock?: Clock;
}

interface Overlay {
  readonly uid: string;
  readonly status: Readonly<Record<string, unknown>>;
  readonly untilMs: number;
  readonly writtenAtMs: number;
}

export class KubeObjectStore implements ObjectStore {
  readonly #client: KubeClient;
  readonly #options: Omit<KubeObjectStoreOptions, "client" | "instance">;
  readonly #informers = new Map<StoredKind, Informer<KubeObject>>();
  readonly #listeners = new Map<StoredKind, ((key: string) => void)[]>();
  readonly #writer: StatusWriter;
  readonly #events: EventRecorder;
  /** By kind and key. */
  readonly #overlays = new Map<string, Overlay>();
  /** Tasks as a change of their finalizers left them, by key, until the cache is as new. */
  readonly #patched = new Map<string, KubeObject>();
  readonly #now: () => number;

  constructor({ client, instance, ...options }: KubeObjectStoreOptions) {
    this.#client = client;
    this.#options = options;
    this.#now = () => options.clock?.now() ?? Date.now();
    this.#writer = new StatusWriter({ client, ...options });
    this.#events = new EventRecorder({ client, controller: `${GROUP}/operator`, instance, ...options });
    this.#watch("AutoGLMTask", TASKS);
    this.#watch("AutoGLMModel", MODELS);
    this.#watch("AutoGLMPrompt", PROMPTS);
    this.#watch("AutoGLMNode", AUTOGLM_NODES);
    this.#watch("Node", NODES);
  }

  async run(signal: AbortSignal): Promise<void> {
    const pools = await this.#discoverNodePools(signal);
    if (pools !== undefined) this.#watch("NodePool", pools);
    const informers = [...this.#informers.values()].map((informer) => informer.run(signal));
    await Promise.all([...informers, this.#events.run(signal)]);
  }

  async waitForSync(signal: AbortSignal): Promise<void> {
    await Promise.all([...this.#informers.values()].map((informer) => informer.waitForSync(signal)));
  }

  hasSynced(): boolean {
    return [...this.#informers.values()].every((informer) => informer.hasSynced);
  }

  subscribe(kind: StoredKind, listener: (key: string) => void): void {
    this.#listeners.set(kind, [...(this.#listeners.get(kind) ?? []), listener]);
  }

  get<K extends StoredKind>(kind: K, key: string): StoredObjects[K] | undefined {
    const cached = this.#informers.get(kind)?.objects.get(key);
    // The informer of a kind holds objects of that kind, checked by the CRD's schema.
    return cached === undefined ? undefined : (this.#withOwnWrites(kind, key, cached) as StoredObjects[K]);
  }

  list<K extends StoredKind>(kind: K): readonly StoredObjects[K][] {
    const cached = this.#informers.get(kind)?.objects.list() ?? [];
    return cached.map((object) => this.#withOwnWrites(kind, keyOfObject(object), object) as StoredObjects[K]);
  }

  async writeStatus<K extends StatusKind>(
    kind: K,
    object: StoredObjects[K],
    draft: StatusDraftOf<K>,
  ): Promise<StatusWriteOutcome> {
    const writtenAtMs = this.#now();
    const outcome = await this.#writer.write(STATUS_RESOURCES[kind], object, { ...draft });
    if (outcome === "written") {
      this.#overlays.set(`${kind}/${keyOfObject(object)}`, {
        uid: object.metadata.uid,
        // As it comes back: without undefined fields.
        status: JSON.parse(JSON.stringify(draft)) as Record<string, unknown>,
        writtenAtMs,
        untilMs: this.#now() + OVERLAY_MS,
      });
    }
    return outcome;
  }

  async setFinalizer(task: AutoGLMTask, isPresent: boolean): Promise<AutoGLMTask | undefined> {
    const { name, namespace, uid, resourceVersion, finalizers = [] } = task.metadata;
    const others = finalizers.filter((one) => one !== TASK_FINALIZER);
    const metadata = { uid, resourceVersion, finalizers: isPresent ? [...others, TASK_FINALIZER] : others };
    try {
      const patched = await this.#client.mergePatch(TASKS, { name, namespace }, { metadata });
      if (isPresent) this.#patched.set(keyOfObject(task), patched);
      return patched;
    } catch (error) {
      if (!hasErrorCode(error, "NotFound")) throw error;
      return undefined;
    }
  }

  async deleteTask(task: AutoGLMTask): Promise<void> {
    const { name, namespace, uid } = task.metadata;
    try {
      await this.#client.delete(TASKS, { name, namespace }, { uid });
    } catch (error) {
      if (!hasErrorCode(error, "NotFound") && !hasErrorCode(error, "Conflict")) throw error;
    }
  }

  async createNode(name: string): Promise<void> {
    // The API server fills in the rest of the metadata.
    const node = { apiVersion: API_VERSION, kind: "AutoGLMNode", metadata: { name }, spec: {} };
    try {
      await this.#client.create<KubeObject>(AUTOGLM_NODES, node);
    } catch (error) {
      if (!hasErrorCode(error, "AlreadyExists")) throw error;
    }
  }

  async readNode(name: string): Promise<AutoGLMNode | undefined> {
    return this.#client.find(AUTOGLM_NODES, { name });
  }

  async recordEnrolment(node: AutoGLMNode, enrolment: Enrolment): Promise<void> {
    const { name, uid } = node.metadata;
    await this.#client.applyStatus<KubeObject & { readonly status: Enrolment }>(
      AUTOGLM_NODES as Resource<KubeObject & { readonly status: Enrolment }>,
      { apiVersion: API_VERSION, kind: "AutoGLMNode", metadata: { name, uid }, status: enrolment },
      { fieldManager: ENROLMENT_MANAGER },
    );
  }

  async readConfigMap(
    namespace: string,
    name: string,
  ): Promise<Readonly<Record<string, string>> | undefined> {
    const configMap = await this.#client.find(CONFIG_MAPS, { namespace, name });
    if (configMap === undefined) return undefined;
    const binary = Object.entries(configMap.binaryData ?? {}).map(
      ([key, value]) => [key, Buffer.from(value, "base64").toString("utf8")] as const,
    );
    return { ...configMap.data, ...Object.fromEntries(binary) };
  }

  recordEvent(event: StoreEvent): void {
    this.#events.record(event);
  }

  #watch<T extends KubeObject>(kind: StoredKind, resource: Resource<T>): void {
    const informer = new Informer<KubeObject>({ client: this.#client, resource, ...this.#options });
    informer.subscribe(({ key, type }) => {
      if (type === "deleted") this.#overlays.delete(`${kind}/${key}`);
      if (type === "deleted" && kind === "AutoGLMTask") this.#patched.delete(key);
      for (const listener of this.#listeners.get(kind) ?? []) listener(key);
    });
    this.#informers.set(kind, informer);
  }

  #withOwnWrites(kind: StoredKind, key: string, cached: KubeObject): KubeObject {
    return this.#withStatus(kind, key, kind === "AutoGLMTask" ? this.#withFinalizer(key, cached) : cached);
  }

  #withStatus(kind: StoredKind, key: string, cached: KubeObject): KubeObject {
    const overlay = this.#overlays.get(`${kind}/${key}`);
    if (overlay === undefined) return cached;
    const { status = {} } = cached as { readonly status?: Readonly<Record<string, unknown>> };
    const isSeen = isDeepStrictEqual(
      comparable(status, overlay.status),
      comparable(overlay.status, overlay.status),
    );
    if (isSeen || overlay.uid !== cached.metadata.uid || this.#now() > overlay.untilMs) {
      this.#overlays.delete(`${kind}/${key}`);
      return cached;
    }
    const { generation } = cached.metadata;
    // Both were written under the CRD's schema.
    const before = (status["conditions"] ?? []) as readonly Condition[];
    const drafts = (overlay.status["conditions"] ?? []) as readonly ConditionDraft[];
    const moment = { nowMs: overlay.writtenAtMs, observedGeneration: generation };
    const kept = Object.fromEntries(Object.entries(status).filter(([field]) => field in enrolmentOnly));
    return {
      ...cached,
      status: {
        ...kept,
        ...overlay.status,
        observedGeneration: generation,
        conditions: mergeConditions(before, drafts, moment),
      },
    } as KubeObject;
  }

  /** Resource versions of one resource are numbers that grow (KEP-5504). */
  #withFinalizer(key: string, cached: KubeObject): KubeObject {
    const patched = this.#patched.get(key);
    if (patched === undefined) return cached;
    if (Number(patched.metadata.resourceVersion) > Number(cached.metadata.resourceVersion)) return patched;
    this.#patched.delete(key);
    return cached;
  }

  /** OpenYurt serves node pools in several versions, or not at all. */
  async #discoverNodePools(signal: AbortSignal): Promise<Resource<NodePool> | undefined> {
    try {
      const text = await this.#client.request({ method: "GET", path: "/apis/apps.openyurt.io", signal });
      const group = JSON.parse(text) as { readonly preferredVersion?: { readonly version: string } };
      const version = group.preferredVersion?.version;
      if (version === undefined) return undefined;
      const path = `/apis/apps.openyurt.io/${version}`;
      const listed = JSON.parse(await this.#client.request({ method: "GET", path, signal })) as {
        readonly resources: readonly { readonly name: string }[];
      };
      if (!listed.resources.some(({ name }) => name === "nodepools")) return undefined;
      return { group: "apps.openyurt.io", version, plural: "nodepools", kind: "NodePool", namespaced: false };
    } catch (error) {
      if (!signal.aborted && !hasErrorCode(error, "NotFound")) {
        this.#options.log?.warn({ error }, "node pools can't be discovered; their types are not used");
      }
      return undefined;
    }
  }
}

const enrolmentOnly = { nodeId: 1, publicKey: 1, usedTokenSha256: 1, enrolledAt: 1 };

/** The fields of a status that a draft decides: neither times of conditions nor fields of another manager. */
function comparable(
  status: Readonly<Record<string, unknown>>,
  draft: Readonly<Record<string, unknown>>,
): Readonly<Record<string, unknown>> {
  const conditions = (status["conditions"] ?? []) as readonly ConditionDraft[];
  return {
    ...Object.fromEntries(
      Object.entries(status).filter(([field]) => !(field in enrolmentOnly) && field !== "observedGeneration"),
    ),
    ...("conditions" in draft
      ? {
          conditions: conditions.map(({ type, status, reason, message }) => ({
            type,
            status,
            reason,
            message,
          })),
        }
      : {}),
  };
}
