import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { decodeMessage, resultChunkSchema, type ItemResult, type ResultChunk } from "@autoglm/api";
import { afterEach, beforeEach, expect, test } from "vitest";
import { Outbox } from "../outbox/outbox.ts";
import { ChunkSealer } from "./chunk-sealer.ts";

const key = { task: "task-1", run: 0, shard: 0, epoch: 1 };
let folder: string;
let outbox: Outbox;
beforeEach(async () => {
  folder = mkdtempSync(join(tmpdir(), "sealer-"));
  outbox = await Outbox.open(folder, { limitBytes: 1e8 });
});
afterEach(async () => {
  await outbox.close();
  rmSync(folder, { recursive: true, force: true });
});

const newSealer = (intervalMs: number) =>
  new ChunkSealer({
    node: "node-a",
    key,
    outbox,
    intervalMs,
    signal: new AbortController().signal,
    onSealed: () => undefined,
    onBlocked: () => undefined,
  });
const result = (item: number, text = "x"): ItemResult => ({
  item,
  stage: "final",
  ms: 1,
  output: {
    type: "text-generation",
    generated_text: text,
    finish_reason: "stop",
    prompt_tokens: 1,
    completion_tokens: 1,
    score: null,
    scoreSource: "none",
  },
});

async function chunks(): Promise<ResultChunk[]> {
  const found: ResultChunk[] = [];
  for (const pending of outbox.find(key)?.chunks.values() ?? []) {
    found.push(decodeMessage(resultChunkSchema, (await outbox.read(pending)) ?? Buffer.alloc(0)));
  }
  return found;
}

const itemsOf = (sealed: readonly ResultChunk[]) => sealed.map(({ items }) => items.map(({ item }) => item));

test("the first result leaves alone and at once, the others share a chunk that says the end", async () => {
  const sealer = newSealer(60_000);
  await sealer.add(result(0));
  await outbox.flush();
  expect(itemsOf(await chunks())).toEqual([[0]]);
  for (let item = 1; item < 5; item++) await sealer.add(result(item));
  await sealer.finish(5);
  const sealed = await chunks();
  expect(itemsOf(sealed)).toEqual([[0], [1, 2, 3, 4]]);
  expect(sealed.map(({ end }) => end?.total)).toEqual([undefined, 5]);
});

test("a slow model's results leave one by one", async () => {
  const sealer = newSealer(0);
  for (let item = 0; item < 3; item++) {
    await sealer.add(result(item));
    await outbox.flush();
  }
  expect(itemsOf(await chunks())).toEqual([[0], [1], [2]]);
});

test("large results split into chunks that fit the wire, in order", async () => {
  const sealer = newSealer(60_000);
  for (let item = 0; item < 12; item++) await sealer.add(result(item, "y".repeat(100_000)));
  await sealer.finish(12);
  const sealed = await chunks();
  expect(sealed.length).toBeGreaterThan(3);
  expect(itemsOf(sealed).flat()).toEqual(Array.from({ length: 12 }, (_, item) => item));
  for (const chunk of sealed) expect(JSON.stringify(chunk).length).toBeLessThan(512 * 1024);
});

test("a result that can't be sent is an error of its item alone", async () => {
  const sealer = newSealer(60_000);
  await sealer.add({ ...result(0), ms: Number.NaN });
  await sealer.add(result(1, "z".repeat(300_000)));
  await sealer.add(result(2));
  await sealer.finish(3);
  const items = (await chunks()).flatMap((chunk) => chunk.items);
  expect(items.map(({ error }) => error?.code)).toEqual(["Internal", "ItemTooLong", undefined]);
});

test("fills numbers that are lost with empty chunks and goes on after them", async () => {
  const sealer = newSealer(60_000);
  await sealer.fillNumbers([0, 1]);
  await sealer.add(result(0));
  await sealer.finish(1);
  const sealed = await chunks();
  expect(sealed.map(({ chunk }) => chunk)).toEqual([0, 1, 2, 3]);
  expect(itemsOf(sealed)).toEqual([[], [], [0], []]);
});
