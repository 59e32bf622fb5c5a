/**
 * One registry per process, made in its main.ts from tables of definitions, so that every metric has a help text
 * and a type before its first value, and can be listed in one place. Packages that measure declare a table and
 * take a narrow port; {@link Metrics} fits each of these ports.
 */
import { AutoglmError } from "@autoglm/api";
import { Counter, collectDefaultMetrics, Gauge, Histogram, Registry } from "prom-client";

export interface MetricDefinition {
  readonly type: "counter" | "gauge" | "histogram";
  readonly labels: readonly string[];
  readonly help: string;
  /** Upper bounds of a histogram's buckets in the unit of its name; default: 1 ms to 60 s. */
  readonly buckets?: readonly number[];
}
export type MetricDefinitions = Readonly<Record<string, MetricDefinition>>;
export type MetricLabels = Readonly<Record<string, string>>;

/** `autoglm_<subsystem>_<what>_<unit>`, or a name that stock dashboards of client-go and controller-runtime know. */
const METRIC_NAME = /^(autoglm_[a-z0-9]+|workqueue|controller_runtime|rest_client)(_[a-z0-9]+)+$/;
const DEFAULT_BUCKETS_SECONDS = [0.001, 0.003, 0.01, 0.03, 0.1, 0.3, 1, 3, 10, 30, 60];

export class Metrics<Definitions extends MetricDefinitions> {
  readonly #registry = new Registry();
  readonly #counters = new Map<string, Counter>();
  readonly #histograms = new Map<string, Histogram>();
  /** Per gauge and set of labels, what to read when it is scraped. */
  readonly #gauges = new Map<string, Map<string, { labels: MetricLabels; value: () => number }>>();

  /** @throws AutoglmError `Internal` for a name outside the convention, or a counter that doesn't end in _total */
  constructor(definitions: Definitions) {
    for (const [name, definition] of Object.entries(definitions)) this.#define(name, definition);
  }

  /** Adds to a counter. */
  count(name: keyof Definitions & string, labels: MetricLabels = {}, by = 1): void {
    this.#find(this.#counters, name).inc(labels, by);
  }

  /** Adds one observation to a histogram, in the unit that the name ends in. */
  observe(name: keyof Definitions & string, labels: MetricLabels, value: number): void {
    this.#find(this.#histograms, name).observe(labels, value);
  }

  /** Has a gauge read `value` whenever it is scraped; the returned function takes it out again. */
  gauge(name: keyof Definitions & string, labels: MetricLabels, value: () => number): () => void {
    const readings = this.#find(this.#gauges, name);
    const key = JSON.stringify(labels);
    const reading = { labels, value };
    readings.set(key, reading);
    return () => {
      if (readings.get(key) === reading) readings.delete(key);
    };
  }

  /** Adds Node's own metrics (memory, CPU, event-loop lag, garbage collection). They end with the process. */
  collectProcessMetrics(): void {
    collectDefaultMetrics({ register: this.#registry });
  }

  /** All metrics in Prometheus' text format. */
  render(): Promise<string> {
    return this.#registry.metrics();
  }

  /** What an HTTP answer with {@link render} says that it is. */
  get contentType(): string {
    return this.#registry.contentType;
  }

  #define(name: string, { type, labels, help, buckets }: MetricDefinition): void {
    if (!METRIC_NAME.test(name) || (type === "counter") !== name.endsWith("_total")) {
      throw new AutoglmError("Internal", `"${name}" is no name for a ${type}`, { details: { name, type } });
    }
    const configuration = { name, help, labelNames: [...labels], registers: [this.#registry] };
    switch (type) {
      case "counter":
        this.#counters.set(name, new Counter(configuration));
        return;
      case "histogram":
        this.#histograms.set(
          name,
          new Histogram({ ...configuration, buckets: [...(buckets ?? DEFAULT_BUCKETS_SECONDS)] }),
        );
        return;
      case "gauge": {
        const readings = new Map<string, { labels: MetricLabels; value: () => number }>();
        this.#gauges.set(name, readings);
        this.#registry.registerMetric(
          new Gauge({
            ...configuration,
            registers: [],
            collect() {
              this.reset();
              for (const { labels, value } of readings.values()) this.set(labels, value());
            },
          }),
        );
      }
    }
  }

  #find<T>(metrics: ReadonlyMap<string, T>, name: string): T {
    const metric = metrics.get(name);
    if (metric === undefined) {
      throw new AutoglmError("Internal", `metric "${name}" is not defined, or of another type`);
    }
    return metric;
  }
}
