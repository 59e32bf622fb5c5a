/** The whole agent on a real model: the committed Chinese sentiment model, through ONNX Runtime in child processes. */
import { createReadStream } from "node:fs";
import { readFile } from "node:fs/promises";
import { fileURLToPath } from "node:url";
import { createEngine, startAgent, type RunningAgent } from "@autoglm/edge-agent";
import { afterAll, beforeAll, expect, test } from "vitest";
import { parseDocument } from "../../../edge-agent/src/parse/index.ts";
import { Site } from "./site.ts";

const data = new URL("../../../examples/data/", import.meta.url);
let site: Site;
let agent: RunningAgent;

beforeAll(async () => {
  site = await Site.start();
  const dataRoot = fileURLToPath(data);
  agent = await startAgent(await site.options({ AUTOGLM_DATA_ROOT: dataRoot }), { createEngine });
  await site.until("a heartbeat", () => site.heartbeats.length > 0);
});
afterAll(async () => {
  await agent.stop();
  await site.stop();
});

test("judges a file of real reviews: every review has its result, most of them the right one", async () => {
  const folder = new URL("../../../models/zh-sentiment/", import.meta.url);
  const blob = async (path: string) => site.blob(path, await readFile(new URL(path, folder)));
  const model = site.model([await blob("model.onnx"), await blob("pipeline.json")], "zh-sentiment");
  const assignment = await site.newAssignment(
    { kind: "file", path: "reviews.csv", format: "auto", field: "review" },
    { model },
  );
  await site.assign(assignment);
  await site.until("complete", () => site.isComplete(assignment), 60);
  const { first, total, duplicates } = site.resultsOf(assignment);
  expect(duplicates).toBe(0);
  expect([...first.values()].filter(({ output }) => output?.type === "text-classification")).toHaveLength(
    total ?? -1,
  );
  const labels: string[] = [];
  const csv = createReadStream(new URL("reviews.csv", data));
  for await (const parsed of parseDocument(csv, { format: "csv", field: "label" })) {
    labels.push("text" in parsed ? parsed.text : "");
  }
  expect(labels).toHaveLength(total ?? -1);
  const right = labels.filter((label, item) => {
    const output = first.get(item)?.output;
    return output?.type === "text-classification" && output.labels[0]?.label === label;
  });
  expect(right.length / labels.length).toBeGreaterThan(0.8);
  await site.until(
    "loaded",
    () => site.heartbeats.at(-1)?.models.some(({ state }) => state === "Loaded") === true,
  );
  const report = site.heartbeats.at(-1)?.models.find(({ state }) => state === "Loaded");
  expect(report?.memoryBytes).toBeGreaterThan(0);
});
