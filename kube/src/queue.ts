/**
 * A keyed work queue with the workers that empty it, after client-go's util/workqueue.
 *
 *     add ──▶ dirty ──▶ processing ──▶ done        a key is waiting at most once and worked on at most once
 *               ▲            │                     at a time; added while it is worked on, it runs again
 *               │            ├─ requeueAfterMs ─▶ delayed ─▶ add
 *               │            ├─ error, backoff ─▶ delayed ─▶ add     5 ms · 2ⁿ up to 5 min, half of it random
 *               └────────────┴─ terminal error ─▶ parked             until added with another version
 *
 * Invariant: every key that was added runs at least once after its last add, unless it is parked at the version it
 * was added with. One delayed entry per key, the earliest wins; an earlier run does not cancel it, since one run
 * too many is harmless and one too few is not.
 *
 * The queue alone retries. It knows keys, never objects; `reconcile` reads the state when its turn comes.
 */
import { type AutoglmError, toAutoglmError } from "@autoglm/api";
import { backoffMs, type BackoffRange } from "./backoff.ts";
import {
  type Clock,
  type KubeMetrics,
  type Log,
  noMetrics,
  type Random,
  silentLog,
  sleep,
  systemClock,
} from "./ports.ts";

export interface ReconcileOutcome {
  /** Run this key again after so long even if nothing changes. */
  readonly requeueAfterMs?: number | undefined;
}

/**
 * One pass over one key. What it throws decides what comes next by its `retry`: back off, wait so long, or park.
 * The signal fires when the queue has waited for it long enough while shutting down.
 */
export type Reconcile = (key: string, signal: AbortSignal) => Promise<ReconcileOutcome>;

export interface WorkQueueOptions {
  /** Also the `controller` label of metrics. */
  readonly name: string;
  readonly reconcile: Reconcile;
  /** Default 1. */
  readonly concurrency?: number;
  readonly backoff?: BackoffRange;
  /** How long a shutdown lets running work finish; default 10 s. */
  readonly drainMs?: number;
  readonly log?: Log;
  readonly metrics?: KubeMetrics;
  readonly clock?: Clock;
  readonly random?: Random;
}

export interface AddOptions {
  /**
   * Names the state that the work is about, `metadata.generation` for an object. A key that failed for good at
   * this version is not run again for it; an add without a version always runs: use that for a deletion, and
   * when something else that the key depends on has changed.
   */
  readonly version?: string | undefined;
}

export class WorkQueue {
  readonly #options: Required<WorkQueueOptions>;
  /** Keys that wait, in order of arrival, with when they came. */
  readonly #dirty = new Map<string, number>();
  /** Keys that are worked on, with since when. */
  readonly #processing = new Map<string, number>();
  /** Keys that were added while they were worked on. */
  readonly #again = new Set<string>();
  readonly #delayed = new Map<string, { readonly dueAtMs: number; readonly cancel: () => void }>();
  readonly #failures = new Map<string, number>();
  /** The version that each key was last added with, until it has succeeded. */
  readonly #versions = new Map<string, string | undefined>();
  /** Keys that failed for good, and at which version. */
  readonly #parked = new Map<string, string | undefined>();
  /** Present while `run` is under way. */
  #hardStop: AbortController | undefined;
  #stopping = false;
  #onIdle: (() => void) | undefined;

  constructor(options: WorkQueueOptions) {
    this.#options = {
      concurrency: 1,
      backoff: { baseMs: 5, maxMs: 300_000 },
      drainMs: 10_000,
      log: silentLog,
      metrics: noMetrics,
      clock: systemClock,
      random: Math.random,
      ...options,
    };
    const { metrics, name } = this.#options;
    metrics.gauge("workqueue_depth", { name }, () => this.#dirty.size);
    metrics.gauge("workqueue_longest_running_processor_seconds", { name }, () => this.#oldestWorkSeconds());
    metrics.gauge("controller_runtime_active_workers", { controller: name }, () => this.#processing.size);
  }

  /** Keys that wait for a worker; delayed ones are not among them. */
  get depth(): number {
    return this.#dirty.size;
  }

  /** True when nothing waits, runs or is due later. */
  get isIdle(): boolean {
    return this.#dirty.size + this.#processing.size + this.#delayed.size === 0;
  }

  add(key: string, options: AddOptions = {}): void {
    if (this.#stopping) return;
    if (options.version !== undefined) {
      if (this.#parked.has(key) && this.#parked.get(key) === options.version) return;
      this.#versions.set(key, options.version);
    }
    this.#parked.delete(key);
    this.#enqueue(key);
  }

  /** An earlier due time wins over a later one. */
  addAfter(key: string, delayMs: number): void {
    if (this.#stopping) return;
    if (delayMs <= 0) return this.add(key);
    const dueAtMs = this.#options.clock.now() + delayMs;
    const existing = this.#delayed.get(key);
    if (existing !== undefined && existing.dueAtMs <= dueAtMs) return;
    existing?.cancel();
    const cancel = this.#options.clock.after(delayMs, () => {
      this.#delayed.delete(key);
      this.add(key);
    });
    this.#delayed.set(key, { dueAtMs, cancel });
  }

  /** Works until the signal fires, then lets what runs finish, for `drainMs` at most. Never rejects. Run it once. */
  async run(signal: AbortSignal): Promise<void> {
    const { clock, drainMs } = this.#options;
    const hardStop = new AbortController();
    this.#hardStop = hardStop;
    this.#startWork();
    await new Promise<void>((resolve) => {
      if (signal.aborted) resolve();
      signal.addEventListener("abort", () => resolve(), { once: true });
    });
    this.#stopping = true;
    for (const { cancel } of this.#delayed.values()) cancel();
    this.#delayed.clear();
    this.#dirty.clear();
    if (this.#processing.size === 0) return;
    const idle = Promise.withResolvers<void>();
    this.#onIdle = idle.resolve;
    const drained = new AbortController();
    await Promise.race([idle.promise, sleep(clock, drainMs, drained.signal)]);
    drained.abort();
    hardStop.abort();
  }

  #enqueue(key: string): void {
    const { clock, metrics, name } = this.#options;
    if (this.#dirty.has(key) || this.#again.has(key)) return;
    metrics.count("workqueue_adds_total", { name });
    if (this.#processing.has(key)) {
      this.#again.add(key);
      return;
    }
    this.#dirty.set(key, clock.now());
    this.#startWork();
  }

  #startWork(): void {
    if (this.#hardStop === undefined || this.#stopping) return;
    const { clock, concurrency, metrics, name } = this.#options;
    for (const [key, addedAtMs] of this.#dirty) {
      if (this.#processing.size >= concurrency) return;
      const now = clock.now();
      this.#dirty.delete(key);
      this.#processing.set(key, now);
      metrics.observe("workqueue_queue_duration_seconds", { name }, (now - addedAtMs) / 1000);
      void this.#work(key, now, this.#hardStop.signal);
    }
  }

  /** Owns its errors: never rejects. */
  async #work(key: string, startedAtMs: number, signal: AbortSignal): Promise<void> {
    const { clock, metrics, name, reconcile } = this.#options;
    let outcome: ReconcileOutcome | AutoglmError;
    try {
      outcome = await reconcile(key, signal);
    } catch (cause) {
      outcome = toAutoglmError(cause);
    }
    metrics.observe("workqueue_work_duration_seconds", { name }, (clock.now() - startedAtMs) / 1000);
    this.#processing.delete(key);
    const again = this.#again.delete(key);
    const result =
      outcome instanceof Error ? this.#failed(key, outcome, again) : this.#succeeded(key, outcome, again);
    metrics.count("controller_runtime_reconcile_total", { controller: name, result });
    if (again && !this.#stopping) this.#dirty.set(key, clock.now());
    this.#startWork();
    if (this.#processing.size === 0) this.#onIdle?.();
  }

  #succeeded(key: string, outcome: ReconcileOutcome, again: boolean): string {
    this.#failures.delete(key);
    if (!again) this.#versions.delete(key);
    if (outcome.requeueAfterMs === undefined) return "success";
    this.addAfter(key, outcome.requeueAfterMs);
    return "requeue_after";
  }

  #failed(key: string, error: AutoglmError, again: boolean): string {
    const { backoff, log, metrics, name, random } = this.#options;
    metrics.count("controller_runtime_reconcile_errors_total", { controller: name });
    const fields = { controller: name, key, code: error.code, error: error.message };
    if (error.retry === "never") {
      this.#failures.delete(key);
      // Added meanwhile: the state may be another one by now, so that run decides.
      if (!again) this.#park(key);
      log.warn(fields, "stopped until it changes");
      return "terminal_error";
    }
    const failures = (this.#failures.get(key) ?? 0) + 1;
    this.#failures.set(key, failures);
    const delayMs =
      error.retry === "backoff"
        ? backoffMs(backoff, failures, random)
        : error.retry.afterMs * (1 + random() / 10);
    const failure = { ...fields, failures, delayMs };
    if (error.family === "bug") log.error({ ...failure, cause: error }, "runs again");
    else log.warn(failure, "runs again");
    metrics.count("workqueue_retries_total", { name });
    this.addAfter(key, delayMs);
    return "error";
  }

  #park(key: string): void {
    this.#parked.set(key, this.#versions.get(key));
    this.#versions.delete(key);
    this.#delayed.get(key)?.cancel();
    this.#delayed.delete(key);
  }

  #oldestWorkSeconds(): number {
    const oldest = Math.min(...this.#processing.values());
    return Number.isFinite(oldest) ? (this.#options.clock.now() - oldest) / 1000 : 0;
  }
}
