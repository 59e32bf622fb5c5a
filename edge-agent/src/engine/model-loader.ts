import { statSync } from "node:fs";
import path from "node:path";
import { AutoglmError, hasErrorCode, toAutoglmError } from "@autoglm/api";
import type { Log } from "@autoglm/telemetry";
import type { ExecutionProvider } from "./onnx-session.ts";
import type { InferenceChild } from "./child.ts";
import type { ProcessPool } from "./process-pool.ts";
import type { Residency } from "./residency.ts";
import { ServedModel, type ModelOnDisk } from "./served-model.ts";

/** Of the graph and its weights: above it, weights in every process would cost more than runs in parallel gain. */
const LARGE_MODEL_BYTES = 100_000_000;
const LOAD_SILENCE_MS = 300_000;

/**
 * For many requests at once a small model has a process for each thread. For one at a time it has all threads, which spin
 * between the parts of a run: faster by half and more for a single client, slower and dearer under load.
 */
export type PerformanceHint = "throughput" | "latency";

export interface ModelLoaderOptions {
  readonly models: Map<string, ServedModel>;
  /** Cores for inference. */
  readonly threads: number;
  readonly executionProviders: readonly ExecutionProvider[];
  readonly performanceHint: PerformanceHint;
  readonly processes: Pick<ProcessPool, "take" | "keepSpare">;
  readonly residency: Residency;
  readonly log: Log;
  readonly hasFreeThreads: (threads: number) => boolean;
  /** A process has its model, or has failed to get it. */
  readonly onChange: () => void;
}

/** Gives models their processes: the first when somebody wants the model, further ones where they pay. */
export class ModelLoader {
  readonly #options: ModelLoaderOptions;
  /** Digests of models for which it was said that they run on another provider. */
  readonly #fallbacks = new Set<string>();

  constructor(options: ModelLoaderOptions) {
    this.#options = options;
  }

  /**
   * Counts the caller among the users, so that the model is not forgotten meanwhile.
   * @throws AutoglmError `ModelLoadFailed` for a model without a graph
   */
  use(model: ModelOnDisk): ServedModel {
    const served = this.#options.models.get(model.digest) ?? this.#add(model);
    served.users++;
    return served;
  }

  release(served: ServedModel): void {
    served.users--;
    this.#options.onChange();
  }

  /** Milliseconds that it took to load, 0 when it was there. */
  async ensureLoaded(served: ServedModel): Promise<number> {
    if (served.setAside !== undefined) throw served.setAside;
    if (served.slots.size > 0) return 0;
    return served.starting ?? this.#start(served, this.#options.residency.takeRoom(served));
  }

  /** The first process of a model that lost its last one, or a further one where it pays and nothing has to go for it. */
  addProcess(served: ServedModel): void {
    if (served.starting !== undefined) return;
    if (served.slots.size === 0) {
      this.ensureLoaded(served).catch((error: unknown) => served.failAll(error));
      return;
    }
    if (!served.mayGrow) return;
    const isWorth =
      served.slots.size < served.maxProcesses &&
      served.isBacklogged &&
      this.#options.hasFreeThreads(served.threads);
    // An online request does not wait for a task's run, however long that is.
    const isUrgent = served.onlineWaitsForTasks && served.slots.size <= served.maxProcesses;
    if ((isWorth || isUrgent) && this.#options.residency.hasRoomToSpare(served)) {
      served.reservedProcesses++;
      this.#start(served, Promise.resolve()).catch((error: unknown) => served.pauseGrowth(error));
    }
  }

  #add(model: ModelOnDisk): ServedModel {
    const { models, threads, log, executionProviders, performanceHint } = this.#options;
    const single =
      graphBytes(model) > LARGE_MODEL_BYTES ||
      executionProviders.includes("cuda") ||
      performanceHint === "latency";
    const limits = single ? { threads, maxProcesses: 1 } : { threads: 1, maxProcesses: threads };
    const served = new ServedModel(model, limits, log);
    models.set(model.digest, served);
    return served;
  }

  async #start(served: ServedModel, room: Promise<void>): Promise<number> {
    const starting = room.then(() => this.#startProcess(served));
    served.starting = starting;
    try {
      return await starting;
    } finally {
      served.starting = undefined;
      this.#options.onChange();
    }
  }

  /** Loads the model in a process whose memory is reserved. */
  async #startProcess(served: ServedModel, attempts = 2): Promise<number> {
    const { directory, contextLength } = served.model;
    const { executionProviders, performanceHint, processes } = this.#options;
    let child: InferenceChild | undefined;
    try {
      child = processes.take();
      const start = performance.now();
      const { serving } = await child.call<"loaded">(
        {
          kind: "load",
          directory,
          contextLength,
          threads: served.threads,
          executionProviders,
          spinning: performanceHint === "latency",
          warmed: served.warmed,
        },
        LOAD_SILENCE_MS,
      );
      const loadMs = performance.now() - start;
      served.addProcess(child, serving, loadMs);
      if (serving.fallbackReason !== undefined)
        this.#sayFallback(served, serving.provider, serving.fallbackReason);
      return loadMs;
    } catch (thrown) {
      await child?.kill();
      // Whatever ended it from outside may have had nothing to do with this model.
      if (hasErrorCode(thrown, "InferenceWorkerLost")) {
        // Where one process has the model, another one that has no room says nothing about the model.
        if (served.slots.size === 0) served.noteCrash(thrown);
        if (attempts > 1 && served.setAside === undefined)
          return await this.#startProcess(served, attempts - 1);
      }
      served.reservedProcesses--;
      throw served.setAside ?? asLoadFailure(thrown);
    } finally {
      processes.keepSpare();
    }
  }

  /** Once per model: every process of it would say the same. */
  #sayFallback({ model }: ServedModel, provider: ExecutionProvider, reason: string): void {
    if (this.#fallbacks.has(model.digest)) return;
    this.#fallbacks.add(model.digest);
    this.#options.log.warn(
      { model: model.name, variant: model.variant, provider, reason },
      "the model runs on another provider than the first of AUTOGLM_EXECUTION_PROVIDERS: install its libraries and driver, or take it out of the list",
    );
  }
}

function graphBytes(model: ModelOnDisk): number {
  const graph = path.join(model.directory, "model.onnx");
  // Weights that are too large for the graph's file.
  const beside = statSync(`${graph}.data`, { throwIfNoEntry: false });
  try {
    return statSync(graph).size + (beside?.size ?? 0);
  } catch (cause) {
    throw new AutoglmError("ModelLoadFailed", "model.onnx is missing", { cause });
  }
}

function asLoadFailure(thrown: unknown): AutoglmError {
  const error = toAutoglmError(thrown);
  if (error.code === "ModelLoadFailed" || error.code === "Aborted") return error;
  return new AutoglmError("ModelLoadFailed", `loading failed: ${error.message}`, { cause: error });
}
