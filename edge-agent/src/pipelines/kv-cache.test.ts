import * as fc from "fast-check";
import { expect, test } from "vitest";
import { KvCache, type KvBlock } from "./kv-cache.ts";
import type { Session, Tensor } from "./pipeline.ts";

const SHAPE = { layers: 2, kvHeads: 2, headDim: 3 };
const BUFFERS = 2 * SHAPE.layers;

/** Only makes tensors. */
const session = {
  float32: (data: Float32Array, dims: readonly number[]): Tensor => ({ data, dims }),
} as Session;

/** A token is a number; its values say where it belongs. */
const valueOf = (token: number, buffer: number, head: number, dim: number) =>
  token * 1000 + buffer * 100 + head * 10 + dim;

function blockOf(rows: readonly (readonly number[])[]): KvBlock {
  const stride = Math.max(...rows.map(({ length }) => length));
  return {
    rows: rows.length,
    stride,
    part: (buffer) =>
      Float32Array.from(
        rows.flatMap((row) =>
          [0, 1].flatMap((head) =>
            Array.from({ length: stride }, (_, at) =>
              [0, 1, 2].map((dim) => (at < row.length ? valueOf(row[at] ?? 0, buffer, head, dim) : NaN)),
            ).flat(),
          ),
        ),
      ),
  };
}

/** The tokens that the graph would read, from every buffer, head and dimension. */
function readRows(cache: KvCache): number[][] {
  const feeds = Object.values(cache.feeds());
  return cache.lengths.map((length, row) =>
    Array.from({ length }, (_, at) => {
      const tokens = new Set<number>();
      for (const [buffer, { data, dims }] of feeds.entries()) {
        const [rows = 0, heads = 0, capacity = 0, width = 0] = dims;
        expect([rows, heads, width]).toEqual([cache.rows, SHAPE.kvHeads, SHAPE.headDim]);
        for (let head = 0; head < heads; head++) {
          for (let dim = 0; dim < width; dim++) {
            const value = (data as Float32Array)[((row * heads + head) * capacity + at) * width + dim] ?? 0;
            tokens.add(value - valueOf(0, buffer, head, dim));
          }
        }
      }
      expect(tokens.size).toBe(1);
      return [...tokens].map((token) => token / 1000)[0] ?? -1;
    }),
  );
}

const tokens = (maxLength: number) => fc.array(fc.integer({ min: 1, max: 999 }), { minLength: 1, maxLength });
const change = fc.oneof(
  fc.record({ kind: fc.constant("add"), rows: fc.array(tokens(90), { minLength: 1, maxLength: 3 }) }),
  fc.record({ kind: fc.constant("append"), token: fc.integer({ min: 1, max: 999 }) }),
  fc.record({ kind: fc.constant("remove"), at: fc.nat(7) }),
);

test("holds what lists of tokens would hold, however rows come, grow and go", () => {
  fc.assert(
    fc.property(fc.array(change, { maxLength: 12 }), (changes) => {
      const cache = new KvCache(session, SHAPE);
      let model: number[][] = [];
      for (const one of changes) {
        if ("rows" in one) {
          cache.add(
            blockOf(one.rows),
            one.rows.map(({ length }) => length),
          );
          model.push(...one.rows.map((row) => [...row]));
        } else if ("token" in one) {
          if (model.length === 0) continue;
          cache.append(blockOf(model.map((_, row) => [one.token + row])), 1);
          model = model.map((row, index) => [...row, one.token + index]);
        } else if (model.length > 0) {
          const at = one.at % model.length;
          cache.remove(at);
          const last = model.pop() ?? [];
          if (at < model.length) model[at] = last;
        }
        expect(readRows(cache)).toEqual(model);
      }
      expect(Object.keys(cache.feeds()).length).toBe(BUFFERS);
    }),
    { numRuns: 60 },
  );
});

/** Positions that the buffers have room for, of all rows. */
function allocated(cache: KvCache): number {
  const [{ data } = { data: new Float32Array(0) }] = Object.values(cache.feeds());
  const { buffer } = data as Float32Array;
  return buffer.byteLength / Float32Array.BYTES_PER_ELEMENT / SHAPE.kvHeads / SHAPE.headDim;
}

test("a long row that has left leaves its room", () => {
  const cache = new KvCache(session, SHAPE);
  const rows = [Array.from({ length: 900 }, (_, at) => at + 1), [7, 8, 9]];
  cache.add(blockOf(rows), [900, 3]);
  expect(cache.capacity).toBe(960);
  cache.remove(0);
  expect([cache.capacity, allocated(cache)]).toEqual([64, 64]);
  expect(readRows(cache)).toEqual([[7, 8, 9]]);
});

test("rows that have left take no part in the growth of those that stay", () => {
  const cache = new KvCache(session, SHAPE);
  cache.add(
    blockOf(Array.from({ length: 8 }, () => [1])),
    Array.from({ length: 8 }, () => 1),
  );
  for (let row = 7; row > 0; row--) cache.remove(row);
  cache.reserve(1, 900);
  expect(allocated(cache)).toBe(960);
  expect(readRows(cache)).toEqual([[1]]);
});
