import type { MetricDefinitions } from "@autoglm/telemetry";

export const HTTP_METRICS = {
  autoglm_http_request_seconds: {
    type: "histogram",
    labels: ["route", "model", "status"],
    help: "Inference requests from their head to the end of the answer.",
    buckets: [0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 10, 60],
  },
  autoglm_http_open_requests_count: {
    type: "gauge",
    labels: [],
    help: "Requests that are not answered yet.",
  },
  autoglm_http_dropped_requests_total: {
    type: "counter",
    labels: ["reason"],
    help: "Requests that were given up: disconnect, deadline, queue.",
  },
  autoglm_http_dropped_connections_total: {
    type: "counter",
    labels: [],
    help: "Connections beyond the limit, closed at once.",
  },
  autoglm_inference_waiting_items_count: {
    type: "gauge",
    labels: ["model", "variant"],
    help: "Items that wait for a process of the model.",
  },
  autoglm_inference_processes_count: {
    type: "gauge",
    labels: ["model", "variant"],
    help: "Processes that have the model loaded.",
  },
  autoglm_inference_set_aside_count: {
    type: "gauge",
    labels: ["model", "variant"],
    help: "1 while the model gets no process because it lost too many.",
  },
  autoglm_inference_provider_fallback_count: {
    type: "gauge",
    labels: ["model", "variant"],
    help: "1 while the model runs on another provider than the first that was asked for.",
  },
  autoglm_agent_event_loop_delay_p99_seconds: {
    type: "gauge",
    labels: [],
    help: "How late the agent's event loop was, 99th percentile since the last scrape.",
  },
} as const satisfies MetricDefinitions;
