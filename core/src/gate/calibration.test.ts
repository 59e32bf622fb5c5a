import fc from "fast-check";
import { describe, expect, it } from "vitest";
import {
  calibratedConfidence,
  calibrationError,
  fitTemperature,
  initialCalibration,
  learnOutcome,
  type ScoredAnswer,
} from "./calibration.ts";

/** Uniform in [0, 1), the same each time. */
function numbers(seed: number): () => number {
  let state = seed;
  return () => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return state / 2 ** 32;
  };
}

/** Answers that are right with σ(logit(score) / temperature): overconfident where it is above one. */
function answersAt(temperature: number, count: number): ScoredAnswer[] {
  const next = numbers(7);
  return Array.from({ length: count }, () => {
    const score = 0.5 + next() / 2.001;
    const truth = 1 / (1 + ((1 - score) / score) ** (1 / temperature));
    return { score, isRight: next() < truth };
  });
}

describe("fitTemperature", () => {
  it.each([0.5, 1, 2])("finds a temperature of %f again", (temperature) => {
    expect(fitTemperature(answersAt(temperature, 20_000))).toBeCloseTo(temperature, 0);
  });

  it("leaves scores as they are without answers", () => {
    expect(fitTemperature([])).toBe(1);
  });

  it("survives scores of exactly zero and one", () => {
    const answers = [0, 1, 1, 0.5].map((score) => ({ score, isRight: score > 0.2 }));
    expect(fitTemperature(answers)).toBeGreaterThan(0);
  });
});

it("measures the gap between score and share of right answers", () => {
  const answers = [
    { score: 0.95, isRight: true },
    { score: 0.95, isRight: false },
    { score: 0.55, isRight: true },
    { score: 1, isRight: true },
  ];
  expect(calibrationError(answers)).toBeCloseTo((0.9 + 0.45) / 4, 12);
  expect(calibrationError([])).toBe(0);
});

describe("learnOutcome", () => {
  it("learns that an edge model is less sure than it says, from audits of a tenth of its answers", () => {
    const answers = answersAt(3, 6000);
    const next = numbers(3);
    let state = initialCalibration();
    const calibrated = () =>
      answers.map(({ score, isRight }) => ({
        score: calibratedConfidence(state, { score, pHard: null }),
        isRight,
      }));
    const before = calibrationError(calibrated());
    for (const { score, isRight } of answers) {
      const share = calibratedConfidence(state, { score, pHard: null }) < 0.7 ? 1 : 0.1;
      if (next() < share) state = learnOutcome(state, { score, pHard: null, agrees: isRight, share });
    }
    expect(before).toBeGreaterThan(0.1);
    expect(calibrationError(calibrated())).toBeLessThan(0.05);
    expect(state.agreed).toBeLessThan(state.outcomes);
  });

  it("learns to believe the pre-gate where that knows more", () => {
    const next = numbers(11);
    let state = initialCalibration();
    for (let index = 0; index < 3000; index++) {
      const pHard = next();
      state = learnOutcome(state, { score: 0.8, pHard, agrees: next() > pHard, share: 1 });
    }
    const easy = calibratedConfidence(state, { score: 0.8, pHard: 0.1 });
    const hard = calibratedConfidence(state, { score: 0.8, pHard: 0.9 });
    expect(easy).toBeGreaterThan(0.7);
    expect(hard).toBeLessThan(0.3);
  });

  it("stays finite and keeps the order of scores, whatever it learns", () => {
    const unit = fc.double({ min: 0, max: 1, noNaN: true });
    const outcome = fc.record({
      score: unit,
      pHard: fc.option(unit, { nil: null }),
      agrees: fc.boolean(),
      share: fc.double({ min: 0.001, max: 1, noNaN: true }),
    });
    fc.assert(
      fc.property(fc.array(outcome, { maxLength: 60 }), unit, unit, (outcomes, one, other) => {
        const state = outcomes.reduce(learnOutcome, initialCalibration());
        const [low, high] = [Math.min(one, other), Math.max(one, other)].map((score) =>
          calibratedConfidence(state, { score, pHard: 0.5 }),
        );
        expect(low).toBeGreaterThanOrEqual(0);
        expect(high).toBeLessThanOrEqual(1);
        expect(low).toBeLessThanOrEqual(high!);
      }),
    );
  });
});
