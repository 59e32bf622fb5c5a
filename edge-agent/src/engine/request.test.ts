import { expect, test } from "vitest";
import type { ItemResult } from "@autoglm/api";
import type { ParsedItem } from "../parse/index.ts";
import { InferenceRequest } from "./request.ts";

const result = (item: number): ItemResult => ({ item, stage: "final", ms: 1 });
const turn = () => new Promise((resolve) => setImmediate(resolve));

function requestFor(items: AsyncIterable<ParsedItem>) {
  return new InferenceRequest(items);
}

async function* items(count: number, text = "x"): AsyncGenerator<ParsedItem> {
  for (let item = 0; item < count; item++) yield { item, text };
}

test("reads on as results are taken, by number and by length", async () => {
  for (const [text, open] of [
    ["x", 256],
    ["x".repeat(2 ** 20), 4],
  ] as const) {
    const queued: number[] = [];
    const request = requestFor(items(1000, text));
    void request.read(({ item }) => queued.push(item));
    const results = request.take();
    for (let taken = 0; taken < 10; taken++) {
      await turn();
      expect(queued.length).toBe(open + taken);
      request.settle(result(taken));
      await results.next();
    }
    request.end();
  }
});

test("gives every result once, whatever the order, and ends", async () => {
  const queued: number[] = [];
  const request = requestFor(items(20));
  void request.read(({ item }) => queued.push(item));
  await turn();
  for (const item of queued.toReversed()) request.settle(result(item));
  const taken: number[] = [];
  for await (const { item } of request.take()) taken.push(item);
  expect(taken).toEqual(queued.toReversed());
});

test("a failed request gives no more results", async () => {
  const request = requestFor(items(3));
  void request.read(() => undefined);
  await turn();
  request.settle(result(0));
  request.fail(new Error("stopped"));
  await expect(request.take().next()).rejects.toThrow("stopped");
  expect(request.over).toBe(true);
});
