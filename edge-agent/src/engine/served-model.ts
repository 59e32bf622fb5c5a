import { toAutoglmError, type AutoglmError, type ItemResult } from "@autoglm/api";
import type { Log } from "@autoglm/telemetry";
import { pickBatch } from "./batch.ts";
import type { InferenceChild } from "./child.ts";
import type { EvictionView } from "./eviction.ts";
import type { Serving } from "./protocol.ts";
import type { InferenceRequest } from "./request.ts";

export interface ModelOnDisk {
  readonly name: string;
  readonly variant: string;
  /** Holds model.onnx, pipeline.json and what the pipeline needs. */
  readonly directory: string;
  readonly contextLength: number;
  /** Working set of one process with this model. */
  readonly memoryBytes: number;
  /** Of all files: the identity of the model. */
  readonly digest: string;
}

export interface QueuedItem {
  /** Counted over all models: the order of arrival. */
  readonly sequence: number;
  readonly request: InferenceRequest;
  readonly item: number;
  readonly text: string;
  readonly length: number;
  /** It was in a run that failed; see {@link ServedModel}. */
  readonly alone: boolean;
}

interface Slot {
  readonly child: InferenceChild;
  busy: boolean;
}

/** Items whose latency the reported median is taken over. */
const RECENT_ITEMS = 100;

/**
 * A model with its queue and its processes.
 *
 * A run that fails says nothing about which of its items did it. So each of them goes back to the head of the queue to run
 * alone, once; one that fails alone and was in a failed run before gets the error, and nobody else. A process that was
 * lost or killed is replaced when there is work.
 */
export class ServedModel implements EvictionView {
  readonly model: ModelOnDisk;
  /** Intra-op threads of each process. */
  readonly threads: number;
  maxProcesses: number;
  readonly slots = new Set<Slot>();
  queue: QueuedItem[] = [];
  /** Known once a process has loaded the model. */
  serving: Serving | undefined;
  /** Set while a process is being started; resolves to the milliseconds that loading took. */
  starting: Promise<number> | undefined;
  /** Processes that memory is set aside for. */
  reservedProcesses = 0;
  /** Callers that want it: loads and requests under way. */
  users = 0;
  lastUsed = 0;
  readonly #itemMs: number[] = [];
  readonly #log: Log;

  constructor(
    model: ModelOnDisk,
    limits: { readonly threads: number; readonly maxProcesses: number },
    log: Log,
  ) {
    this.model = model;
    this.threads = limits.threads;
    this.maxProcesses = limits.maxProcesses;
    this.#log = log.child({ model: model.name, variant: model.variant });
  }

  get idleSlots(): readonly Slot[] {
    return [...this.slots].filter(({ busy }) => !busy);
  }

  get processes(): number {
    return this.slots.size;
  }

  get idleProcesses(): number {
    return this.idleSlots.length;
  }

  get busyProcesses(): number {
    return this.processes - this.idleProcesses;
  }

  get isIdle(): boolean {
    return this.queue.length === 0 && this.busyProcesses === 0 && this.starting === undefined;
  }

  get memoryBytes(): number {
    return [...this.slots].reduce((sum, { child }) => sum + child.memoryBytes, 0);
  }

  /** Median milliseconds of the last items; undefined before the first. */
  get itemMs(): number | undefined {
    return this.#itemMs.toSorted((a, b) => a - b)[this.#itemMs.length >> 1];
  }

  /** More waits than one run takes. */
  get isBacklogged(): boolean {
    const waiting = this.queue.reduce((sum, { length }) => sum + length, 0);
    return (
      this.serving !== undefined &&
      (waiting > this.serving.budget || this.queue.length > this.serving.maxItems)
    );
  }

  get oldestSequence(): number {
    return this.queue[0]?.sequence ?? Infinity;
  }

  /** Items whose request has ended are not worth a run. */
  dropOver(): void {
    if (this.queue.some(({ request }) => request.over))
      this.queue = this.queue.filter(({ request }) => !request.over);
  }

  /** Ends every request with items here: there is no process, and none can be started. */
  failAll(error: unknown): void {
    for (const { request } of this.queue) request.fail(error);
    this.queue = [];
  }

  /** A further process could not be started: those that there are go on alone. */
  stopGrowing(error: unknown): void {
    this.#log.warn({ error }, "a further inference process could not be started");
    this.maxProcesses = Math.max(1, this.slots.size);
  }

  enqueue(item: Omit<QueuedItem, "length" | "alone">): void {
    const length = Math.max(1, Math.min(item.text.length, this.serving?.maxLength ?? Infinity));
    this.queue.push({ ...item, length, alone: false });
  }

  addProcess(child: InferenceChild, serving: Serving): void {
    this.serving ??= serving;
    child.onCalibrated = (budget) => {
      if (this.serving !== undefined) this.serving = { ...this.serving, budget };
    };
    const slot = { child, busy: false };
    this.slots.add(slot);
    void child.measureMemory();
    void child.exited.then(() => this.#remove(slot));
  }

  async removeProcess(slot: Slot): Promise<void> {
    this.#remove(slot);
    await slot.child.kill();
  }

  /** Gives a batch to an idle process; resolves when that has answered or failed. */
  async dispatch(slot: Slot, silenceMs: number): Promise<void> {
    const { maxItems = 1, budget = 1 } = this.serving ?? {};
    const limits = { maxItems, budget, idleProcesses: this.idleProcesses };
    const picked = new Set(pickBatch(this.queue, limits));
    const batch = this.queue.filter((_, index) => picked.has(index));
    this.queue = this.queue.filter((_, index) => !picked.has(index));
    slot.busy = true;
    const start = performance.now();
    try {
      const items = batch.map(({ text, request }) => ({ text, parameters: request.parameters }));
      const { results } = await slot.child.call<"done">({ kind: "run", items }, silenceMs);
      const ms = roundMs((performance.now() - start) / batch.length);
      for (const [index, { request, item }] of batch.entries()) {
        const result = results[index] ?? {
          error: { code: "Internal", message: "the pipeline gave no result" },
        };
        request.settle({ item, stage: "final", ms, ...result });
        if (this.#itemMs.push(ms) > RECENT_ITEMS) this.#itemMs.shift();
      }
    } catch (thrown) {
      this.#retryAlone(batch, toAutoglmError(thrown), roundMs(performance.now() - start));
      if (!slot.child.alive || toAutoglmError(thrown).code === "InferenceTimedOut")
        await this.removeProcess(slot);
    } finally {
      slot.busy = false;
    }
  }

  #retryAlone(batch: readonly QueuedItem[], error: AutoglmError, ms: number): void {
    this.#log.warn({ error, items: batch.length }, "a run failed");
    const [only] = batch;
    if (batch.length === 1 && only?.alone === true) {
      const { code, message } = error;
      const result: ItemResult = { item: only.item, stage: "final", ms, error: { code, message } };
      only.request.settle(result);
    } else {
      this.queue.unshift(...batch.map((item) => ({ ...item, alone: true })));
    }
  }

  #remove(slot: Slot): void {
    if (this.slots.delete(slot)) this.reservedProcesses--;
  }
}

const roundMs = (ms: number) => Math.round(ms * 1000) / 1000;
