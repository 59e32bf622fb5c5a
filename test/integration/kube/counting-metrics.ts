import type { KubeMetricName, KubeMetrics, MetricLabels } from "@autoglm/kube";

/** Keeps counters and gauges in memory. */
export class CountingMetrics implements KubeMetrics {
  readonly #counts: { readonly name: KubeMetricName; readonly labels: MetricLabels }[] = [];
  readonly #gauges: { readonly name: KubeMetricName; readonly value: () => number }[] = [];

  count(name: KubeMetricName, labels: MetricLabels): void {
    this.#counts.push({ name, labels });
  }

  observe(): void {}

  gauge(name: KubeMetricName, _labels: MetricLabels, value: () => number): void {
    this.#gauges.push({ name, value });
  }

  /** How often the counter went up with at least these labels. */
  total(name: KubeMetricName, labels: MetricLabels = {}): number {
    return this.#counts.filter(
      (one) =>
        one.name === name && Object.entries(labels).every(([label, value]) => one.labels[label] === value),
    ).length;
  }

  read(name: KubeMetricName): number | undefined {
    return this.#gauges.find((gauge) => gauge.name === name)?.value();
  }
}
