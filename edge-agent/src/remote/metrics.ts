import type { MetricDefinitions } from "@autoglm/telemetry";

export const REMOTE_METRICS = {
  autoglm_endpoint_items_total: {
    type: "counter",
    labels: ["model", "outcome"],
    help: "Items that an endpoint was asked for, by outcome: answered, or the code of the item's error.",
  },
  autoglm_endpoint_tokens_total: {
    type: "counter",
    labels: ["model", "kind"],
    help: "Tokens as the endpoint counts them: prompt, completion, reasoning (of completion), cached (of prompt).",
  },
  autoglm_endpoint_choice_coverage_ratio: {
    type: "histogram",
    labels: ["model"],
    help: "Probability that the model gave all choices of a classification together; low: it did not understand the prompt.",
    buckets: [0.01, 0.05, 0.1, 0.25, 0.5, 0.75, 0.9, 0.99],
  },
  autoglm_endpoint_dropped_spans_total: {
    type: "counter",
    labels: ["model"],
    help: "Entities and relations that the model named and the text does not have.",
  },
  autoglm_endpoint_repairs_total: {
    type: "counter",
    labels: ["model"],
    help: "Answers that did not have the form that was asked for, and were asked for once more.",
  },
  autoglm_endpoint_cut_texts_total: {
    type: "counter",
    labels: ["model"],
    help: "Texts of which only the beginning fitted into the prompt.",
  },
} as const satisfies MetricDefinitions;
