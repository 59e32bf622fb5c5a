import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { DesiredDocument } from "@autoglm/api";
import { createLogger } from "@autoglm/telemetry";
import { afterEach, beforeEach, expect, test } from "vitest";
import { DesiredState } from "./desired.ts";
import { StateFolder } from "./state-folder.ts";

const log = createLogger({ name: "test", level: "silent" });
const documentOf = (generation: number, revision: number, node = "node-a"): DesiredDocument => ({
  v: 1,
  node,
  generation,
  revision,
  assignments: [],
});
let path: string;
let folder: StateFolder;
beforeEach(async () => {
  path = mkdtempSync(join(tmpdir(), "state-"));
  folder = await StateFolder.open(path);
});
afterEach(() => {
  folder.close();
  rmSync(path, { recursive: true, force: true });
});

test("takes newer documents of its own node and no others", async () => {
  const state = await DesiredState.open(folder, "node-a", log);
  const offers: [DesiredDocument, boolean][] = [
    [documentOf(0, 5), true],
    [documentOf(0, 5), false],
    [documentOf(0, 4), false],
    [documentOf(0, 9, "node-b"), false],
    [documentOf(0, 6), true],
    [documentOf(1, 1), true],
    [documentOf(0, 100), false],
  ];
  expect(offers.map(([document]) => state.offer(document))).toEqual(offers.map(([, isTaken]) => isTaken));
  expect(state.document).toMatchObject({ generation: 1, revision: 1 });
  await state.flush();
});

test("knows the last document after a restart, and starts without one when it is damaged", async () => {
  const state = await DesiredState.open(folder, "node-a", log);
  for (let revision = 1; revision <= 20; revision++) state.offer(documentOf(0, revision));
  await state.flush();
  expect((await DesiredState.open(folder, "node-a", log)).document).toEqual(documentOf(0, 20));
  await folder.writeText("desired.json", "{");
  expect((await DesiredState.open(folder, "node-a", log)).document).toBeUndefined();
});

test("a state folder is held by one at a time, and keeps its key and id", async () => {
  await expect(StateFolder.open(path)).rejects.toMatchObject({ code: "Conflict" });
  const [key, id] = [await folder.nodeKey(), await folder.stateId()];
  folder.close();
  folder = await StateFolder.open(path);
  expect((await folder.nodeKey()).publicKey).toBe(key.publicKey);
  expect(await folder.stateId()).toBe(id);
});
