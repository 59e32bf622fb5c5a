/**
 * One agent from its options to its end. The order matters: the lock first, then the health port, so that a
 * supervisor sees why it waits; then enrolment, which may take as long as it likes; then work from what the disk
 * knows, before the link is up.
 */
import { AutoglmError, toAutoglmError } from "@autoglm/api";
import { AgentBus, connectBus, type BusConnection } from "@autoglm/bus";
import { createLogger, Metrics, startHealthServer, type Log, type Readiness } from "@autoglm/telemetry";
import packageJson from "../../package.json" with { type: "json" };
import { GateState, shippedPreGate } from "../gate/index.ts";
import { HTTP_METRICS } from "../http/metrics.ts";
import { ModelStore, type ModelOnDisk } from "../models/model-store.ts";
import type { AgentOptions } from "../options.ts";
import { Outbox } from "../outbox/outbox.ts";
import { REMOTE_METRICS, RemoteEngine } from "../remote/index.ts";
import { SiteStore } from "../site/site-store.ts";
import { MemoryProbe } from "../probe/memory-probe.ts";
import { DesiredState } from "./desired.ts";
import { routeEngines } from "./engine-router.ts";
import { Enrolment } from "./enrolment.ts";
import { AGENT_METRICS } from "./metrics.ts";
import type { InferenceEngine } from "./ports.ts";
import { AgentRuntime } from "./runtime.ts";
import { SpecCache } from "./spec-cache.ts";
import { StateFolder } from "./state-folder.ts";

export interface EngineOptions {
  readonly threads: number;
  readonly memoryBudgetBytes: number;
  readonly budgetKind?: "ram" | "gpu";
  readonly log: Log;
  readonly itemTimeoutMs?: number;
  readonly executionProviders?: readonly ("cpu" | "cuda")[];
  readonly performanceHint?: "throughput" | "latency";
}

export interface AgentParts {
  /** Of models on the disk; endpoints are asked by the agent itself. */
  readonly createEngine: (options: EngineOptions) => InferenceEngine<ModelOnDisk>;
  /** Opens the inference port; called once the engine is there. Default: there is none. */
  readonly openInferencePort?: ((context: InferencePortContext) => Promise<InferencePort>) | undefined;
  readonly log?: Log;
}

export interface InferencePortContext {
  /** Models of the store that can be run. */
  readonly stored: () => readonly ModelOnDisk[];
  readonly metrics: Metrics<typeof METRICS>;
  readonly log: Log;
  readonly version: string;
}

export interface InferencePort {
  readonly port: number;
  /** The models of the store have changed. */
  refresh(): void;
  /** Lets requests that are under way end, for at most `graceMs`. */
  close(graceMs: number): Promise<void>;
}

export interface RunningAgent {
  readonly healthPort: number;
  /** Of the inference port, once it is open; it opens when the node is enrolled. */
  inferencePort(): number | undefined;
  /** Settles when the agent has ended: rejects with what ended it, unless that was {@link stop}. */
  readonly stopped: Promise<void>;
  /** Drains: at most about `drainMs` and a few seconds. */
  stop(): Promise<void>;
}

const METRICS = { ...AGENT_METRICS, ...HTTP_METRICS, ...REMOTE_METRICS };

/** What a drain may take beyond `drainMs`: ending children, a last heartbeat. */
const DRAIN_EXTRA_MS = 3000;

/**
 * Starts an agent in this process and returns once its health port is open.
 * @throws AutoglmError `InvalidOption`, `Conflict` (another process has the state folder), `OutboxCorrupt`
 */
export async function startAgent(options: AgentOptions, parts: AgentParts): Promise<RunningAgent> {
  const log = parts.log ?? createLogger({ name: "edge-agent", level: options.logLevel });
  const folder = await StateFolder.open(options.stateDir);
  const agent = new Agent(options, parts, log, folder);
  try {
    return await agent.start();
  } catch (error) {
    folder.close();
    throw error;
  }
}

class Agent {
  readonly #options: AgentOptions;
  readonly #parts: AgentParts;
  readonly #log: Log;
  readonly #folder: StateFolder;
  readonly #metrics = new Metrics(METRICS);
  readonly #stopping = new AbortController();
  #enrolment: Enrolment | undefined;
  #outbox: Outbox | undefined;
  #connection: BusConnection | undefined;
  #runtime: AgentRuntime | undefined;
  #inferencePort: InferencePort | undefined;

  constructor(options: AgentOptions, parts: AgentParts, log: Log, folder: StateFolder) {
    this.#options = options;
    this.#parts = parts;
    this.#log = log;
    this.#folder = folder;
  }

  async start(): Promise<RunningAgent> {
    const { healthHost: host, healthPort: port, outboxLimitBytes: limitBytes } = this.#options;
    this.#outbox = await Outbox.open(this.#folder.join("outbox"), {
      limitBytes,
      onDamage: (key) => this.#runtime?.onDamage(key),
    });
    this.#reportRecovery(this.#outbox);
    this.#metrics.collectProcessMetrics();
    const health = await startHealthServer({
      host,
      port,
      metrics: this.#metrics,
      isReady: () => this.#readiness(),
      isLive: () => true,
      log: this.#log,
    });
    const working = this.#work(this.#outbox);
    const ended = Promise.withResolvers<void>();
    const failing = working.then(({ renewing }) => renewing);
    failing.catch(async (error: unknown) => {
      if (this.#stopping.signal.aborted) return;
      this.#log.error({ error }, "the agent ends");
      await this.#close(health);
      ended.reject(toAutoglmError(error));
    });
    const stop = async () => {
      if (!this.#stopping.signal.aborted) {
        this.#stopping.abort();
        await this.#drain(working);
        await this.#close(health);
        ended.resolve();
      }
      await ended.promise;
    };
    // Whoever does not look at it must not end the process by that.
    ended.promise.catch(() => undefined);
    const inferencePort = () => this.#inferencePort?.port;
    return { healthPort: health.port, inferencePort, stopped: ended.promise, stop };
  }

  /** Resolves when everything runs; `renewing` rejects later when the process has to start again. */
  async #work(outbox: Outbox): Promise<{ readonly renewing: Promise<void> }> {
    const { signal } = this.#stopping;
    const options = this.#options;
    const key = await this.#folder.nodeKey();
    const enrolment = await Enrolment.open({ ...options, folder: this.#folder, key, log: this.#log }, signal);
    this.#enrolment = enrolment;
    const { nodeId, natsUrls, modelServerUrl } = enrolment.reply;
    const log = this.#log.child({ node: nodeId });

    const probe = new MemoryProbe({
      declaredBudgetBytes: options.memoryBudgetBytes,
      engineBytes: () => engine?.usedBytes() ?? 0,
    });
    let engine: InferenceEngine | undefined;
    const { memory } = await probe.read();
    const budgetBytes = Math.max(0, memory.totalBytes - memory.usedByOthersBytes);
    const onnx = this.#parts.createEngine({
      threads: options.threads,
      memoryBudgetBytes: budgetBytes,
      budgetKind: memory.kind,
      log,
      executionProviders: options.executionProviders,
      performanceHint: options.performanceHint,
      ...(options.itemTimeoutMs !== undefined && { itemTimeoutMs: options.itemTimeoutMs }),
    });
    const remote = new RemoteEngine({
      keysFolder: options.endpointKeysDir,
      stateFolder: this.#folder.join("endpoints"),
      log,
      metrics: this.#metrics,
      silenceMs: options.itemTimeoutMs,
    });
    engine = routeEngines(onnx, remote);

    const connection = await connectBus({
      urls: natsUrls,
      jwt: () => enrolment.reply.jwt,
      seed: key.seed,
      name: options.nodeName,
      log,
      background: true,
    });
    this.#connection = connection;
    const bus = new AgentBus(connection, { nodeId, key });
    const models = new ModelStore({
      folder: this.#folder.join("models"),
      modelServerUrl,
      limitBytes: options.modelsLimitBytes,
      log,
      onChange: () => {
        runtime.onModelsChanged();
        this.#inferencePort?.refresh();
      },
    });
    await models.open();
    const desired = await DesiredState.open(this.#folder, nodeId, log);
    const site = await SiteStore.open({
      folder: this.#folder.join("site"),
      limitBytes: options.siteLimitBytes,
      isListed: (task) => desired.document?.assignments.some((one) => one.task === task) === true,
    });
    const gate = {
      state: await GateState.open(this.#folder.join("gate"), log),
      network: shippedPreGate(),
    };
    const runtime = new AgentRuntime({
      options,
      identity: {
        node: nodeId,
        nodeName: options.nodeName,
        agentVersion: packageJson.version,
        stateId: await this.#folder.stateId(),
        startedAt: new Date().toISOString(),
        ...(options.location && { location: options.location }),
        ...(options.pool !== undefined && { pool: options.pool }),
      },
      link: {
        isConnected: () => connection.isConnected(),
        fetchDesired: () => bus.fetchDesired(),
        fetchSpec: (sha256) => bus.fetchSpec(sha256),
        publishChunk: (address, body, grant) => bus.publishChunk(address, body, grant),
        publishHeartbeat: (heartbeat) => bus.publishHeartbeat(heartbeat),
      },
      engine,
      outbox,
      models,
      site,
      gate,
      endpointKeys: () => remote.keyNames(),
      specs: await SpecCache.open(this.#folder, (sha256) => bus.fetchSpec(sha256)),
      desired,
      probe,
      budgetBytes,
      log,
      metrics: this.#metrics,
    });
    this.#registerGauges(outbox, connection, runtime, engine);
    if (signal.aborted) throw new AutoglmError("Aborted", "stopped while starting");
    this.#runtime = runtime;
    connection.onStatus((status) => {
      if (status === "connected") runtime.onConnected();
    });
    bus.onPoke(() => runtime.onPoke());
    // Nobody could tell the site's clients why there is no port later than this.
    this.#inferencePort = await this.#parts.openInferencePort?.({
      stored: () => models.ready(),
      metrics: this.#metrics,
      log,
      version: packageJson.version,
    });
    runtime.start();
    if (connection.isConnected()) runtime.onConnected();
    log.info({ pool: options.pool, location: options.location, budgetBytes }, "the agent works");
    return { renewing: enrolment.keepRenewed(() => connection.isConnected(), signal) };
  }

  #readiness(): Readiness {
    if (!this.#enrolment) return { ready: false, reason: "not enrolled yet" };
    if (!this.#runtime) return { ready: false, reason: "starting" };
    if (this.#outbox?.isWritable === false) return { ready: false, reason: "the outbox can't be written" };
    // A cut link is no reason: an offline edge works on.
    return this.#stopping.signal.aborted ? { ready: false, reason: "draining" } : { ready: true };
  }

  #reportRecovery({ recovery }: Outbox): void {
    const { damaged, wasTorn, contents } = recovery;
    if (damaged > 0) {
      this.#metrics.count("autoglm_outbox_damaged_records_total", {}, damaged);
      const error = new AutoglmError("OutboxCorrupt", `${damaged} records of the outbox are damaged`);
      this.#log.error({ error, damaged }, "the outbox is damaged; computing the lost items again");
    }
    if (wasTorn) this.#log.info({}, "cut an unfinished write off the outbox");
    this.#log.info({ chunks: contents.pendingChunks, bytes: contents.pendingBytes }, "opened the outbox");
  }

  #registerGauges(
    outbox: Outbox,
    connection: BusConnection,
    runtime: AgentRuntime,
    engine: InferenceEngine,
  ): void {
    const metrics = this.#metrics;
    metrics.gauge("autoglm_outbox_pending_chunks", {}, () => outbox.chunks);
    metrics.gauge("autoglm_outbox_pending_bytes", {}, () => outbox.bytes);
    metrics.gauge("autoglm_outbox_disk_bytes", {}, () => outbox.diskBytes);
    metrics.gauge("autoglm_outbox_limit_bytes", {}, () => outbox.limitBytes);
    metrics.gauge("autoglm_bus_link_connected", {}, () => Number(connection.isConnected()));
    metrics.gauge("autoglm_agent_assignments_count", {}, () => runtime.workCount);
    metrics.gauge("autoglm_agent_engine_bytes", {}, () => engine.usedBytes());
  }

  async #drain(working: Promise<unknown>): Promise<void> {
    const deadline = Promise.withResolvers<void>();
    const timer = setTimeout(deadline.resolve, this.#options.drainMs + DRAIN_EXTRA_MS);
    const drained = working
      .then(() => Promise.all([this.#inferencePort?.close(this.#options.drainMs), this.#runtime?.drain()]))
      .catch((error: unknown) => {
        if (this.#enrolment) this.#log.warn({ error }, "the drain did not end well");
      });
    await Promise.race([drained, deadline.promise]);
    clearTimeout(timer);
  }

  async #close(health: { close(): Promise<void> }): Promise<void> {
    await this.#connection?.drain();
    await health.close();
    await this.#outbox?.close();
    this.#folder.close();
  }
}
