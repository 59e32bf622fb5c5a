/** What can't run now says why, in counts, and what would help; and what helps, helps. */
import { setTimeout as delay } from "node:timers/promises";
import { afterAll, beforeAll, expect, it } from "vitest";
import { parseQuantityBytes, TASK_TYPES } from "@autoglm/api";
import { until } from "../support/cluster.ts";
import { conditionOf, configMap, expectEveryItemOnce, TestInstallation } from "../support/installation.ts";
import { numberedNews } from "./example-data.ts";

const ITEMS = 1000;

let site: TestInstallation;

beforeAll(async () => {
  site = await TestInstallation.start({ agentEnv: { AUTOGLM_THREADS: "1" } });
  await site.apply(configMap("news", { "news.jsonl": numberedNews(ITEMS) }));
});
afterAll(() => site.stop());

it.each([
  ["examples/more/", 6],
  ["examples/task-types/", TASK_TYPES.length],
])("takes every manifest of %s as it stands", async (folder, count) => {
  const args = ["apply", "--dry-run=server", "--validate=strict", "-f", folder];
  expect((await site.kubectl(...args)).trim().split("\n")).toHaveLength(count);
});

it.each([
  {
    name: "needs-too-much",
    reason: "InsufficientMemory",
    // The 4 GB node does not even have the tier of the type.
    message: "3/4 InsufficientMemory, 1/4 InsufficientTier",
    node: "cloud-8g",
  },
  {
    name: "needs-other-tier",
    reason: "InsufficientTier",
    message: "1/4 InsufficientTier, 2/4 PoolMismatch, 1/4 LocationMismatch",
    node: "edge-4g",
  },
])("$name waits for one reason, and its hint unblocks it", async ({ name, reason, message, node }) => {
  await site.kubectl("apply", "-f", `examples/more/${name}.yaml`);
  const waiting = await site.taskWhen(name, ({ status }) => status?.hint !== undefined);
  expect(waiting.status).toMatchObject({ reason, message });
  const stated = waiting.status?.conditions?.filter((one) => one.status !== "True").map((one) => one.reason);
  expect(new Set(stated)).toEqual(new Set([reason]));
  expect(await site.kubectl("get", "agt", name, "-o", "wide")).toContain(waiting.status?.hint);
  expect(await site.autoglm("why", name)).toContain(message);

  const mended = await site.run("sh", ["-c", waiting.status?.hint ?? ""]);
  expect(mended).toMatchObject({ exitCode: 0 });
  const done = await site.completed(name);
  expect(done.status).toMatchObject({ node, progress: "1/1" });
  expect(done.status?.hint).toBeUndefined();
});

it("gives memory to the highest priority first, and says who stands where in the queue", async () => {
  await site.kubectl("apply", "-f", "examples/more/queue.yaml");
  await site.taskWhen("long", ({ status }) => (status?.items?.accepted ?? 0) > 0);
  const urgent = await site.taskWhen("urgent", ({ status }) => status?.queuePosition === 1);
  const patient = await site.taskWhen("patient", ({ status }) => status?.queuePosition === 2);
  for (const { status } of [urgent, patient]) {
    expect(status).toMatchObject({
      reason: "InsufficientMemory",
      message: "1/4 InsufficientMemory, 3/4 PoolMismatch",
    });
    expect(status?.hint).toContain("suspend a task on edge-4g");
  }
  // The hint, followed.
  await site.kubectl("patch", "agt", "long", "--type", "merge", "-p", '{"spec":{"suspend":true}}');
  const placedTimes = await Promise.all(
    ["urgent", "patient"].map(async (name) => (await site.completed(name)).status?.placedTime ?? ""),
  );
  expect(placedTimes).toEqual([...placedTimes].sort());
  expect((await site.task("long")).status).toMatchObject({
    reason: "Suspended",
    hint: expect.stringContaining("false"),
  });
});

it("forgets a task that is deleted while it works: node, memory and results", async () => {
  const uid = (await site.task("long")).metadata.uid;
  await site.kubectl("patch", "agt", "long", "--type", "merge", "-p", '{"spec":{"suspend":false}}');
  await site.taskWhen("long", ({ status }) => status?.reason === "Running");
  await until(async () => (await freeBytes("edge-4g")) === 0);
  // Waits for the finalizer.
  await site.kubectl("delete", "agt", "long", "--timeout=60s");
  await until(async () => (await freeBytes("edge-4g")) === parseQuantityBytes("4Gi"));
  await until(async () => (await site.node("edge-4g")).status?.assignments === 0);
  // The ingester forgets it too.
  await until(async () => (await site.ledger(uid)) === undefined);
  expect((await site.run("autoglm", ["results", "long"])).stderr).toContain("not found");
});

it("stops at a suspension, gives the memory back, and goes on where it was", async () => {
  const uid = await site.createTask("interrupted", {
    type: "ner",
    input: { configMapRef: { name: "news" } },
  });
  const { accepted } = await site.acceptedAtLeast(uid, 100);
  expect(accepted).toBeLessThan(ITEMS);
  await site.kubectl("patch", "agt", "interrupted", "--type", "merge", "-p", '{"spec":{"suspend":true}}');
  const suspended = await site.taskWhen("interrupted", ({ status }) => status?.reason === "Suspended");
  expect(conditionOf(suspended, "Running")).toBe("False");
  expect(suspended.status?.placements ?? []).toEqual([]);
  await until(async () => (await freeBytes("edge-6g")) === parseQuantityBytes("6Gi"));
  // What was on its way arrives. Work that went on would arrive too, to the last item.
  const settled = await settledValue(async () => (await site.ledger(uid))?.accepted ?? 0);
  expect(settled).toBeLessThan(ITEMS);

  await site.kubectl("patch", "agt", "interrupted", "--type", "merge", "-p", '{"spec":{"suspend":false}}');
  await site.completed("interrupted");
  const records = await site.records(uid);
  expectEveryItemOnce(records, ITEMS);
  const resumed = records.filter(({ epoch }) => epoch > 1);
  expect(resumed.length).toBeGreaterThan(0);
  expect(resumed.length).toBeLessThanOrEqual(ITEMS - settled);
});

async function freeBytes(node: string): Promise<number> {
  const { memory } = (await site.node(node)).status ?? {};
  return parseQuantityBytes(memory?.free ?? "0");
}

/** The value once it stands still for 2 s. */
async function settledValue(read: () => Promise<number>): Promise<number> {
  for (;;) {
    const before = await read();
    await delay(2000);
    if ((await read()) === before) return before;
  }
}
