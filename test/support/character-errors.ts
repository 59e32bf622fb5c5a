import { editDistance } from "@autoglm/core";

/** What was read against what was written, per text. */
export interface Comparison {
  readonly errors: number;
  /** Of the truth. */
  readonly characters: number;
}

/** After NFKC, with runs of white space as one space: width of punctuation and line breaks are no errors. */
export function comparable(truth: string, read: string): Comparison {
  const squeeze = (text: string) => Array.from(text.normalize("NFKC").replaceAll(/\s+/g, " ").trim());
  const [want, got] = [squeeze(truth), squeeze(read)];
  return { errors: editDistance(want, got), characters: want.length };
}

export function errorRate(comparisons: readonly Comparison[]): number {
  const sum = (key: keyof Comparison) =>
    comparisons.reduce((total, comparison) => total + comparison[key], 0);
  return sum("errors") / Math.max(1, sum("characters"));
}

const RESAMPLES = 2000;

/** 95 % of the error rates of samples of the same size, drawn with replacement; the same each time. */
export function intervalOf(comparisons: readonly Comparison[]): readonly [number, number] {
  let state = 1;
  const draw = () => {
    // Numerical Recipes' linear congruential generator.
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return comparisons[Math.floor((state / 2 ** 32) * comparisons.length)];
  };
  const rates = Array.from({ length: RESAMPLES }, () =>
    errorRate(comparisons.flatMap(() => draw() ?? [])),
  ).sort((a, b) => a - b);
  return [rates[Math.floor(RESAMPLES * 0.025)] ?? 0, rates[Math.floor(RESAMPLES * 0.975)] ?? 0];
}
