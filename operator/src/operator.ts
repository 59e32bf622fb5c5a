/**
 * The operator: every part built, wired and started in one visible place.
 *
 *     store ──keys──▶ queues ──▶ controllers ──▶ status, and the table of assignments ──▶ documents on the bus
 *     bus ──heartbeats, ledgers──▶ tracker, ledgers ──keys──▶ queues
 *
 * Start: caches are filled; the table is seeded from the documents on the bus; every task is looked at once; only then
 * documents are written, so that none lacks an assignment that the last process gave.
 */
import { randomBytes } from "node:crypto";
import type { DesiredDocument, Grant, Heartbeat, Ledger } from "@autoglm/api";
import type { PromptCandidate } from "@autoglm/core";
import { WorkQueue, type Clock, type KubeMetrics, type Log, type ReconcileOutcome } from "@autoglm/kube";
import { PlacementBoard } from "./controllers/board.ts";
import {
  describeNodeNamed,
  heldEndpointKeys,
  poolTypesOf,
  WriteTimes,
  type ControllerBus,
  type ControllerContext,
  type ControllerSettings,
} from "./controllers/context.ts";
import { reconcileModel } from "./controllers/model/controller.ts";
import { NodeController } from "./controllers/node/controller.ts";
import { draftOf } from "./controllers/node/description.ts";
import { reconcileTask } from "./controllers/task/controller.ts";
import { settleReservation } from "./controllers/task/observe.ts";
import { AssignmentTable, type SpecBus } from "./dispatch/assignments.ts";
import { DesiredDocuments, type DocumentBus } from "./dispatch/desired-documents.ts";
import { HeartbeatTracker } from "./dispatch/heartbeats.ts";
import { LedgerCache } from "./dispatch/ledgers.ts";
import { keyOfObject, type ObjectStore } from "./store/object-store.ts";

/** The bus as the operator uses it; `OperatorBus` is one. */
export interface OperatorBusPort extends ControllerBus, SpecBus, DocumentBus {
  ensureStreams(): Promise<void>;
  readDesired(node: string): Promise<DesiredDocument | undefined>;
  onHeartbeat(listener: (heartbeat: Heartbeat) => void): () => void;
  onLedger(listener: (ledger: Ledger) => void): () => void;
  /** Calls whenever the link is there again. */
  onReconnect(listener: () => void): () => void;
}

export interface OperatorOptions {
  readonly store: ObjectStore;
  readonly bus: OperatorBusPort;
  readonly signGrant: (grant: Grant) => string;
  /** Reads the node's key out of a grant of ours; undefined for any other text. */
  readonly nodeKeyOfGrant: (grant: string) => string | undefined;
  readonly settings: ControllerSettings;
  /** Raised by hand when the cluster was restored from a backup. */
  readonly generation: number;
  /** The built-in prompts. */
  readonly library: readonly PromptCandidate[];
  /** How often every document is written again, for what nobody noticed. */
  readonly rewriteIntervalMs: number;
  readonly clock: Clock;
  /** Never set back, unlike the clock. */
  readonly monotonicNowMs: () => number;
  readonly log: Log;
  readonly metrics: KubeMetrics;
}

export interface RunningOperator {
  /** Caches are filled and every task was looked at once. */
  isReady(): boolean;
  /** Looks at every object again, as a resync of the caches does. */
  reconcileAll(): void;
  /** Finishes what is under way, for ten seconds at most. */
  stop(): Promise<void>;
}

export async function startOperator(options: OperatorOptions): Promise<RunningOperator> {
  const operator = new Operator(options);
  await operator.start();
  return operator;
}

class Operator implements RunningOperator {
  readonly #options: OperatorOptions;
  readonly #stopping = new AbortController();
  readonly #context: ControllerContext;
  readonly #documents: DesiredDocuments;
  readonly #nodes: NodeController;
  readonly #queues: { readonly tasks: WorkQueue; readonly nodes: WorkQueue; readonly models: WorkQueue };
  /** uid → key: the bus speaks of uids, the store of keys. */
  readonly #taskKeys = new Map<string, string>();
  /** Tasks that were there at the start and were not looked at yet. */
  #firstPass: Set<string> | undefined;
  /** What was last seen of an object that others depend on; a change of its status alone wakes nobody. */
  readonly #seen = new Map<string, string>();
  readonly #running: Promise<void>[] = [];
  #unsubscribe: (() => void)[] = [];
  #isNodesDirty = false;
  #cancelRewrite: () => void = () => {};
  #cancelKeyCheck: () => void = () => {};

  constructor(options: OperatorOptions) {
    const { store, bus, clock, log, settings, monotonicNowMs } = options;
    this.#options = options;
    const heartbeats = new HeartbeatTracker({
      monotonicNowMs,
      nowMs: () => clock.now(),
      heartbeatTimeoutMs: settings.heartbeatTimeoutMs,
    });
    const assignments = new AssignmentTable({
      bus,
      onChange: (nodeId, isUrgent) => this.#documents.change(nodeId, isUrgent),
      nodeKeyOfGrant: options.nodeKeyOfGrant,
    });
    this.#documents = new DesiredDocuments({
      bus,
      generation: options.generation,
      clock,
      log,
      assignmentsOf: (nodeId) => assignments.assignmentsOf(nodeId),
      heldRevision: (nodeId) => heartbeats.byId(nodeId)?.heartbeat.document.revision ?? 0,
      onWritten: (document) => assignments.documentWritten(document),
    });
    const board = new PlacementBoard({
      readNodes: () => this.#nodeDrafts(),
      wake: (keys) => this.#wakeTasks(keys),
      onReserved: (node) => this.#queues.nodes.add(node),
    });
    this.#context = {
      store,
      bus,
      board,
      assignments,
      heartbeats,
      ledgers: new LedgerCache(),
      writes: new WriteTimes(monotonicNowMs),
      library: options.library,
      settings,
      signGrant: options.signGrant,
      nowMs: () => clock.now(),
      log,
    };
    this.#nodes = new NodeController(this.#context, (node) => this.#standingChanged(node));
    this.#queues = {
      tasks: this.#queue("tasks", 4, async (key) => this.#reconcileTask(key)),
      nodes: this.#queue("nodes", 2, async (name) => this.#nodes.reconcile(name)),
      models: this.#queue("models", 1, async (name) => reconcileModel(this.#context, name)),
    };
  }

  async start(): Promise<void> {
    const { store, bus, log } = this.#options;
    const { signal } = this.#stopping;
    await bus.ensureStreams();
    this.#subscribeToStore();
    this.#running.push(store.run(signal));
    await store.waitForSync(signal);
    for (const task of store.list("AutoGLMTask")) {
      this.#noteTask(keyOfObject(task));
      // Before any offer: a task that waits must not be given what one that was not looked at yet has.
      settleReservation(this.#context, task);
    }
    await this.#seed();
    this.#firstPass = new Set(store.list("AutoGLMTask").map(keyOfObject));
    this.#unsubscribe = [
      bus.onHeartbeat((heartbeat) => this.#acceptHeartbeat(heartbeat)),
      bus.onLedger((ledger) => this.#acceptLedger(ledger)),
      bus.onReconnect(() => void this.#restoreBus()),
    ];
    this.#context.board.nodesChanged();
    this.reconcileAll();
    for (const queue of Object.values(this.#queues)) this.#running.push(queue.run(signal));
    this.#openIfLookedAtAll();
    this.#scheduleRewrite();
    this.#cancelKeyCheck = this.#options.clock.after(this.#options.settings.heartbeatTimeoutMs + 1, () =>
      this.#lookAtKeys(),
    );
    log.info({ tasks: this.#taskKeys.size }, "operator started");
  }

  isReady(): boolean {
    return this.#options.store.hasSynced() && this.#documents.isOpen;
  }

  reconcileAll(): void {
    const { store } = this.#options;
    this.#wakeTasks(store.list("AutoGLMTask").map(keyOfObject));
    for (const { metadata } of store.list("AutoGLMNode")) this.#queues.nodes.add(metadata.name);
    for (const { metadata } of store.list("AutoGLMModel")) this.#queues.models.add(metadata.name);
  }

  async stop(): Promise<void> {
    this.#stopping.abort();
    this.#cancelRewrite();
    this.#cancelKeyCheck();
    for (const unsubscribe of this.#unsubscribe) unsubscribe();
    await Promise.allSettled(this.#running);
    this.#documents.stop();
  }

  #queue(
    name: string,
    concurrency: number,
    reconcile: (key: string) => Promise<ReconcileOutcome>,
  ): WorkQueue {
    const { log, metrics, clock } = this.#options;
    return new WorkQueue({ name, concurrency, log, metrics, clock, reconcile });
  }

  #subscribeToStore(): void {
    const { store } = this.#options;
    store.subscribe("AutoGLMTask", (key) => {
      const generation = this.#noteTask(key);
      this.#queues.tasks.add(key, { version: generation });
    });
    store.subscribe("AutoGLMModel", (name) => {
      this.#queues.models.add(name);
      const model = store.get("AutoGLMModel", name);
      if (this.#isNews(`model/${name}`, model?.metadata.generation)) this.#wakeUnplaced();
    });
    store.subscribe("AutoGLMPrompt", (key) => {
      if (this.#isNews(`prompt/${key}`, store.get("AutoGLMPrompt", key)?.spec)) this.#wakeUnplaced();
    });
    store.subscribe("AutoGLMNode", (name) => {
      this.#queues.nodes.add(name);
      const { metadata, spec, status } = store.get("AutoGLMNode", name) ?? {};
      const { labels, annotations, deletionTimestamp } = metadata ?? {};
      const { publicKey, nodeId, enrolledAt } = status ?? {};
      const standing = { labels, annotations, deletionTimestamp, spec, publicKey, nodeId, enrolledAt };
      if (this.#isNews(`agn/${name}`, standing)) this.#nodesChangedSoon();
    });
    store.subscribe("Node", (name) => {
      if (store.get("AutoGLMNode", name) === undefined && this.#context.heartbeats.get(name) === undefined)
        return;
      this.#queues.nodes.add(name);
      const { metadata, spec } = store.get("Node", name) ?? {};
      const standing = { labels: metadata?.labels, annotations: metadata?.annotations, spec };
      if (this.#isNews(`node/${name}`, standing)) this.#nodesChangedSoon();
    });
    store.subscribe("NodePool", () => {
      for (const { metadata } of store.list("AutoGLMNode")) this.#queues.nodes.add(metadata.name);
      this.#nodesChangedSoon();
    });
  }

  /** Remembers the key of the task's uid; returns its generation. */
  #noteTask(key: string): string | undefined {
    const task = this.#options.store.get("AutoGLMTask", key);
    if (task === undefined) return undefined;
    this.#taskKeys.set(task.metadata.uid, key);
    return `${task.metadata.uid}/${task.metadata.generation ?? 0}/${task.metadata.deletionTimestamp ?? ""}`;
  }

  #isNews(name: string, value: unknown): boolean {
    const text = JSON.stringify(value) ?? "";
    if (this.#seen.get(name) === text) return false;
    this.#seen.set(name, text);
    return true;
  }

  #wakeTasks(keys: Iterable<string>): void {
    for (const key of keys) this.#queues.tasks.add(key);
  }

  /** A name may be an alias, and another model may stand in: every task that waits is concerned. */
  #wakeUnplaced(): void {
    const concerned = this.#options.store
      .list("AutoGLMTask")
      .filter(
        ({ status }) => (status?.placements?.length ?? 0) === 0 || status?.reason === "ModelDigestMismatch",
      );
    this.#wakeTasks(concerned.map(keyOfObject));
  }

  async #reconcileTask(key: string): Promise<ReconcileOutcome> {
    try {
      return await reconcileTask(this.#context, key);
    } finally {
      this.#firstPass?.delete(key);
      this.#openIfLookedAtAll();
      if (this.#options.store.get("AutoGLMTask", key) === undefined) this.#forgetKey(key);
    }
  }

  #forgetKey(key: string): void {
    for (const [uid, known] of this.#taskKeys) if (known === key) this.#taskKeys.delete(uid);
  }

  #openIfLookedAtAll(): void {
    if (this.#firstPass === undefined || this.#firstPass.size > 0) return;
    this.#firstPass = undefined;
    this.#context.assignments.keepTasks(new Set(this.#taskKeys.keys()));
    this.#documents.open();
  }

  /** What the last process gave out. A document that can't be read is made anew from the tasks. */
  async #seed(): Promise<void> {
    const { store, bus, log } = this.#options;
    for (const { metadata, status } of store.list("AutoGLMNode")) {
      if (status?.nodeId === undefined) continue;
      try {
        const document = await bus.readDesired(status.nodeId);
        if (document === undefined) continue;
        this.#documents.seed(document);
        this.#context.assignments.seed(document);
      } catch (error) {
        log.warn({ node: metadata.name, error }, "the node's last document can't be read");
      }
    }
  }

  #acceptHeartbeat(heartbeat: Heartbeat): void {
    const { assignments, heartbeats } = this.#context;
    const change = heartbeats.accept(heartbeat);
    if (change === undefined) {
      this.#options.log.warn({ node: heartbeat.node }, "a heartbeat under another node's name was dropped");
      return;
    }
    assignments.acceptHeartbeat(heartbeat);
    // A restored operator counts from before; the node would ignore its documents.
    if (heartbeat.document.revision > this.#documents.revisionOf(heartbeat.node)) {
      this.#documents.change(heartbeat.node, false);
    }
    if (change.isNodeChanged) {
      this.#queues.nodes.add(change.node);
      this.#nodesChangedSoon();
      this.#lookAtKeys();
    }
    this.#wakeTasks(change.tasks.flatMap((uid) => this.#taskKeys.get(uid) ?? []));
    for (const model of change.models) this.#queues.models.add(model);
  }

  /** Which models can be asked depends on the keys that nodes hold. */
  #lookAtKeys(): void {
    const held = heldEndpointKeys(this.#context);
    if (this.#isNews("endpointKeys", held && [...held])) this.#wakeUnplaced();
  }

  #acceptLedger(ledger: Ledger): void {
    if (!this.#context.ledgers.accept(ledger)) return;
    this.#context.assignments.acceptLedger(ledger);
    const key = this.#taskKeys.get(ledger.task);
    if (key !== undefined) this.#queues.tasks.add(key);
  }

  #nodeDrafts() {
    const { store } = this.#options;
    const poolTypes = poolTypesOf(store);
    return store
      .list("AutoGLMNode")
      .map(({ metadata }) => draftOf(describeNodeNamed(this.#context, metadata.name, poolTypes)));
  }

  /** Many heartbeats in one turn are one look at the nodes. */
  #nodesChangedSoon(): void {
    this.#context.board.markStale();
    if (this.#isNodesDirty) return;
    this.#isNodesDirty = true;
    setImmediate(() => {
      this.#isNodesDirty = false;
      this.#context.board.nodesChanged();
    });
  }

  #standingChanged(node: string): void {
    this.#nodesChangedSoon();
    const placed = this.#options.store
      .list("AutoGLMTask")
      .filter(({ status }) => status?.placements?.some((placement) => placement.node === node) === true);
    this.#wakeTasks(placed.map(keyOfObject));
  }

  /** The server may have lost its disk: streams, specifications and documents are made to be there again. */
  async #restoreBus(): Promise<void> {
    const { bus, log } = this.#options;
    try {
      await bus.ensureStreams();
    } catch (error) {
      log.warn({ error }, "streams could not be ensured; the next rewrite does");
    }
    this.#context.assignments.forgetBus();
    this.#wakeTasks(this.#taskKeys.values());
    this.#rewriteDocuments();
  }

  #rewriteDocuments(): void {
    for (const { status } of this.#options.store.list("AutoGLMNode")) {
      if (status?.nodeId !== undefined) this.#documents.change(status.nodeId, false);
    }
  }

  #scheduleRewrite(): void {
    const { clock, rewriteIntervalMs, bus, log } = this.#options;
    // Up to a tenth later, so that operators restarted together don't write together.
    const jitter = 1 + (randomBytes(1)[0] ?? 0) / 2560;
    this.#cancelRewrite = clock.after(rewriteIntervalMs * jitter, () => {
      bus.ensureStreams().catch((error: unknown) => log.warn({ error }, "streams could not be ensured"));
      this.#rewriteDocuments();
      if (!this.#stopping.signal.aborted) this.#scheduleRewrite();
    });
  }
}
