import { setImmediate } from "node:timers/promises";
import { expect, test } from "vitest";
import { KvCache } from "./kv-cache.ts";
import { KvDecoderBatch } from "./kv-decoder-batch.ts";
import type { KvDecoderGraph } from "./kv-decoder-graph.ts";
import { DecoderRow } from "./kv-decoder-row.ts";
import type { Session, Tensor } from "./pipeline.ts";

const VOCABULARY = 4;
const session = {
  float32: (data: Float32Array, dims: readonly number[]): Tensor => ({ data, dims }),
} as Session;

/** Every token is 1. */
function logitsOf(rows: number) {
  const logits = new Float32Array(rows * VOCABULARY);
  for (let row = 0; row < rows; row++) logits[row * VOCABULARY + 1] = 1;
  return { logits, normalizers: new Float32Array(rows) };
}

const graph = {
  newCache: () => new KvCache(session, { layers: 1, kvHeads: 1, headDim: 1 }),
  prefill: async (prompts: readonly (readonly number[])[]) => {
    const stride = Math.max(...prompts.map(({ length }) => length));
    const rows = prompts.length;
    return { ...logitsOf(rows), block: { rows, stride, part: () => new Float32Array(rows * stride) } };
  },
  step: async (cache: KvCache, ids: readonly number[]) => {
    await setImmediate();
    cache.append({ rows: ids.length, stride: 1, part: () => new Float32Array(ids.length) }, 1);
    return logitsOf(ids.length);
  },
} as unknown as KvDecoderGraph;

const rowOf = (maxNewTokens: number) =>
  new DecoderRow({
    promptIds: [1, 2],
    parameters: { maxNewTokens },
    contextLength: 1000,
    eosTokenIds: [0],
    stop: [],
    decode: (ids) => "a".repeat(ids.length),
  });

test("a run that ends leaves the others their signs of progress", async () => {
  const batch = new KvDecoderBatch(graph, VOCABULARY, { maxRows: 4, maxPositions: 4000 });
  let steps = 0;
  // The same function for every run, as an inference process has it.
  const onStep = () => {
    steps++;
  };
  const long = batch.decode([rowOf(60)], onStep);
  await batch.decode([rowOf(5)], onStep);
  const before = steps;
  await long;
  expect(steps - before).toBeGreaterThan(50);
});
