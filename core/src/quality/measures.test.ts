import type { ItemOutput } from "@autoglm/api";
import * as fc from "fast-check";
import { describe, expect, it } from "vitest";
import { proportion } from "./intervals.ts";
import { editDistance, judgeQuality, rougeL, tokenF1, type Judged } from "./measures.ts";

const labelled = (label: string, score: number | null): ItemOutput => ({
  type: "text-classification",
  labels: [{ label, score }],
  scoreSource: "probability",
});
const item = (gold: string, answer: string, score: number | null = 0.9): Judged => ({
  gold: { label: gold },
  output: labelled(answer, score),
});

describe("judgeQuality", () => {
  it("counts labels, and an error as wrong", () => {
    const items = [
      item("a", "a"),
      item("a", "b"),
      item("b", "b"),
      { gold: { label: "a" }, output: undefined },
    ];
    const quality = judgeQuality("text-classification", items);
    expect(quality).toMatchObject({ measure: "accuracy", estimate: { value: 0.5, count: 4 } });
    expect(quality?.baseline?.estimate.value).toBe(0.75);
  });

  it("measures calibration: ten answers of .8 of which eight are right are calibrated", () => {
    const items = Array.from({ length: 10 }, (_, index) => item("a", index < 8 ? "a" : "b", 0.8));
    expect(judgeQuality("text-classification", items)?.calibrationError).toBeCloseTo(0);
    const sure = items.map((one) => ({ ...one, output: labelled("a", 1) }));
    expect(judgeQuality("text-classification", sure)?.calibrationError).toBeCloseTo(0);
    const none = items.map((one) => ({ ...one, output: labelled("a", null) }));
    expect(judgeQuality("text-classification", none)?.calibrationError).toBeUndefined();
  });

  it("asks an entity for its type and both of its ends", () => {
    const entity = (entity_group: string, start: number, end: number) => ({ entity_group, start, end });
    const output: ItemOutput = {
      type: "token-classification",
      entities: [
        { ...entity("PER", 0, 3), score: 1, word: "a" },
        { ...entity("LOC", 5, 7), score: 1, word: "b" },
      ],
      scoreSource: "marginal",
    };
    const gold = { entities: [entity("PER", 0, 3), entity("LOC", 5, 8)] };
    expect(judgeQuality("token-classification", [{ gold, output }])?.estimate.value).toBe(0.5);
  });

  it("has no measure for embeddings", () => {
    expect(judgeQuality("feature-extraction", [])).toBeUndefined();
  });
});

it.each([
  ["the cat sat", "the cat sat", 1, 1],
  ["sat cat the", "the cat sat", 1, 1 / 3],
  ["华为的总部在深圳", "总部在深圳", 10 / 13, 10 / 13],
  ["", "", 1, 1],
  ["x", "", 0, 0],
])("compares %j with %j", (answer, gold, f1, rouge) => {
  expect(tokenF1(answer, gold)).toBeCloseTo(f1);
  expect(rougeL(answer, gold)).toBeCloseTo(rouge);
});

describe("laws", () => {
  const word = fc.array(fc.constantFrom("a", "b", "c"), { maxLength: 8 });

  it("distance is symmetric, zero for the same, and no more than the longer", () => {
    fc.assert(
      fc.property(word, word, (a, b) => {
        expect(editDistance(a, b)).toBe(editDistance(b, a));
        expect(editDistance(a, a)).toBe(0);
        expect(editDistance(a, b)).toBeLessThanOrEqual(Math.max(a.length, b.length));
      }),
    );
  });

  it("an interval holds its value, and shrinks with more items", () => {
    fc.assert(
      fc.property(
        fc.integer({ min: 1, max: 200 }),
        fc.double({ min: 0, max: 1, noNaN: true }),
        (count, share) => {
          const one = proportion(Math.round(share * count), count);
          expect(one.low).toBeLessThanOrEqual(one.value + 1e-12);
          expect(one.high).toBeGreaterThanOrEqual(one.value - 1e-12);
          const more = proportion(Math.round(share * count) * 10, count * 10);
          expect(more.high - more.low).toBeLessThan(one.high - one.low);
        },
      ),
    );
  });
});
