/** Every metric of the ingester; the process that runs it defines them from this table. */
export const INGEST_METRICS = {
  autoglm_ingest_results_total: {
    type: "counter",
    labels: ["outcome"],
    help: "Results of single items that came in: stored, or dropped because they were there already",
  },
  autoglm_ingest_refused_chunks_total: {
    type: "counter",
    labels: ["code"],
    help: "Chunks that were thrown away: malformed, forged, or not granted",
  },
  autoglm_ingest_commit_seconds: {
    type: "histogram",
    labels: [],
    help: "Time to decide on a batch of chunks and bring it to disk",
  },
  autoglm_ingest_store_bytes: { type: "gauge", labels: [], help: "Size of the result store" },
  autoglm_ingest_store_full: {
    type: "gauge",
    labels: [],
    help: "1 while the store takes no results because its volume is full",
  },
} as const;

type IngestMetricName = keyof typeof INGEST_METRICS;
type MetricLabels = Readonly<Record<string, string>>;

export interface IngestMetrics {
  count(name: IngestMetricName, labels: MetricLabels, by?: number): void;
  observe(name: IngestMetricName, labels: MetricLabels, value: number): void;
  gauge(name: IngestMetricName, labels: MetricLabels, value: () => number): unknown;
}
