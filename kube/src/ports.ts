/**
 * What kube asks of its surroundings, as narrow as it can be: a clock, randomness, a log, metrics. Each has
 * a default, so that a test or a small tool passes nothing.
 */

/** Milliseconds since the epoch, and timers. */
export interface Clock {
  now(): number;
  /** Calls `run` once after `delayMs`; the returned function cancels it. */
  after(delayMs: number, run: () => void): () => void;
}

/** A number in [0, 1). */
export type Random = () => number;

export interface Log {
  debug(fields: LogFields, message: string): void;
  info(fields: LogFields, message: string): void;
  warn(fields: LogFields, message: string): void;
  error(fields: LogFields, message: string): void;
}

export type LogFields = Readonly<Record<string, unknown>>;

/**
 * Every metric of this package, with the names of client-go and controller-runtime where those have one, so
 * that stock dashboards work. An adapter defines them all from this table at start.
 */
export const KUBE_METRICS = {
  workqueue_depth: { type: "gauge", labels: ["name"], help: "Keys that wait to be worked on" },
  workqueue_adds_total: { type: "counter", labels: ["name"], help: "Keys added" },
  workqueue_retries_total: { type: "counter", labels: ["name"], help: "Keys added again after an error" },
  workqueue_queue_duration_seconds: {
    type: "histogram",
    labels: ["name"],
    help: "How long a key waited before it was worked on",
  },
  workqueue_work_duration_seconds: {
    type: "histogram",
    labels: ["name"],
    help: "How long working on a key took",
  },
  workqueue_longest_running_processor_seconds: {
    type: "gauge",
    labels: ["name"],
    help: "Age of the oldest unfinished work",
  },
  controller_runtime_reconcile_total: {
    type: "counter",
    labels: ["controller", "result"],
    help: "Reconciliations by result: success, requeue_after, error, terminal_error",
  },
  controller_runtime_reconcile_errors_total: {
    type: "counter",
    labels: ["controller"],
    help: "Reconciliations that failed",
  },
  controller_runtime_active_workers: {
    type: "gauge",
    labels: ["controller"],
    help: "Reconciliations that run now",
  },
  rest_client_requests_total: {
    type: "counter",
    labels: ["method", "resource", "code"],
    help: "Requests to the API server; code is the HTTP status or the error's code",
  },
  rest_client_request_duration_seconds: {
    type: "histogram",
    labels: ["method", "resource"],
    help: "Time to the complete answer, watches excepted",
  },
  autoglm_informer_objects: { type: "gauge", labels: ["resource"], help: "Objects in the cache" },
  autoglm_informer_last_event_seconds: {
    type: "gauge",
    labels: ["resource"],
    help: "Seconds since the API server last said something on this watch",
  },
  autoglm_informer_lists_total: { type: "counter", labels: ["resource"], help: "Full lists" },
  autoglm_informer_restarts_total: {
    type: "counter",
    labels: ["resource", "reason"],
    help: "Watches that had to start again, by error code; Closed is a regular end",
  },
  autoglm_status_writes_total: {
    type: "counter",
    labels: ["resource", "outcome"],
    help: "Status writes: written, unchanged, stale, gone",
  },
  autoglm_events_total: {
    type: "counter",
    labels: ["outcome"],
    help: "Events: created, aggregated, dropped",
  },
} as const satisfies Record<string, MetricDefinition>;

export interface MetricDefinition {
  readonly type: "counter" | "gauge" | "histogram";
  readonly labels: readonly string[];
  readonly help: string;
}

export type KubeMetricName = keyof typeof KUBE_METRICS;
export type MetricLabels = Readonly<Record<string, string>>;

export interface KubeMetrics {
  /** Adds one to a counter. */
  count(name: KubeMetricName, labels: MetricLabels): void;
  /** Adds a value, in seconds, to a histogram. */
  observe(name: KubeMetricName, labels: MetricLabels, seconds: number): void;
  /** Has a gauge read `value` whenever it is scraped. */
  gauge(name: KubeMetricName, labels: MetricLabels, value: () => number): void;
}

export const systemClock: Clock = {
  now: () => Date.now(),
  after: (delayMs, run) => {
    const timer = setTimeout(run, delayMs);
    return () => clearTimeout(timer);
  },
};

export const silentLog: Log = { debug: () => {}, info: () => {}, warn: () => {}, error: () => {} };

export const noMetrics: KubeMetrics = { count: () => {}, observe: () => {}, gauge: () => {} };

/** Resolves after `delayMs`, or at once when the signal fires; never rejects. */
export async function sleep(clock: Clock, delayMs: number, signal: AbortSignal): Promise<void> {
  if (signal.aborted) return;
  const { promise, resolve } = Promise.withResolvers<void>();
  const wake = (): void => resolve();
  const cancel = clock.after(delayMs, wake);
  signal.addEventListener("abort", wake, { once: true });
  await promise;
  cancel();
  signal.removeEventListener("abort", wake);
}
