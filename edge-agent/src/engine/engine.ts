/**
 * Runs models in child processes: inference blocks the thread that it runs on, and a run can only be ended by ending its
 * process. A process holds one model; ending it is how memory comes back.
 *
 * - A model over 100 MB has one process with all threads, a smaller one up to one per thread, the second when there is
 *   more work than the first takes in a run. Across models, busy threads stay within the cores, except that each model may
 *   have one process busy: the system shares the cores more fairly than a queue of runs of very unequal length would.
 * - No timer forms batches: whatever waits when a process is free goes (batch.ts).
 * - Memory: each process counts with what its model declares. To make room, idle extra processes go first, then the idle
 *   model that was used longest ago, one that no request is open for before others. While nothing is idle, loading waits.
 * - One spare process without a model is kept, so that loading a model does not wait for a start.
 */
import { stat } from "node:fs/promises";
import path from "node:path";
import { AutoglmError, hasErrorCode, toAutoglmError, type ItemResult, type TaskType } from "@autoglm/api";
import type { Log } from "@autoglm/telemetry";
import type { ParsedItem } from "../parse/index.ts";
import type { Parameters } from "../pipelines/pipeline.ts";
import { chooseVictim } from "./eviction.ts";
import type { ExecutionProvider } from "./onnx-session.ts";
import { ProcessPool } from "./process-pool.ts";
import { InferenceRequest } from "./request.ts";
import { ServedModel, type ModelOnDisk } from "./served-model.ts";

/** Of model.onnx: above it, weights in every process would cost more than runs in parallel gain. */
const LARGE_MODEL_BYTES = 100_000_000;
const LOAD_SILENCE_MS = 300_000;
const DEFAULT_ITEM_TIMEOUT_MS = 60_000;

export interface EngineOptions {
  /** Cores for inference. */
  readonly threads: number;
  readonly memoryBudgetBytes: number;
  readonly log: Log;
  /**
   * Longest time without progress, a token for generation and a run otherwise, before the process is taken for hung.
   * Default 60 s.
   */
  readonly itemTimeoutMs?: number;
  /** In order of preference. Default cpu. */
  readonly executionProviders?: readonly ExecutionProvider[];
}

export interface InferOptions {
  readonly model: ModelOnDisk;
  readonly type: TaskType;
  readonly items: AsyncIterable<ParsedItem>;
  readonly parameters: Parameters;
  readonly signal: AbortSignal;
}

export interface EngineReport {
  readonly model: string;
  readonly variant: string;
  /** Proportional set size of its processes. */
  readonly memoryBytes: number;
  /** Median of the last hundred items. */
  readonly itemMs?: number;
}

export interface Engine {
  /**
   * Resolves when a process has the model loaded and warmed up; 0 ms when one has it already.
   * @throws AutoglmError `ModelLoadFailed`, `Aborted`
   */
  load(model: ModelOnDisk, signal: AbortSignal): Promise<{ readonly loadMs: number }>;
  /**
   * Exactly one result per item, in any order; a bad item yields its error alone. Reads no more than it can queue.
   * The same items give the same labels, entities and texts; the last digit of a score may depend on what ran with it.
   * @throws AutoglmError `ModelLoadFailed`, `ModelDoesNotServeType`, `Aborted`, and whatever `items` throws
   */
  infer(options: InferOptions): AsyncIterable<ItemResult>;
  reports(): readonly EngineReport[];
  /** Memory of all inference processes, the spare one included. */
  usedBytes(): number;
  /** Ends all processes and requests. */
  close(): Promise<void>;
}

export function createEngine(options: EngineOptions): Engine {
  return new ProcessPoolEngine(options);
}

class ProcessPoolEngine implements Engine {
  readonly #options: EngineOptions;
  readonly #models = new Map<string, ServedModel>();
  readonly #requests = new Set<InferenceRequest>();
  readonly #processes: ProcessPool;
  /** Counts arrivals and uses: the order of both. */
  #sequence = 0;
  #pumpIsDue = false;
  /** Loads take their room one after the other. */
  #roomTurn: Promise<unknown> = Promise.resolve();
  #changed = Promise.withResolvers<void>();

  constructor(options: EngineOptions) {
    this.#options = options;
    this.#processes = new ProcessPool(() => this.#noteChange());
  }

  async load(model: ModelOnDisk, signal: AbortSignal): Promise<{ readonly loadMs: number }> {
    const served = await this.#use(model);
    try {
      return { loadMs: await untilAborted(this.#ensureLoaded(served), signal) };
    } finally {
      served.users--;
      this.#noteChange();
    }
  }

  async *infer(options: InferOptions): AsyncGenerator<ItemResult> {
    const { model, type, signal } = options;
    const served = await this.#use(model);
    const request = new InferenceRequest(options);
    const abort = () => request.fail(aborted());
    signal.addEventListener("abort", abort);
    this.#requests.add(request);
    try {
      await untilAborted(this.#ensureLoaded(served), signal);
      if (served.serving?.taskType !== type) throw servesAnotherType(model, type);
      void request.read((item, text) => {
        served.enqueue({ sequence: ++this.#sequence, request, item, text });
        this.#schedulePump();
      });
      yield* request.take();
    } finally {
      request.end();
      signal.removeEventListener("abort", abort);
      this.#requests.delete(request);
      served.users--;
      this.#noteChange();
    }
  }

  reports(): readonly EngineReport[] {
    return [...this.#models.values()]
      .filter(({ slots }) => slots.size > 0)
      .map(({ model, memoryBytes, itemMs }) => ({
        model: model.name,
        variant: model.variant,
        memoryBytes,
        ...(itemMs === undefined ? {} : { itemMs }),
      }));
  }

  usedBytes(): number {
    return this.#processes.usedBytes();
  }

  async close(): Promise<void> {
    for (const request of this.#requests) request.fail(aborted());
    await this.#processes.close();
  }

  /** Counts the caller among the users at once, so that the model is not forgotten meanwhile. */
  async #use(model: ModelOnDisk): Promise<ServedModel> {
    const known = this.#models.get(model.digest);
    const served = known ?? this.#add(model, await graphBytes(model));
    served.users++;
    return served;
  }

  #add(model: ModelOnDisk, bytes: number): ServedModel {
    const { threads, log, executionProviders = ["cpu"] } = this.#options;
    const single = bytes > LARGE_MODEL_BYTES || executionProviders.includes("cuda");
    const limits = single ? { threads, maxProcesses: 1 } : { threads: 1, maxProcesses: threads };
    // Another caller may have been faster.
    const served = this.#models.get(model.digest) ?? new ServedModel(model, limits, log);
    this.#models.set(model.digest, served);
    return served;
  }

  /** Milliseconds that it took to load, 0 when it was there. */
  async #ensureLoaded(served: ServedModel): Promise<number> {
    if (served.slots.size > 0) return 0;
    return served.starting ?? this.#start(served, this.#takeRoom(served));
  }

  async #start(served: ServedModel, room: Promise<void>): Promise<number> {
    const starting = room.then(() => this.#startProcess(served));
    served.starting = starting;
    try {
      return await starting;
    } finally {
      served.starting = undefined;
      this.#noteChange();
    }
  }

  /** Loads the model in a process whose memory is reserved. */
  async #startProcess(served: ServedModel, attempts = 2): Promise<number> {
    const { directory, contextLength } = served.model;
    const { executionProviders = ["cpu"] } = this.#options;
    const child = this.#processes.take();
    try {
      const start = performance.now();
      const { serving } = await child.call<"loaded">(
        { kind: "load", directory, contextLength, threads: served.threads, executionProviders },
        LOAD_SILENCE_MS,
      );
      served.addProcess(child, serving);
      return performance.now() - start;
    } catch (thrown) {
      await child.kill();
      // Whatever ended it from outside may have had nothing to do with this model.
      if (attempts > 1 && hasErrorCode(thrown, "InferenceWorkerLost")) {
        return await this.#startProcess(served, attempts - 1);
      }
      served.reservedProcesses--;
      throw asLoadFailure(thrown);
    } finally {
      this.#processes.keepSpare();
    }
  }

  #takeRoom(served: ServedModel): Promise<void> {
    const turn = this.#roomTurn.then(() => this.#makeRoom(served));
    this.#roomTurn = turn.catch(() => undefined);
    return turn;
  }

  async #makeRoom(served: ServedModel): Promise<void> {
    const { memoryBytes } = served.model;
    const { memoryBudgetBytes } = this.#options;
    if (memoryBytes > memoryBudgetBytes) {
      const message = `the model needs ${memoryBytes} bytes of memory, the node has ${memoryBudgetBytes}`;
      throw new AutoglmError("ModelLoadFailed", message, { retry: "never" });
    }
    while (!this.#hasRoomFor(memoryBytes)) {
      if (served.users === 0) throw aborted();
      const victim = chooseVictim([...this.#models.values()]);
      if (victim === undefined) await this.#changed.promise;
      else await this.#removeIdleProcess(victim);
    }
    served.reservedProcesses++;
  }

  #hasRoomFor(bytes: number): boolean {
    let reserved = 0;
    for (const { model, reservedProcesses } of this.#models.values())
      reserved += model.memoryBytes * reservedProcesses;
    return reserved + bytes <= this.#options.memoryBudgetBytes;
  }

  async #removeIdleProcess(served: ServedModel): Promise<void> {
    const [slot] = served.idleSlots;
    if (slot !== undefined) await served.removeProcess(slot);
    if (served.slots.size === 0 && served.users === 0) this.#models.delete(served.model.digest);
  }

  #noteChange(): void {
    this.#changed.resolve();
    this.#changed = Promise.withResolvers();
    this.#schedulePump();
  }

  /** Once per turn of the event loop, so that items which arrive together can run together. */
  #schedulePump(): void {
    if (this.#pumpIsDue) return;
    this.#pumpIsDue = true;
    setImmediate(() => {
      this.#pumpIsDue = false;
      const served = [...this.#models.values()];
      for (const model of served) model.dropOver();
      const waiting = served.filter(({ queue }) => queue.length > 0);
      for (const model of waiting.sort((a, b) => a.oldestSequence - b.oldestSequence)) this.#serve(model);
    });
  }

  #serve(served: ServedModel): void {
    while (served.queue.length > 0) {
      const [slot] = served.idleSlots;
      if (slot === undefined) return this.#addProcess(served);
      if (served.busyProcesses > 0 && !this.#hasFreeThreads(served.threads)) return;
      served.lastUsed = ++this.#sequence;
      const silenceMs = this.#options.itemTimeoutMs ?? DEFAULT_ITEM_TIMEOUT_MS;
      void served.dispatch(slot, silenceMs).then(() => this.#noteChange());
    }
  }

  #hasFreeThreads(threads: number): boolean {
    let busy = 0;
    for (const served of this.#models.values()) busy += served.busyProcesses * served.threads;
    return busy + threads <= this.#options.threads;
  }

  /** The first process of a model that lost its last one, or a further one where it pays and nothing has to go for it. */
  #addProcess(served: ServedModel): void {
    if (served.starting !== undefined) return;
    if (served.slots.size === 0) {
      this.#ensureLoaded(served).catch((error: unknown) => served.failAll(error));
    } else if (
      served.isBacklogged &&
      served.slots.size < served.maxProcesses &&
      this.#hasFreeThreads(served.threads) &&
      this.#hasRoomFor(served.model.memoryBytes)
    ) {
      served.reservedProcesses++;
      this.#start(served, Promise.resolve()).catch((error: unknown) => served.stopGrowing(error));
    }
  }
}

async function graphBytes(model: ModelOnDisk): Promise<number> {
  try {
    return (await stat(path.join(model.directory, "model.onnx"))).size;
  } catch (cause) {
    throw new AutoglmError("ModelLoadFailed", "model.onnx is missing", { cause });
  }
}

/** @throws AutoglmError `Aborted` as soon as the signal says so; what the promise stands for goes on */
async function untilAborted<T>(promise: Promise<T>, signal: AbortSignal): Promise<T> {
  const abort = Promise.withResolvers<never>();
  const reject = () => abort.reject(aborted());
  if (signal.aborted) reject();
  signal.addEventListener("abort", reject);
  try {
    return await Promise.race([promise, abort.promise]);
  } finally {
    signal.removeEventListener("abort", reject);
  }
}

function aborted(): AutoglmError {
  return new AutoglmError("Aborted", "inference was stopped", { retry: "never" });
}

function asLoadFailure(thrown: unknown): AutoglmError {
  const error = toAutoglmError(thrown);
  if (error.code === "ModelLoadFailed" || error.code === "Aborted") return error;
  return new AutoglmError("ModelLoadFailed", `loading failed: ${error.message}`, { cause: error });
}

function servesAnotherType(model: ModelOnDisk, type: TaskType): AutoglmError {
  return new AutoglmError("ModelDoesNotServeType", `model ${model.name} does not do ${type}`);
}
