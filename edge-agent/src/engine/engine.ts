/**
 * Runs models in child processes: inference blocks the thread that it runs on, and a run can only be ended by ending its
 * process. A process holds one model; ending it is how memory comes back.
 *
 * - A model over 100 MB has one process with all threads, a smaller one up to one per thread, the second when there is
 *   more work than the first takes in a run; with the hint latency, each has one process with all threads. Across models,
 *   busy threads stay within the cores, except that each model may have one process busy: the system shares the cores more
 *   fairly than a queue of runs of very unequal length would.
 * - One scheduler for all models (scheduler.ts). No timer forms batches: whatever waits when a process is free goes (batch.ts).
 * - Two kinds of work share the queues: items of tasks, which may wait, and online requests, which go first.
 * - Memory: each process counts with what its model declares (residency.ts).
 * - One spare process without a model is kept, so that loading a model does not wait for a start.
 */
import { AutoglmError, type ItemResult, type TaskType, type WorkPrompt } from "@autoglm/api";
import { promptForText } from "@autoglm/core";
import type { Log } from "@autoglm/telemetry";
import type { ParsedItem } from "../parse/index.ts";
import type { Parameters, PipelineItem, PipelineResult } from "../pipelines/pipeline.ts";
import { tensorsOfText } from "../pipelines/tensor-request.ts";
import type { ExecutionProvider } from "./onnx-session.ts";
import { ModelLoader, type PerformanceHint } from "./model-loader.ts";
import { OnlineQueue, type OnlineRequest } from "./online-queue.ts";
import { ProcessPool } from "./process-pool.ts";
import { TASK_RANK } from "./queued-item.ts";
import { refusalOf } from "./refusal.ts";
import { InferenceRequest, type WholeItem } from "./request.ts";
import { Residency } from "./residency.ts";
import { itemOutputOf } from "./results.ts";
import { Scheduler } from "./scheduler.ts";
import type { ModelOnDisk, ServedModel } from "./served-model.ts";

const DEFAULT_ITEM_TIMEOUT_MS = 60_000;
const DEFAULT_QUEUE_LIMIT = 1024;

/**
 * Of a card, by context, cuBLAS and cuDNN of one process: 668 MiB with a model of 0.3 MB, by nvidia-smi (H200, CUDA 13,
 * onnxruntime 1.30). Smaller cards take less; too much reserved keeps a model off the card, too little ends in failed runs.
 */
const CUDA_PROCESS_BYTES = 672 * 1024 * 1024;

export interface EngineOptions {
  /** Cores for inference. */
  readonly threads: number;
  readonly memoryBudgetBytes: number;
  /** What the budget is of; default ram. On a card each process takes more than its model. */
  readonly budgetKind?: "ram" | "gpu";
  readonly log: Log;
  /**
   * Longest time without progress, a token for generation and a run otherwise, before the process is taken for hung.
   * Default 60 s.
   */
  readonly itemTimeoutMs?: number;
  /** Online requests that may wait for one model; beyond it they are refused. Default 1024. */
  readonly queueLimit?: number;
  /** In order of preference. Default cpu. */
  readonly executionProviders?: readonly ExecutionProvider[];
  /** Default throughput. */
  readonly performanceHint?: PerformanceHint;
}

export interface InferOptions {
  readonly model: ModelOnDisk;
  readonly type: TaskType;
  readonly items: AsyncIterable<ParsedItem>;
  readonly parameters: Parameters;
  /** How a generating model is asked: one of these, by the language of each text. */
  readonly prompts?: readonly WorkPrompt[] | undefined;
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

/** A model with processes, or one that was set aside. */
export interface ModelState {
  readonly isReady: boolean;
  readonly processes: number;
  readonly waitingItems: number;
  /** Runs under way. */
  readonly openRuns: number;
  /** Known once it was loaded. */
  readonly taskTypes?: readonly TaskType[] | undefined;
  readonly provider?: ExecutionProvider | undefined;
  /** Why it runs on another provider than the one that was asked for. */
  readonly fallbackReason?: string | undefined;
  /** Why it gets no process. */
  readonly setAside?: AutoglmError | undefined;
}

export interface Engine {
  /**
   * Resolves when a process has the model loaded and warmed up; 0 ms when one has it already.
   * @throws AutoglmError `ModelLoadFailed`, `ModelSetAside`, `Aborted`
   */
  load(model: ModelOnDisk, signal: AbortSignal): Promise<{ readonly loadMs: number }>;
  /**
   * Exactly one result per item, in any order; a bad item yields its error alone. Reads no more than it can queue.
   * The same items give the same labels, entities and texts; the last digit of a score may depend on what ran with it.
   * @throws AutoglmError `ModelLoadFailed`, `ModelSetAside`, `ModelDoesNotServeType`, `ParametersInvalid`, `Aborted`, and
   *   whatever `items` throws
   */
  infer(options: InferOptions): AsyncIterable<ItemResult>;
  /**
   * Queues one online request, ahead of all items of tasks; its owner gets to know how it ended.
   * @throws AutoglmError `QueueFull` with `retry.afterMs`, `ModelSetAside`
   */
  submit(request: OnlineRequest): void;
  /** What there is of a model; undefined when it has neither a process nor a history. */
  stateOf(model: ModelOnDisk): ModelState | undefined;
  /** A model that was set aside may have processes again. */
  takeBack(model: ModelOnDisk): void;
  /** Ends the model's processes that are idle. */
  unload(model: ModelOnDisk): Promise<void>;
  reports(): readonly EngineReport[];
  /** Memory of all inference processes, the spare one included, as measured when it was last asked for. */
  usedBytes(): number;
  /** Resolves when what `reports` and `usedBytes` say of memory is of now. */
  measureMemory(): Promise<void>;
  /** Ends all processes and requests. */
  close(): Promise<void>;
}

export function createEngine(options: EngineOptions): Engine {
  return new ProcessPoolEngine(options);
}

class ProcessPoolEngine implements Engine {
  readonly #models = new Map<string, ServedModel>();
  readonly #requests = new Set<InferenceRequest>();
  readonly #processes: ProcessPool;
  readonly #scheduler: Scheduler;
  readonly #residency: Residency;
  readonly #loader: ModelLoader;
  readonly #online: OnlineQueue;

  constructor(options: EngineOptions) {
    this.#processes = new ProcessPool(() => this.#noteChange());
    const onCard = options.budgetKind === "gpu" && options.executionProviders?.[0] === "cuda";
    this.#residency = new Residency(this.#models, {
      budgetBytes: options.memoryBudgetBytes,
      processOverheadBytes: onCard ? CUDA_PROCESS_BYTES : 0,
    });
    this.#scheduler = new Scheduler(this.#models, {
      threads: options.threads,
      silenceMs: options.itemTimeoutMs ?? DEFAULT_ITEM_TIMEOUT_MS,
      onChange: () => this.#noteChange(),
      addProcess: (served) => this.#loader.addProcess(served),
    });
    this.#loader = new ModelLoader({
      models: this.#models,
      threads: options.threads,
      executionProviders: options.executionProviders ?? ["cpu"],
      performanceHint: options.performanceHint ?? "throughput",
      processes: this.#processes,
      residency: this.#residency,
      log: options.log,
      hasFreeThreads: (threads) => this.#scheduler.hasFreeThreads(threads),
      onChange: () => this.#noteChange(),
    });
    this.#online = new OnlineQueue({
      limit: options.queueLimit ?? DEFAULT_QUEUE_LIMIT,
      find: (model) => this.#models.get(model.digest),
      loader: this.#loader,
      nextSequence: () => this.#scheduler.nextSequence(),
      schedule: () => this.#scheduler.schedule(),
    });
  }

  async load(model: ModelOnDisk, signal: AbortSignal): Promise<{ readonly loadMs: number }> {
    const served = this.#loader.use(model);
    try {
      return { loadMs: await untilAborted(this.#loader.ensureLoaded(served), signal) };
    } finally {
      this.#loader.release(served);
    }
  }

  async *infer(options: InferOptions): AsyncGenerator<ItemResult> {
    const { model, signal } = options;
    const served = this.#loader.use(model);
    const request = new InferenceRequest(options.items);
    const abort = () => request.fail(aborted());
    signal.addEventListener("abort", abort);
    this.#requests.add(request);
    try {
      await untilAborted(this.#loader.ensureLoaded(served), signal);
      const { serving } = served;
      const refusal = serving && refusalOf(model.name, serving, options);
      if (refusal !== undefined) throw refusal;
      void request.read((item) => this.#enqueueTaskItem(served, request, item, options));
      yield* request.take();
    } finally {
      request.end();
      signal.removeEventListener("abort", abort);
      this.#requests.delete(request);
      this.#loader.release(served);
    }
  }

  submit(request: OnlineRequest): void {
    this.#online.submit(request);
  }

  stateOf(model: ModelOnDisk): ModelState | undefined {
    const served = this.#models.get(model.digest);
    if (served === undefined) return undefined;
    return {
      isReady: served.slots.size > 0 && served.setAside === undefined,
      processes: served.slots.size,
      waitingItems: served.queue.length,
      openRuns: served.openRuns,
      taskTypes: served.serving?.taskTypes,
      provider: served.serving?.provider,
      fallbackReason: served.serving?.fallbackReason,
      setAside: served.setAside,
    };
  }

  takeBack(model: ModelOnDisk): void {
    this.#models.get(model.digest)?.takeBack();
  }

  async unload(model: ModelOnDisk): Promise<void> {
    const served = this.#models.get(model.digest);
    if (served !== undefined) await this.#residency.removeIdleProcesses(served);
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

  measureMemory(): Promise<void> {
    return this.#processes.measureMemory();
  }

  async close(): Promise<void> {
    for (const request of this.#requests) request.fail(aborted());
    for (const served of this.#models.values()) served.failAll(aborted());
    await this.#processes.close();
  }

  #enqueueTaskItem(
    served: ServedModel,
    request: InferenceRequest,
    parsed: WholeItem,
    { type, parameters, prompts = [] }: InferOptions,
  ): void {
    const settle = (result: PipelineResult, ms: number) =>
      request.settle({ item: parsed.item, stage: "final", ms, ...itemOutputOf(result) });
    const { text, fields, media } = parsed;
    let item: PipelineItem = { type, text, fields, media, prompt: promptForText(prompts, text), parameters };
    const contract = served.serving?.contract;
    if (contract !== undefined) {
      const tensors = tensorsOfText(contract, text);
      if ("problem" in tensors) {
        settle({ error: { code: "ItemInvalid", message: tensors.problem } }, 0);
        return;
      }
      item = { type, text: "", tensors: tensors.tensors, parameters };
    }
    const owner = {
      get over() {
        return request.over;
      },
      settle,
      fail: (error: AutoglmError) => {
        // What the model is to blame for ends the request; what an item is to blame for ends the item.
        if (served.setAside !== undefined || !ITEM_FAILURES.has(error.code)) request.fail(error);
        else {
          const { code, message } = error;
          request.settle({ item: parsed.item, stage: "final", ms: 0, error: { code, message } });
        }
      },
    };
    const sequence = this.#scheduler.nextSequence();
    served.enqueue({ sequence, rank: TASK_RANK, item, deadline: Infinity, owner });
    this.#scheduler.schedule();
  }

  /** Something ended or became idle. */
  #noteChange(): void {
    this.#residency.noteChange();
    this.#scheduler.schedule();
  }
}

/** What an item can be the reason of; anything else would fail the next item too. */
const ITEM_FAILURES: ReadonlySet<string> = new Set([
  "InferenceFailed",
  "InferenceTimedOut",
  "InferenceWorkerLost",
  "Internal",
]);

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
