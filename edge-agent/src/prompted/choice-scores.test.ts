import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { biasOf, calibrate, choiceNamedIn, choicesFromTokens, normalise } from "./choice-scores.ts";

const probabilities = fc
  .array(fc.double({ min: 0.001, max: 1, noNaN: true }), { minLength: 2, maxLength: 6 })
  .map((weights) => weights.map((weight) => weight / weights.reduce((sum, other) => sum + other, 0)));

describe("scores of choices", () => {
  it("sum to one, calibrated or not", () => {
    fc.assert(
      fc.property(probabilities, (p) => {
        const sum = (scores: readonly number[] = []) => scores.reduce((total, score) => total + score, 0);
        expect(sum(normalise(p.map(Math.log)))).toBeCloseTo(1, 9);
        expect(sum(calibrate(p, p))).toBeCloseTo(1, 9);
      }),
    );
  });

  it("are as they were when there is no bias", () => {
    fc.assert(
      fc.property(probabilities, (p) => {
        const calibrated = calibrate(p, biasOf([], p.length));
        for (const [index, score] of calibrated.entries()) expect(score).toBeCloseTo(p[index] ?? NaN, 9);
      }),
    );
  });

  it("are equal for what is nothing but bias", () => {
    expect(calibrate([0.9, 0.1], [0.9, 0.1])).toEqual([0.5, 0.5]);
  });

  it("are unknown when no choice was seen", () => {
    expect(normalise([-Infinity, -Infinity])).toBeUndefined();
  });
});

describe("first tokens", () => {
  const tokens = (masses: Record<string, number>) =>
    Object.entries(masses).map(([token, mass]) => ({ token, logprob: Math.log(mass) }));

  it("count for the one answer that they begin, in any case and with spaces", () => {
    const { logprobs, coverage } = choicesFromTokens(
      tokens({ " pos": 0.3, Pos: 0.1, neg: 0.2, "\n": 0.2, maybe: 0.2 }),
      ["positive", "negative"],
    );
    expect(logprobs.map(Math.exp)).toEqual([expect.closeTo(0.4), expect.closeTo(0.2)]);
    expect(coverage).toBeCloseTo(0.6);
  });

  it("count for none when they begin two", () => {
    expect(choicesFromTokens(tokens({ sport: 0.9 }), ["sports news", "sports event"]).coverage).toBe(0);
    expect(choicesFromTokens(tokens({ A: 0.9 }), ["A", "AB"]).coverage).toBeCloseTo(0.9);
  });
});

describe("a label that is said", () => {
  const labels = ["not spam", "not", "正面", "A"];
  it.each([
    ["Not spam.", 0],
    ["not", 1],
    ["“正面”", 2],
    ["正面评价", 2],
    ["A", 3],
    ["A. the first", 3],
    ["Apple", undefined],
    ["", undefined],
    ["It is spam", undefined],
  ])("%j is choice %s", (said, index) => {
    expect(choiceNamedIn(said, labels)).toBe(index);
  });
});
