import type { ItemOutput, ResultRecord } from "@autoglm/api";
import { expectEveryItemOnce } from "../support/installation.ts";

/** By item number. */
export type Outputs = readonly ItemOutput[];

/** Expects one output per item, without errors, and gives them in order. */
export function outputsOf(records: readonly ResultRecord[], count: number): Outputs {
  expectEveryItemOnce(records, count);
  return records
    .toSorted((a, b) => a.item - b.item)
    .map(({ item, output, error }) => {
      if (output === undefined) throw new Error(`item ${item}: ${error?.code} ${error?.message}`);
      return output;
    });
}

/** How far scores may lie apart: the last bits depend on which texts share a batch. */
const SCORE_TOLERANCE = 2e-3;

/** Numbers of the items with another answer, or scores further apart than rounding explains. */
export function differingItems(actual: Outputs, expected: Outputs): readonly number[] {
  return [...actual.keys()].filter((item) => {
    const [one, other] = [splitOutput(actual[item]), splitOutput(expected[item])];
    const isNear = one.scores.every(
      (score, index) => Math.abs(score - (other.scores[index] ?? NaN)) < SCORE_TOLERANCE,
    );
    return one.answer !== other.answer || !isNear;
  });
}

/** Everything but the scores as text, and the scores. */
function splitOutput(output: ItemOutput | undefined): {
  readonly answer: string;
  readonly scores: readonly number[];
} {
  const scores: number[] = [];
  const answer = JSON.stringify(output, (key, value: unknown) => {
    if (key !== "score" || typeof value !== "number") return value;
    scores.push(value);
    return undefined;
  });
  return { answer, scores };
}
