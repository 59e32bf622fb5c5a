import { mkdtemp, open, readdir, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";
import { createLogger } from "@autoglm/telemetry";
import { afterEach, beforeEach, expect, it, vi } from "vitest";
import { GateState } from "./gate-state.ts";

const log = createLogger({ name: "gate-state-test", level: "silent" });
const spent = { escalations: 3, tokens: 40, seen: 5 };

let folder: string;

beforeEach(async () => {
  folder = await mkdtemp(path.join(tmpdir(), "gate-state-"));
});
afterEach(async () => {
  vi.restoreAllMocks();
  await rm(folder, { recursive: true, force: true });
});

/** The next call does what it does on a full disk. */
async function failNext(call: "writeFile" | "sync"): Promise<void> {
  const probe = await open(path.join(folder, "probe"), "w");
  const prototype = Object.getPrototypeOf(probe) as typeof probe;
  vi.spyOn(prototype, call).mockRejectedValueOnce(new Error("no space left on device"));
  await probe.close();
}

it.each(["writeFile", "sync"] as const)(
  "keeps what was written before, and nothing else, when %s fails",
  async (call) => {
    const state = await GateState.open(folder, log);
    await state.saveSpent("task.0", spent);
    await failNext(call);
    await expect(state.saveSpent("task.0", { ...spent, escalations: 4 })).rejects.toThrow("no space left");
    expect(await readdir(path.join(folder, "budget"))).toEqual(["task.0.json"]);
    expect(await state.spent("task.0")).toEqual(spent);
  },
);

it("removes at the start what a kill left half written: it would count as the newest of the budgets", async () => {
  await (await GateState.open(folder, log)).saveSpent("task.0", spent);
  for (const half of ["budget/task.0.json.1.new", "budget/task.1.json.2.new", "learned/edge.json.3.new"]) {
    await writeFile(path.join(folder, half), "{");
  }
  const state = await GateState.open(folder, log);
  expect(await readdir(path.join(folder, "budget"))).toEqual(["task.0.json"]);
  expect(await readdir(path.join(folder, "learned"))).toEqual([]);
  expect(await state.spent("task.0")).toEqual(spent);
});
