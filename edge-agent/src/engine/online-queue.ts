import { AutoglmError, toAutoglmError } from "@autoglm/api";
import type { PipelineItem } from "../pipelines/pipeline.ts";
import type { ModelLoader } from "./model-loader.ts";
import { DEFAULT_RANK, type ItemOwner } from "./queued-item.ts";
import { refusalOf } from "./refusal.ts";
import type { ModelOnDisk, ServedModel } from "./served-model.ts";

export interface OnlineRequest {
  readonly model: ModelOnDisk;
  readonly item: PipelineItem;
  /** 1 is the most urgent; default 1000. */
  readonly priority?: number | undefined;
  /** On the clock of `performance.now()`; default none. */
  readonly deadline?: number | undefined;
  readonly owner: ItemOwner;
}

export interface OnlineQueueOptions {
  /** Requests that may wait for one model. */
  readonly limit: number;
  readonly find: (model: ModelOnDisk) => ServedModel | undefined;
  readonly loader: ModelLoader;
  readonly nextSequence: () => number;
  readonly schedule: () => void;
}

/** The shortest time after which a refused client may ask again. */
const LEAST_RETRY_MS = 1000;

/**
 * Online requests on their way into the queue of their model: at once where a process has the model, else once it is
 * loaded. Both count towards the limit, so that a cold model takes no more memory than a busy one.
 */
export class OnlineQueue {
  readonly #options: OnlineQueueOptions;
  constructor(options: OnlineQueueOptions) {
    this.#options = options;
  }

  submit(request: OnlineRequest): void {
    const { find, limit } = this.#options;
    const served = find(request.model);
    if (served?.setAside !== undefined) throw served.setAside;
    if (served !== undefined && served.onlineItems + served.onlineLoads >= limit)
      throw queueFull(request.model, limit, served.backlogMs);
    if (served !== undefined && served.slots.size > 0) this.#enqueue(served, request);
    else void this.#loadThenEnqueue(request);
  }

  #enqueue(
    served: ServedModel,
    { item, priority = DEFAULT_RANK, deadline = Infinity, owner }: OnlineRequest,
  ): void {
    const { serving, model } = served;
    const refusal = serving && refusalOf(model.name, serving, item);
    if (refusal !== undefined) {
      owner.fail(refusal);
      return;
    }
    served.enqueue({ sequence: this.#options.nextSequence(), rank: priority, item, deadline, owner });
    this.#options.schedule();
  }

  async #loadThenEnqueue(request: OnlineRequest): Promise<void> {
    const { loader } = this.#options;
    try {
      const served = loader.use(request.model);
      served.onlineLoads++;
      try {
        await beforeDeadline(loader.ensureLoaded(served), request.deadline);
        this.#enqueue(served, request);
      } finally {
        served.onlineLoads--;
        loader.release(served);
      }
    } catch (error) {
      request.owner.fail(toAutoglmError(error));
    }
  }
}

/** @throws AutoglmError `Timeout`; what is being loaded goes on, for others */
async function beforeDeadline(loading: Promise<unknown>, deadline = Infinity): Promise<void> {
  if (deadline === Infinity) {
    await loading;
    return;
  }
  const late = Promise.withResolvers<never>();
  const fail = () =>
    late.reject(new AutoglmError("Timeout", "the deadline passed before the model was loaded"));
  const timer = setTimeout(fail, Math.max(0, deadline - performance.now()));
  try {
    await Promise.race([loading, late.promise]);
  } finally {
    clearTimeout(timer);
  }
}

function queueFull(model: ModelOnDisk, limit: number, backlogMs: number): AutoglmError {
  const afterMs = Math.max(LEAST_RETRY_MS, Math.ceil(backlogMs));
  const message = `${limit} requests wait for model ${model.name}, as many as AUTOGLM_QUEUE_LIMIT allows; try again after ${Math.ceil(afterMs / 1000)} s`;
  return new AutoglmError("QueueFull", message, { retry: { afterMs } });
}
