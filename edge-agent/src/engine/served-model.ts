import { performance } from "node:perf_hooks";
import { AutoglmError, toAutoglmError } from "@autoglm/api";
import type { Log } from "@autoglm/telemetry";
import type { PipelineItem, PipelineResult } from "../pipelines/pipeline.ts";
import { sizeOfTensors } from "../pipelines/tensor-contract.ts";
import { pickBatch } from "./batch.ts";
import type { InferenceChild } from "./child.ts";
import { Crashes } from "./crashes.ts";
import type { EvictionView } from "./eviction.ts";
import type { Serving, Warmed } from "./protocol.ts";
import { TASK_RANK, type QueuedItem } from "./queued-item.ts";
import { runItems } from "./run-items.ts";
import { RunTimes, roundMs } from "./run-times.ts";
import { Slot } from "./slot.ts";
import { StreamedText } from "./streamed-text.ts";
import { Turn } from "./turn.ts";

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

/** A second message costs tens of microseconds on both sides: work of less than this is not split. */
const WORTH_SPLITTING_MS = 0.4;
/** So long after an online request one process, or some rows, are kept free of tasks, where there are several. */
const ONLINE_MEMORY_MS = 10_000;
/** What kept a further process from starting, memory that others have perhaps, may be over then. */
const GROWTH_PAUSE_MS = 60_000;
/** Rows of a process whose runs overlap that tasks then leave free. */
const ONLINE_ROWS = 2;

/**
 * A model with its queue and its processes.
 *
 * A run that fails says nothing about which of its items did it. So each of them goes back to the head of the queue to run
 * alone, once; one that fails alone and was in a failed run before gets the error, and nobody else. A process that was
 * lost or killed is replaced when there is work. A model that loses its process three times in ten minutes is set aside:
 * it gets no other one until somebody says so, because it would take the node with it.
 */
export class ServedModel implements EvictionView {
  readonly model: ModelOnDisk;
  /** Intra-op threads of each process. */
  readonly threads: number;
  readonly maxProcesses: number;
  readonly slots = new Set<Slot>();
  /** By rank, then by arrival. */
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
  /** Why it gets no process. */
  setAside: AutoglmError | undefined;
  onlineItems = 0;
  /** Online requests that wait for it to be loaded. */
  onlineLoads = 0;
  readonly turn = new Turn();
  readonly #crashes = new Crashes();
  readonly #times = new RunTimes();
  #lastOnline = -Infinity;
  #growsAgainAt = -Infinity;
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
    return this.processes - this.busyProcesses;
  }

  get busyProcesses(): number {
    let count = 0;
    for (const { busy } of this.slots) if (busy) count++;
    return count;
  }

  get openRuns(): number {
    let count = 0;
    for (const { runs } of this.slots) count += runs;
    return count;
  }

  get isIdle(): boolean {
    const waits = this.turn.isYielding ? this.onlineItems > 0 : this.queue.length > 0;
    return !waits && this.busyProcesses === 0 && this.starting === undefined;
  }

  /** An online request waits for it or runs. */
  get hasOnlineWork(): boolean {
    if (this.onlineItems + this.onlineLoads > 0) return true;
    for (const { busy, isOnTask } of this.slots) if (busy && !isOnTask) return true;
    return false;
  }

  /** It was loaded for somebody whose first run is to come. */
  get isAwaited(): boolean {
    return (this.users > 0 && !this.turn.hasRun) || this.turn.expectsFirstRun(performance.now());
  }

  /** An online request was answered a moment ago, and the next one may be on its way. */
  get expectsOnline(): boolean {
    return performance.now() - this.#lastOnline < ONLINE_MEMORY_MS;
  }

  get memoryBytes(): number {
    return [...this.slots].reduce((sum, { child }) => sum + child.memoryBytes, 0);
  }

  /** Median milliseconds of the last items; undefined before the first. */
  get itemMs(): number | undefined {
    return this.#times.itemMs;
  }

  /** What a further process need not find out; on an accelerator each process has to warm up all shapes. */
  get warmed(): Warmed | undefined {
    if (this.serving?.provider !== "cpu") return undefined;
    const { budget, runUnits, largestShapes } = this.serving;
    return { budget, runUnits, largestShapes };
  }

  /** More waits than one run takes. */
  get isBacklogged(): boolean {
    if (this.serving === undefined) return false;
    if (this.serving.overlaps) return this.queue.length > 0;
    let units = 0;
    let rows = 0;
    for (const item of this.queue) {
      units += item.length * item.rows;
      rows += item.rows;
    }
    return units > this.serving.budget || rows > this.serving.maxItems;
  }

  /** An online request waits, and what it waits for are items of tasks. */
  get onlineWaitsForTasks(): boolean {
    if ((this.queue[0]?.rank ?? TASK_RANK) >= TASK_RANK) return false;
    for (const { isOnTask } of this.slots) if (!isOnTask) return false;
    return true;
  }

  /** The first of the queue is an online request, and all that runs are items of tasks. */
  get onlineRunsBesideTasks(): boolean {
    if (this.firstRank >= TASK_RANK) return false;
    for (const { busy, isOnTask } of this.slots) if (busy && !isOnTask) return false;
    return true;
  }

  /** The process that may take the first of the queue now: the one with the least to do. */
  slotForFirst(): Slot | undefined {
    const first = this.queue[0];
    if (first === undefined) return undefined;
    const { overlaps = false, maxItems = 1 } = this.serving ?? {};
    const isOfTask = first.rank >= TASK_RANK;
    if (isOfTask && this.turn.isYielding) return undefined;
    const makesRoom = isOfTask && this.expectsOnline;
    if (makesRoom && !overlaps && this.slots.size > 1 && this.idleProcesses < 2) return undefined;
    const rows = overlaps ? Math.max(1, maxItems - (makesRoom ? ONLINE_ROWS : 0)) : 1;
    const most = first.alone ? 1 : rows;
    let best: Slot | undefined;
    for (const slot of this.slots) {
      if (slot.runs < most && !slot.isAlone && slot.runs < (best?.runs ?? Infinity)) best = slot;
    }
    return best;
  }

  get firstRank(): number {
    return this.queue[0]?.rank ?? Infinity;
  }

  get firstSequence(): number {
    return this.queue[0]?.sequence ?? Infinity;
  }

  /** Milliseconds after which what waits now will have been answered, as far as one can tell. */
  get backlogMs(): number {
    let units = 0;
    for (const { length, rows } of this.queue) units += length * rows;
    return (units * this.#times.msPerUnit) / Math.max(1, this.slots.size);
  }

  /**
   * Items that nobody waits for are not worth a run; those whose time is over get to know it.
   * @returns whether there were any
   */
  dropOver(now: number): boolean {
    if (!this.queue.some(({ owner, deadline }) => owner.over || deadline <= now)) return false;
    const kept: QueuedItem[] = [];
    for (const item of this.queue) {
      if (!item.owner.over && item.deadline > now) {
        kept.push(item);
        continue;
      }
      if (item.rank < TASK_RANK) this.onlineItems--;
      if (!item.owner.over)
        item.owner.fail(new AutoglmError("Timeout", "the deadline passed before its turn came"));
    }
    this.queue = kept;
    return true;
  }

  /** Ends everything that waits here: there is no process, and none can be started. */
  failAll(error: unknown): void {
    const { queue } = this;
    this.queue = [];
    this.onlineItems = 0;
    for (const { owner } of queue) owner.fail(toAutoglmError(error));
  }

  /** A further process could not be started: for a while those that there are go on alone. */
  pauseGrowth(error: unknown): void {
    this.#log.warn({ error }, "a further inference process could not be started");
    this.#growsAgainAt = performance.now() + GROWTH_PAUSE_MS;
  }

  get mayGrow(): boolean {
    return performance.now() >= this.#growsAgainAt;
  }

  enqueue(item: Omit<QueuedItem, "length" | "rows" | "alone" | "streamed">): void {
    const streamed = item.owner.onToken === undefined ? undefined : new StreamedText();
    const queued = { ...item, ...this.#sizeOf(item.item), alone: false, streamed };
    if (item.rank < TASK_RANK) {
      this.onlineItems++;
      this.#lastOnline = performance.now();
    }
    const last = this.queue.at(-1);
    if (last === undefined || last.rank <= item.rank) this.queue.push(queued);
    else {
      const position = this.queue.findIndex(({ rank }) => rank > item.rank);
      this.queue.splice(position, 0, queued);
    }
  }

  /** @param loadMs that it took to load */
  addProcess(child: InferenceChild, serving: Serving, loadMs: number): void {
    this.serving ??= serving;
    if (this.slots.size === 0) this.turn.begin(loadMs);
    child.onCalibrated = (costs) => {
      if (this.serving !== undefined) this.serving = { ...this.serving, ...costs };
    };
    const slot = new Slot(child);
    this.slots.add(slot);
    void child.measureMemory();
    void child.exited.then((error) => {
      this.#remove(slot);
      if (!child.wasKilled) this.noteCrash(error);
    });
  }

  async removeProcess(slot: Slot): Promise<void> {
    this.#remove(slot);
    await slot.child.kill();
  }

  /** Counts a process that ended by itself; sets the model aside when it was one too many. */
  noteCrash(error: AutoglmError): void {
    const setAside = this.#crashes.note(this.model.name, error);
    if (setAside === undefined) return;
    this.setAside = setAside;
    this.#log.error({ error: setAside }, "the model is set aside");
    this.failAll(setAside);
  }

  /** Somebody has looked at it: it gets a process again. */
  takeBack(): void {
    this.setAside = undefined;
    this.#crashes.forget();
  }

  /** Gives a batch to an idle process; resolves when that has answered or failed. */
  async dispatch(
    slot: Slot,
    options: { readonly silenceMs: number; readonly processes: number },
  ): Promise<void> {
    const batch = this.#takeBatch(options.processes);
    const ofTasks = (batch[0]?.rank ?? 0) >= TASK_RANK ? 1 : 0;
    slot.runs++;
    slot.taskRuns += ofTasks;
    slot.isAlone = batch[0]?.alone === true;
    this.turn.hasRun = true;
    const start = performance.now();
    try {
      const results = await runItems(slot.child, batch, options.silenceMs);
      this.#settle(batch, results, performance.now() - start);
    } catch (thrown) {
      const error = toAutoglmError(thrown);
      if (!slot.child.alive || error.code === "InferenceTimedOut") await this.removeProcess(slot);
      this.#retryAlone(batch, error, roundMs(performance.now() - start));
    } finally {
      slot.runs--;
      slot.taskRuns -= ofTasks;
      slot.isAlone = false;
    }
  }

  #takeBatch(processes: number): readonly QueuedItem[] {
    const { overlaps = false, maxItems = 1, budget = 1, runUnits = 0 } = this.serving ?? {};
    const isWorthSplitting =
      this.#times.msPerUnit === 0 || this.backlogMs * this.slots.size > WORTH_SPLITTING_MS;
    const idleProcesses = isWorthSplitting ? processes : 1;
    // Where runs overlap each item is a run, and answered when it is done.
    const limits = { maxItems, budget, runUnits, idleProcesses };
    const positions = overlaps ? [0] : pickBatch(this.queue, limits);
    const batch: QueuedItem[] = [];
    for (const position of positions) {
      const item = this.queue[position];
      if (item === undefined) continue;
      batch.push(item);
      if (item.rank < TASK_RANK) this.onlineItems--;
    }
    if (batch.length === this.queue.length) this.queue = [];
    else {
      const picked = new Set(positions);
      this.queue = this.queue.filter((_, position) => !picked.has(position));
    }
    return batch;
  }

  #settle(batch: readonly QueuedItem[], results: readonly PipelineResult[], runMs: number): void {
    let units = 0;
    for (const { length, rows } of batch) units += length * rows;
    const ms = this.#times.note(runMs, { items: batch.length, units });
    for (let index = 0; index < batch.length; index++) {
      const result = results[index];
      if (result === undefined)
        batch[index]?.owner.fail(new AutoglmError("Internal", "the pipeline gave no result"));
      else batch[index]?.owner.settle(result, ms);
    }
  }

  #retryAlone(batch: readonly QueuedItem[], error: AutoglmError, ms: number): void {
    this.#log.warn({ error, items: batch.length, ms }, "a run failed");
    const [only] = batch;
    if (batch.length === 1 && only?.alone === true) only.owner.fail(error);
    else {
      for (const { rank } of batch) if (rank < TASK_RANK) this.onlineItems++;
      const again = batch.map((item) => ({ ...item, alone: true }));
      // Behind more urgent ones that came meanwhile, and before their own kind.
      this.queue = [...again, ...this.queue].sort((a, b) => a.rank - b.rank);
    }
  }

  #sizeOf({ text, fields, tensors }: PipelineItem): { readonly length: number; readonly rows: number } {
    const { contract, maxLength = Infinity } = this.serving ?? {};
    if (tensors !== undefined && contract !== undefined) return sizeOfTensors(contract, tensors);
    let length = text.length;
    if (fields !== undefined) for (const field of Object.values(fields)) length += field.length;
    return { length: Math.max(1, Math.min(length, maxLength)), rows: 1 };
  }

  #remove(slot: Slot): void {
    if (this.slots.delete(slot)) this.reservedProcesses--;
  }
}
