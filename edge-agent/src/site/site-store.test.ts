import { appendFile, mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";
import type { ItemResult } from "@autoglm/api";
import { afterEach, beforeEach, expect, it } from "vitest";
import { digestOf, SiteStore } from "./site-store.ts";

let folder: string;
beforeEach(async () => {
  folder = await mkdtemp(path.join(tmpdir(), "autoglm-site-"));
});
afterEach(() => rm(folder, { recursive: true, force: true }));

const key = (task: string, run = 0) => ({ task, run, shard: 0, epoch: 1 });
const result = (item: number, word = "secret"): ItemResult => ({
  item,
  stage: "final",
  ms: 1,
  output: {
    type: "token-classification",
    entities: [{ entity_group: "PER", score: 1, word, start: 0, end: word.length }],
    scoreSource: "marginal",
  },
});
const open = (limitBytes = 1e6, isListed: (task: string) => boolean = () => true) =>
  SiteStore.open({ folder, limitBytes, isListed });

it("lets digests leave, and keeps the outputs", async () => {
  const store = await open();
  const failed: ItemResult = {
    item: 1,
    stage: "final",
    ms: 0,
    error: { code: "ItemInvalid", message: "no" },
  };
  const leaving = await store.withhold(key("t"), [result(0), failed]);
  expect(JSON.stringify(leaving)).not.toContain("secret");
  expect(leaving).toEqual([
    { item: 0, stage: "final", ms: 1, withheld: { sha256: digestOf(result(0).output) } },
    failed,
  ]);
  expect(await store.read("t")).toEqual([result(0)]);
});

it("counts the last of two results of an item, and not a torn line", async () => {
  const store = await open();
  await store.withhold(key("t"), [result(1), result(0)]);
  await store.withhold(key("t"), [result(1, "again")]);
  await appendFile(path.join(folder, "t", "0.jsonl"), '{"item":2,"outp');
  expect(await store.read("t")).toEqual([result(0), result(1, "again")]);
  expect(await store.read("t", 1)).toEqual([]);
});

it("gives up what belongs to no task of the node when it is full, and nothing else", async () => {
  const size = JSON.stringify(result(0)).length + 1;
  const listed = new Set(["old", "mine"]);
  const store = await open(2 * size, (task) => listed.has(task));
  await store.withhold(key("old"), [result(0)]);
  await store.withhold(key("mine"), [result(0)]);
  await expect(store.withhold(key("mine"), [result(1)])).rejects.toMatchObject({ code: "OutboxFull" });
  listed.delete("old");
  await store.withhold(key("mine"), [result(1)]);
  expect(await store.read("old")).toEqual([]);
  expect(await store.read("mine")).toHaveLength(2);
  expect((await open()).bytes).toBe(2 * size);
});
