import { describe, expect, it } from "vitest";
import { evaluateGate, intervalOf, summarizeGate, type GateEvalRow } from "./evaluation.ts";
import { gateFeaturesOf } from "./features.ts";

const features = gateFeaturesOf("房间很大", "text-classification");
const row = (score: number, edgeIsRight: boolean, deepIsRight: boolean): GateEvalRow => ({
  features,
  pHard: 1 - score,
  score,
  margin: null,
  edgeFailed: false,
  agrees: edgeIsRight === deepIsRight,
  edgeIsRight,
  deepIsRight,
});
/** The surer the edge is, the more often it is right; the deep model is always. */
const honest = Array.from({ length: 200 }, (_, index) => {
  const score = 0.5 + ((index * 37) % 200) / 400;
  return row(score, score > 0.75, true);
});

describe("evaluateGate", () => {
  it.each(["Pre", "Post", "Both"] as const)("recovers the whole gap with an honest score (%s)", (mode) => {
    const { edge, deep, points } = evaluateGate(
      { calibration: honest, test: honest },
      mode,
      [0.25, 0.5, 0.75],
    );
    expect([edge, deep]).toEqual([0.495, 1]);
    expect(points.map(({ escalated }) => escalated)).toEqual([0.25, 0.5, 0.75]);
    expect(points[0]!.accuracy).toBeCloseTo(0.745, 2);
    expect(points[1]!.accuracy).toBeCloseTo(0.995, 2);
    for (const { accuracy, oracle, random, escalated } of points) {
      expect(accuracy).toBeLessThanOrEqual(oracle);
      expect(random).toBeCloseTo(0.495 + escalated * 0.505, 12);
    }
  });

  it("never escalates more than the share that it was given", () => {
    const doubtful = honest.map((row) => ({ ...row, score: 0.5, pHard: 0.5 }));
    const { points } = evaluateGate({ calibration: honest, test: doubtful }, "Both", [0.1, 0.3]);
    for (const { share, escalated } of points) expect(escalated).toBeLessThanOrEqual(share);
  });

  it("makes the oracle escalate a loss last", () => {
    const test = [row(0.6, true, false), row(0.7, false, true), row(0.8, true, true), row(0.9, false, false)];
    const { points } = evaluateGate({ calibration: test, test }, "Post", [1]);
    expect(points[0]).toMatchObject({ escalated: 1, accuracy: 0.5, oracle: 0.5 });
  });
});

describe("summarizeGate", () => {
  it("has an interval by Student's t over the trials", () => {
    const { mean, low, high } = intervalOf([1, 2, 3]);
    expect(mean).toBe(2);
    expect([2 - low, high - 2]).toEqual([2.4843, 2.4843].map((half) => expect.closeTo(half, 4)));
    expect(intervalOf([5])).toEqual({ mean: 5, low: 5, high: 5 });
  });

  it("says nothing of a recovered gap where there is none in one of the trials", () => {
    const curve = (deep: number) => ({
      edge: 0.5,
      deep,
      points: [{ share: 0.5, escalated: 0.5, accuracy: 0.8, random: 0.7, oracle: 0.9 }],
    });
    expect(summarizeGate([curve(0.9), curve(0.9)]).points[0]?.recovered?.mean).toBeCloseTo(0.75, 12);
    expect(summarizeGate([curve(0.9), curve(0.5)]).points[0]?.recovered).toBeUndefined();
  });
});
