import { spawn, type ChildProcess } from "node:child_process";
import { once } from "node:events";
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterAll, afterEach, beforeAll, expect, test } from "vitest";
import { Site } from "./site.ts";

let site: Site;
const processes: ChildProcess[] = [];

beforeAll(async () => {
  site = await Site.start();
});
afterEach(async () => {
  for (const child of processes.splice(0)) await kill9(child);
  site.proxy.heal();
  await site.assign();
  site.assertNothingRefused();
});
afterAll(async () => {
  await site.stop();
});

/** With the fake engine, or as users start it. */
function startProcess(variables: Readonly<Record<string, string>>, { isMain = false } = {}): ChildProcess {
  const path = isMain ? "../../../edge-agent/src/main.ts" : "agent-process.ts";
  const script = fileURLToPath(new URL(path, import.meta.url));
  const child = spawn(process.execPath, [script], { env: { ...process.env, ...variables }, stdio: "ignore" });
  processes.push(child);
  return child;
}

async function kill9(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return;
  const exited = once(child, "exit");
  child.kill("SIGKILL");
  await exited;
}

/** Only the last chunk says how many items there are. */
const hasLastChunk = (outbox: string) =>
  readdirSync(outbox).some((name) => readFileSync(join(outbox, name)).includes('"total":300'));

const texts = (count: number) => Array.from({ length: count }, (_, item) => `text ${item}`);
/** Enrols, so that assignments can be granted to the node's key. */
async function enrolled(variables: Readonly<Record<string, string>>): Promise<ChildProcess> {
  const since = site.heartbeats.length;
  const child = startProcess(variables);
  await site.until("a heartbeat", () => site.heartbeats.length > since);
  return child;
}

test("kill -9 again and again: every item once, none missing", async () => {
  const variables = await site.variables({ AUTOGLM_TEST_ITEM_MS: "2", AUTOGLM_SEAL_SECONDS: "0.05" });
  let child = await enrolled(variables);
  const assignment = await site.newAssignment(texts(1000));
  await site.assign(assignment);
  const { first } = site.resultsOf(assignment);
  for (const share of [0.02, 0.25, 0.5, 0.75]) {
    await site.until(`${share} of the results`, () => first.size >= share * 1000);
    await kill9(child);
    child = startProcess(variables);
  }
  await site.until("complete", () => site.isComplete(assignment), 50);
  expect([...first.keys()].sort((a, b) => a - b)).toEqual(Array.from({ length: 1000 }, (_, item) => item));
  expect(site.resultsOf(assignment).duplicates).toBe(0);
}, 180_000);

test("a restart without any link works on from what the disk knows, and delivers when the link is back", async () => {
  const variables = await site.variables({ AUTOGLM_TEST_ITEM_MS: "3", AUTOGLM_SEAL_SECONDS: "0.05" });
  const child = await enrolled(variables);
  const assignment = await site.newAssignment(texts(300));
  await site.assign(assignment);
  const { first } = site.resultsOf(assignment);
  await site.until("first results", () => first.size > 20);
  site.proxy.cut();
  await kill9(child);
  const delivered = first.size;
  // No operator to enrol with either.
  startProcess({ ...variables, AUTOGLM_ENROL_URL: "http://127.0.0.1:9" });
  const outbox = join(variables["AUTOGLM_STATE_DIR"] ?? "", "outbox");
  await site.until("the last chunk is sealed", () => hasLastChunk(outbox));
  expect(first.size).toBe(delivered);
  site.proxy.heal();
  await site.until("complete", () => site.isComplete(assignment));
  expect(site.resultsOf(assignment).duplicates).toBe(0);
});

test("a second agent on the same state folder ends with its own exit code, the first goes on", async () => {
  const variables = await site.variables();
  await enrolled(variables);
  const second = startProcess(variables, { isMain: true });
  await once(second, "exit");
  expect(second.exitCode).toBe(4);
  const since = site.heartbeats.length;
  await site.until("the first one's heartbeat", () => site.heartbeats.length > since + 2);
});
