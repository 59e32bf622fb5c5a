import * as fc from "fast-check";
import { expect, test } from "vitest";
import { Crf, type CrfWeights } from "./crf.ts";

const TAGS = 3;
const weight = fc.double({ min: -8, max: 8, noNaN: true });
const row = fc.array(weight, { minLength: TAGS, maxLength: TAGS });
const weights: fc.Arbitrary<CrfWeights> = fc.record({
  start: row,
  end: row,
  transitions: fc.array(row, { minLength: TAGS, maxLength: TAGS }),
});
const emissions = fc.array(row, { minLength: 1, maxLength: 5 }).map((rows) => Float32Array.from(rows.flat()));

/** Every path with its score. */
function allPaths({ start, end, transitions }: CrfWeights, emissions: Float32Array) {
  const steps = emissions.length / TAGS;
  return Array.from({ length: TAGS ** steps }, (_, number) => {
    const path = Array.from({ length: steps }, (_, step) => Math.floor(number / TAGS ** step) % TAGS);
    let score = (start[path[0] ?? 0] ?? 0) + (end[path.at(-1) ?? 0] ?? 0);
    for (const [step, tag] of path.entries()) {
      score += emissions[step * TAGS + tag] ?? 0;
      if (step > 0) score += transitions[path[step - 1] ?? 0]?.[tag] ?? 0;
    }
    return { path, score };
  });
}

test("finds the best of all paths", () => {
  fc.assert(
    fc.property(weights, emissions, (weights, emissions) => {
      const paths = allPaths(weights, emissions);
      const found = new Crf(weights).bestPath(emissions);
      const score = paths.find(({ path }) => path.join() === found.join())?.score ?? -Infinity;
      expect(score).toBeCloseTo(Math.max(...paths.map((candidate) => candidate.score)), 6);
    }),
  );
});

test("marginals are the share of all paths that go through a tag", () => {
  fc.assert(
    fc.property(weights, emissions, (weights, emissions) => {
      const crf = new Crf(weights);
      const best = crf.bestPath(emissions);
      const paths = allPaths(weights, emissions);
      const total = paths.reduce((sum, { score }) => sum + Math.exp(score), 0);
      const expected = best.map((tag, step) => {
        const through = paths.filter(({ path }) => path[step] === tag);
        return through.reduce((sum, { score }) => sum + Math.exp(score), 0) / total;
      });
      const marginals = crf.pathMarginals(emissions, best);
      expect(marginals.length).toBe(expected.length);
      for (const [step, value] of marginals.entries()) expect(value).toBeCloseTo(expected[step] ?? -1, 6);
    }),
  );
});

test("long texts neither underflow nor overflow", () => {
  const crf = new Crf({
    start: [0, 0, 0],
    end: [0, 0, 0],
    transitions: [
      [0, -30, -30],
      [-30, 0, -30],
      [-30, -30, 0],
    ],
  });
  const emissions = new Float32Array(3 * 2000).map((_, index) => (index % 3 === 1 ? 40 : -40));
  const path = crf.bestPath(emissions);
  expect(new Set(path)).toEqual(new Set([1]));
  for (const value of crf.pathMarginals(emissions, path)) expect(value).toBeCloseTo(1, 6);
});
