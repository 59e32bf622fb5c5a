import { describe, expect, it } from "vitest";
import { Metrics } from "./metrics.ts";

const DEFINITIONS = {
  workqueue_depth: { type: "gauge", labels: ["name"], help: "Keys that wait" },
  autoglm_outbox_chunks_total: { type: "counter", labels: ["outcome"], help: "Chunks" },
  autoglm_engine_item_seconds: { type: "histogram", labels: [], help: "Time per item", buckets: [0.1, 1] },
} as const;

describe("Metrics", () => {
  it("counts by label", async () => {
    const metrics = new Metrics(DEFINITIONS);
    metrics.count("autoglm_outbox_chunks_total", { outcome: "stored" });
    metrics.count("autoglm_outbox_chunks_total", { outcome: "stored" }, 4);
    expect(await metrics.render()).toContain('autoglm_outbox_chunks_total{outcome="stored"} 5');
  });

  it("puts observations into the declared buckets", async () => {
    const metrics = new Metrics(DEFINITIONS);
    metrics.observe("autoglm_engine_item_seconds", {}, 0.5);
    const text = await metrics.render();
    expect(text).toContain('autoglm_engine_item_seconds_bucket{le="0.1"} 0');
    expect(text).toContain('autoglm_engine_item_seconds_bucket{le="1"} 1');
  });

  it("reads a gauge when scraped, and forgets it when told to", async () => {
    const metrics = new Metrics(DEFINITIONS);
    let depth = 2;
    const forget = metrics.gauge("workqueue_depth", { name: "task" }, () => depth);
    depth = 7;
    expect(await metrics.render()).toContain('workqueue_depth{name="task"} 7');
    forget();
    expect(await metrics.render()).not.toContain('name="task"');
  });

  it("shares nothing between two registries", async () => {
    const [first, second] = [new Metrics(DEFINITIONS), new Metrics(DEFINITIONS)];
    first.count("autoglm_outbox_chunks_total", { outcome: "stored" });
    expect(await second.render()).not.toContain("stored");
  });

  it.each([
    ["outbox_chunks_total", "counter"],
    ["autoglm_chunks", "gauge"],
    ["autoglm_outbox_chunks", "counter"],
    ["autoglm_outbox_chunks_total", "gauge"],
  ] as const)("refuses %s as the name of a %s", (name, type) => {
    expect(() => new Metrics({ [name]: { type, labels: [], help: "x" } })).toThrow(
      expect.objectContaining({ code: "Internal" }),
    );
  });

  it("refuses to use a metric as another type", () => {
    const metrics = new Metrics(DEFINITIONS);
    expect(() => metrics.count("workqueue_depth")).toThrow(expect.objectContaining({ code: "Internal" }));
  });
});
