import { mkdtemp, open, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";
import { initialCalibration, type GateLogRecord, type GateOpenRecord } from "@autoglm/core";
import { createLogger } from "@autoglm/telemetry";
import { afterEach, beforeEach, expect, it, vi } from "vitest";
import { DecisionLog } from "./decision-log.ts";

const scope = "task.0";
const log = createLogger({ name: "decision-log-test", level: "silent" });
const begin = (): GateOpenRecord => ({
  kind: "open",
  v: 1,
  at: "2026-01-01T00:00:00.000Z",
  edge: "edge/fp32",
  deep: "deep/fp32",
  policy: { mode: "Post", threshold: 0.5, minConfidence: 0.7, minMargin: 0, hysteresis: 0, auditShare: 0 },
  calibration: initialCalibration(),
});
const outcome = (item: number): GateLogRecord => {
  return { kind: "outcome", item, score: 0.9, pHard: null, agrees: true, share: 1 };
};

let folder: string;

beforeEach(async () => {
  folder = await mkdtemp(path.join(tmpdir(), "decision-log-"));
});
afterEach(async () => {
  vi.restoreAllMocks();
  await rm(folder, { recursive: true, force: true });
});

/** Kinds, and items where a record has one. */
async function written(name = `${scope}.jsonl`): Promise<string[]> {
  const lines = (await readFile(path.join(folder, name), "utf8")).trimEnd().split("\n");
  return lines.map((line) => {
    const { kind, item = "" } = JSON.parse(line) as { readonly kind: string; readonly item?: number };
    return `${kind} ${item}`.trimEnd();
  });
}

/** The next write leaves half of its text behind, as one does on a full disk. */
async function failNextWrite(): Promise<void> {
  const probe = await open(path.join(folder, "probe"), "w");
  const prototype = Object.getPrototypeOf(probe) as typeof probe;
  vi.spyOn(prototype, "appendFile").mockImplementationOnce(async function (this: typeof probe, data) {
    if (typeof data === "string") await this.write(data.slice(0, -20));
    throw new Error("no space left on device");
  });
  await probe.close();
}

it("goes on with a record that can be replayed when a write has failed", async () => {
  const decisions = await DecisionLog.open({ folder, scope, begin, log });
  decisions.append(outcome(0));
  await decisions.flush();
  await failNextWrite();
  decisions.append(outcome(1));
  await decisions.flush();
  decisions.append(outcome(2));
  decisions.append(outcome(3));
  await decisions.close();
  expect(await written()).toEqual(["open", "outcome 0", "open", "outcome 2", "outcome 3"]);
});

it("has nothing of a gate that decided nothing, and begins anew after a restart", async () => {
  for (const item of [0, 1]) {
    const decisions = await DecisionLog.open({ folder, scope, begin, log });
    decisions.append(outcome(item));
    await decisions.close();
    const idle = await DecisionLog.open({ folder, scope, begin, log });
    await idle.close();
  }
  expect(await written()).toEqual(["open", "outcome 0", "open", "outcome 1"]);
});

it("keeps one old part", async () => {
  const decisions = await DecisionLog.open({ folder, scope, begin, log, partBytes: 700 });
  for (let item = 0; item < 12; item++) decisions.append(outcome(item));
  await decisions.close();
  const [old, present] = [await written(`${scope}.old.jsonl`), await written()];
  expect([old[0], present[0], present.at(-1)]).toEqual(["open", "open", "outcome 11"]);
});
