import type { MetricDefinitions } from "@autoglm/telemetry";

export const AGENT_METRICS = {
  autoglm_outbox_pending_chunks: { type: "gauge", labels: [], help: "Chunks that are not accepted yet." },
  autoglm_outbox_pending_bytes: {
    type: "gauge",
    labels: [],
    help: "Bytes of chunks that are not accepted yet.",
  },
  autoglm_outbox_disk_bytes: {
    type: "gauge",
    labels: [],
    help: "Bytes of the outbox's files, dead ones included.",
  },
  autoglm_outbox_limit_bytes: { type: "gauge", labels: [], help: "Bytes beyond which the work waits." },
  autoglm_outbox_damaged_records_total: {
    type: "counter",
    labels: [],
    help: "Records whose checksum was wrong; their items are computed again.",
  },
  autoglm_outbox_abandoned_chunks_total: {
    type: "counter",
    labels: ["reason"],
    help: "Chunks of withdrawn assignments that were given up, accepted or not.",
  },
  autoglm_bus_chunks_sent_total: {
    type: "counter",
    labels: ["outcome"],
    help: "Sends of chunks, by outcome: stored, duplicate, or the code of an error.",
  },
  autoglm_bus_link_connected: { type: "gauge", labels: [], help: "1 while the link to the hub is up." },
  autoglm_agent_results_sealed_total: {
    type: "counter",
    labels: [],
    help: "Results that were put into the outbox.",
  },
  autoglm_agent_assignments_count: {
    type: "gauge",
    labels: [],
    help: "Assignments that the agent works on.",
  },
  autoglm_agent_engine_bytes: { type: "gauge", labels: [], help: "Memory of the engine's processes." },
} as const satisfies MetricDefinitions;
