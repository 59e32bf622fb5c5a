import { readdir, readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { startAgent, type RunningAgent } from "@autoglm/edge-agent";
import { afterAll, afterEach, beforeAll, expect, test } from "vitest";
import { FakeEngine, labelOf } from "./fake-engine.ts";
import { NODE, Site } from "./site.ts";

let site: Site;
const agents: RunningAgent[] = [];

beforeAll(async () => {
  site = await Site.start();
});
afterEach(async () => {
  site.proxy.heal();
  site.startIngesting();
  site.accepts = true;
  site.intercept = undefined;
  for (const agent of agents.splice(0)) await agent.stop();
  await site.assign();
  site.assertNothingRefused();
});
afterAll(async () => {
  await site.stop();
});

async function startOne(
  more: Readonly<Record<string, string>> = {},
  engine = new FakeEngine(),
): Promise<RunningAgent> {
  const agent = await startAgent(await site.options(more), { createEngine: () => engine });
  agents.push(agent);
  const since = site.heartbeats.length;
  await site.until("a heartbeat of the new agent", () => site.heartbeats.length > since);
  return agent;
}

const texts = (count: number) => Array.from({ length: count }, (_, item) => "x".repeat((item % 50) + 1));

test("gives every item of a task its own result and says so", async () => {
  await startOne();
  const assignment = await site.newAssignment(texts(2500));
  await site.assign(assignment);
  await site.until("complete", () => site.isComplete(assignment));
  const { first, duplicates } = site.resultsOf(assignment);
  for (const [item, text] of texts(2500).entries()) {
    expect(first.get(item)?.output).toMatchObject({ labels: [{ label: labelOf(text) }] });
  }
  expect(duplicates).toBe(0);
  await site.until("Done", () => site.reportOf(assignment)?.phase === "Done");
  expect(site.reportOf(assignment)).toMatchObject({ produced: 2500, total: 2500 });
  await site.until("the outbox is empty", () => site.heartbeats.at(-1)?.outbox.chunks === 0);
});

test("reads a file below the data root, broken lines as items with an error", async () => {
  const dataRoot = await site.folder();
  await writeFile(join(dataRoot, "notes.jsonl"), '{"text":"eins"}\n{broken\n{"text":"drei"}\n');
  await startOne({ AUTOGLM_DATA_ROOT: dataRoot });
  const assignment = await site.newAssignment({ kind: "file", path: "notes.jsonl", format: "auto" });
  await site.assign(assignment);
  await site.until("complete", () => site.isComplete(assignment));
  const { first } = site.resultsOf(assignment);
  expect(new Set(first.keys())).toEqual(new Set([0, 1, 2]));
  expect(first.get(1)?.error?.code).toBe("ItemInvalid");
});

test.each([
  ["a missing file", "missing.csv", "InputFileNotFound"],
  ["a file outside the data root", "../../etc/passwd", "InputFileOutsideDataRoot"],
])("reports %s as a failure for as long as it is listed, and keeps working", async (_, path, code) => {
  await startOne();
  const wrong = await site.newAssignment({ kind: "file", path, format: "auto" });
  const right = await site.newAssignment(["fine"]);
  await site.assign(wrong, right);
  await site.until("complete", () => site.isComplete(right));
  await site.until("Failed", () => site.reportOf(wrong)?.phase === "Failed");
  expect(site.reportOf(wrong)?.error?.code).toBe(code);
  await site.assign(right);
  await site.until("gone", () => site.reportOf(wrong) === undefined);
});

test("refuses a model with a wrong digest, deletes it and says so", async () => {
  await startOne();
  const good = site.blob("model.onnx", "the real model");
  const bad = { ...good, sha256: "0".repeat(64), urls: [`${site.url}/models/sha256/${good.sha256}`] };
  const assignment = await site.newAssignment(["text"], { model: site.model([bad]) });
  await site.assign(assignment);
  await site.until("Failed", () => site.reportOf(assignment)?.phase === "Failed");
  expect(site.reportOf(assignment)?.error?.code).toBe("ModelDigestMismatch");
  expect(site.heartbeats.at(-1)?.models.find(({ state }) => state === "Failed")?.error?.code).toBe(
    "ModelDigestMismatch",
  );
});

test("ignores a document for another node and one that is older", async () => {
  await startOne();
  const assignment = await site.newAssignment(["one"]);
  await site.assign(assignment);
  await site.until("complete", () => site.isComplete(assignment));
  const stale = await site.newAssignment(["two"]);
  const document = { v: 1, node: NODE, generation: 0, revision: 0, assignments: [stale] } as const;
  await site.writeRaw({ ...document, assignments: [...document.assignments] });
  const since = site.heartbeats.length;
  await site.until("some heartbeats", () => site.heartbeats.length > since + 6);
  expect(site.reportOf(stale)).toBeUndefined();
  expect(site.resultsOf(stale).first.size).toBe(0);
});

test("works on while the link is cut and delivers everything afterwards", async () => {
  const engine = new FakeEngine({ itemMs: 2 });
  await startOne({}, engine);
  const assignment = await site.newAssignment(texts(400));
  await site.assign(assignment);
  await site.until("first results", () => site.resultsOf(assignment).first.size > 0);
  site.proxy.cut();
  await site.until("computed without a link", () => engine.computed.length === 400);
  site.proxy.heal();
  await site.until("complete", () => site.isComplete(assignment));
  expect(new Set(engine.computed).size).toBe(engine.computed.length);
});

test("sends again what a server lost with its disk", async () => {
  site.accepts = false;
  await startOne();
  const assignment = await site.newAssignment(texts(50));
  await site.assign(assignment);
  await site.until("complete", () => site.isComplete(assignment));
  const results = site.resultsOf(assignment);
  results.first.clear();
  results.chunks.clear();
  results.total = undefined;
  await site.nats.restart({ wipe: true });
  await site.until("complete again", () => site.isComplete(assignment));
  expect(results.first.size).toBe(50);
  site.accepts = true;
  await site.assign(assignment);
  await site.until("the outbox is empty", () => site.heartbeats.at(-1)?.outbox.chunks === 0);
});

test("stops when the outbox is full, says so, and goes on when there is room", async () => {
  site.accepts = false;
  await startOne(
    { AUTOGLM_OUTBOX_LIMIT: "64Ki", AUTOGLM_SEAL_SECONDS: "0.01" },
    new FakeEngine({ itemMs: 1 }),
  );
  const assignment = await site.newAssignment(texts(900));
  await site.assign(assignment);
  await site.until("full", () => site.reportOf(assignment)?.error?.code === "OutboxFull");
  expect(site.heartbeats.at(-1)?.outbox.full).toBe(true);
  expect(site.isComplete(assignment)).toBe(false);
  site.accepts = true;
  await site.assign(assignment);
  await site.until("complete", () => site.isComplete(assignment));
  expect(site.resultsOf(assignment).duplicates).toBe(0);
});

test("keeps results while the result store is full, says so, and delivers them when it has room", async () => {
  site.stopIngesting();
  await site.limitResults(20_000);
  await startOne({ AUTOGLM_SEAL_SECONDS: "0.01" }, new FakeEngine({ itemMs: 1 }));
  const assignment = await site.newAssignment(texts(600));
  await site.assign(assignment);
  await site.until("full", () => site.reportOf(assignment)?.error?.code === "ResultStoreFull");
  // The outbox has room: the work goes on.
  await site.until("Done", () => site.reportOf(assignment)?.phase === "Done");
  site.startIngesting();
  await site.until("complete", () => site.isComplete(assignment));
  expect(site.resultsOf(assignment).duplicates).toBe(0);
  await site.limitResults(1e9);
});

test("computes again what is damaged on its disk, and every item arrives", async () => {
  const stateDir = join(await site.folder(), "state");
  await startOne({ AUTOGLM_STATE_DIR: stateDir });
  site.stopIngesting();
  await site.limitResults(1);
  const assignment = await site.newAssignment(texts(1500));
  await site.assign(assignment);
  await site.until("Done", () => site.reportOf(assignment)?.phase === "Done");
  await agents.pop()?.stop();
  const outbox = join(stateDir, "outbox");
  for (const name of await readdir(outbox)) {
    const bytes = await readFile(join(outbox, name));
    // A byte in the body of the second chunk: the first one holds one result alone.
    const at = bytes.indexOf('"item":400,');
    if (at > 0) await writeFile(join(outbox, name), bytes.fill("?", at, at + 1));
  }
  await site.limitResults(1e9);
  site.startIngesting();
  await startOne({ AUTOGLM_STATE_DIR: stateDir });
  await site.until("complete", () => site.isComplete(assignment));
  expect(site.resultsOf(assignment).first.size).toBe(1500);
});

test("gives up results of a withdrawn assignment after their retention, and counts them", async () => {
  const agent = await startOne({ AUTOGLM_UNLISTED_RETENTION_SECONDS: "1" });
  site.accepts = false;
  const assignment = await site.newAssignment(texts(10));
  await site.assign(assignment);
  await site.until("complete", () => site.isComplete(assignment));
  await site.until("pending", () => (site.heartbeats.at(-1)?.outbox.chunks ?? 0) > 0);
  await site.assign();
  await site.until("given up", () => site.heartbeats.at(-1)?.outbox.chunks === 0);
  const metrics = await (await fetch(`http://127.0.0.1:${agent.healthPort}/metrics`)).text();
  expect(metrics).toMatch(/autoglm_outbox_abandoned_chunks_total{reason="RetentionOver"} [1-9]/);
});

test("stops what left the document, and goes on with it when it comes back", async () => {
  const engine = new FakeEngine({ itemMs: 2 });
  await startOne({}, engine);
  const assignment = await site.newAssignment(texts(500));
  await site.assign(assignment);
  await site.until("first results", () => site.resultsOf(assignment).first.size > 0);
  await site.assign();
  await site.until("stopped", () => site.reportOf(assignment) === undefined);
  const computed = engine.computed.length;
  expect(computed).toBeLessThan(500);
  const { first } = site.resultsOf(assignment);
  const delivered = new Set(first.keys());
  await site.assign(assignment);
  await site.until("complete", () => site.isComplete(assignment));
  // What was delivered before is not computed again.
  expect(engine.computed.slice(computed).filter((item) => delivered.has(item))).toEqual([]);
});

test("a preempted assignment finds its model on the disk, also where models are kept up to a limit", async () => {
  await startOne({ AUTOGLM_MODELS_LIMIT: "1500" }, new FakeEngine({ itemMs: 5 }));
  const gib = 2 ** 30;
  const file = site.blob("model.onnx", "l".repeat(1000));
  const [lowModel, highModel] = [
    site.model([file], "low"),
    site.model([site.blob("model.onnx", "h".repeat(1000))], "high"),
  ];
  const low = await site.newAssignment(texts(200), { model: lowModel, priority: 1, reservedBytes: 3 * gib });
  const high = await site.newAssignment(texts(5), { model: highModel, priority: 5, reservedBytes: 3 * gib });
  await site.assign(low);
  await site.until("the low one runs", () => site.reportOf(low)?.phase === "Running");
  await site.assign(low, high);
  await site.until("both complete", () => site.isComplete(low) && site.isComplete(high));
  expect(site.requests.filter((request) => request.includes(file.sha256))).toHaveLength(1);
});

test("runs by priority what fits the memory, the rest when there is room", async () => {
  const engine = new FakeEngine({ itemMs: 1 });
  await startOne({}, engine);
  const gib = 2 ** 30;
  const low = await site.newAssignment(texts(100), { priority: 1, reservedBytes: 3 * gib });
  const high = await site.newAssignment(texts(100), { priority: 5, reservedBytes: 3 * gib });
  await site.assign(low, high);
  await site.until("both complete", () => site.isComplete(low) && site.isComplete(high));
  const reports = site.heartbeats.flatMap(({ assignments }) => assignments);
  const lowRanBeforeHighWasDone = site.heartbeats.some(
    ({ assignments }) =>
      assignments.some(({ task, phase }) => task === low.task && phase === "Running") &&
      assignments.some(({ task, phase }) => task === high.task && phase === "Running"),
  );
  expect(reports.length).toBeGreaterThan(0);
  expect(lowRanBeforeHighWasDone).toBe(false);
});

test("is ready while the link is cut, tells its metrics, and ends within seconds", async () => {
  const agent = await startOne();
  site.proxy.cut();
  const ready = await fetch(`http://127.0.0.1:${agent.healthPort}/readyz`);
  expect(ready.status).toBe(200);
  const metrics = await (await fetch(`http://127.0.0.1:${agent.healthPort}/metrics`)).text();
  expect(metrics).toMatch(/autoglm_outbox_limit_bytes 1073741824/);
  await agent.stop();
  await expect(agent.stopped).resolves.toBeUndefined();
});

test("a drain seals and sends what is computed, and says that the agent goes", async () => {
  const engine = new FakeEngine({ itemMs: 2 });
  const agent = await startOne({ AUTOGLM_SEAL_SECONDS: "60" }, engine);
  const assignment = await site.newAssignment(texts(2000));
  await site.assign(assignment);
  await site.until("some are computed", () => engine.computed.length > 20);
  await agent.stop();
  const { first } = site.resultsOf(assignment);
  await site.until("sent", () => first.size > 10, 5);
  expect(site.heartbeats.at(-1)?.draining).toBe(true);
  expect(engine.computed.length).toBeLessThan(2000);
  // The fake engine may hold one result back.
  expect(first.size).toBeGreaterThanOrEqual(engine.computed.length - 1);
});
