/** What a run of the benchmark gives: figures, each with what it is compared to. Pure. */
import { z } from "zod";

/** Repetitions of one measurement, in its unit. */
export interface Sample {
  readonly n: number;
  readonly median: number;
  readonly p95: number;
  readonly least: number;
  readonly most: number;
}

export interface Goal {
  /** `under`: the value has to stay below the limit; `atMost`: it may reach it; `atLeast`: it has to. */
  readonly kind: "under" | "atMost" | "atLeast";
  readonly limit: number;
}

/** One number that stands for itself, beside its goal and its usual range. */
export interface Figure {
  /** Stable, for `ranges.json`. */
  readonly id: string;
  readonly value: number;
  readonly unit: string;
  readonly goal?: Goal;
}

export interface Section {
  readonly title: string;
  /** What is measured, what is not. */
  readonly notes: readonly string[];
  readonly header: readonly string[];
  readonly rows: readonly (readonly string[])[];
  readonly figures: readonly Figure[];
  /** What the rows come from, for the report that a machine reads. */
  readonly measurements?: readonly object[];
}

/** @param values at least one */
export function sampleOf(values: readonly number[]): Sample {
  const sorted = values.toSorted((a, b) => a - b);
  const at = (share: number) => sorted[Math.round(share * (sorted.length - 1))] ?? Number.NaN;
  const middle = sorted.length / 2;
  const median =
    ((sorted[Math.ceil(middle) - 1] ?? Number.NaN) + (sorted[Math.floor(middle)] ?? Number.NaN)) / 2;
  return { n: sorted.length, median, p95: at(0.95), least: at(0), most: at(1) };
}

/** @param ascending such values @param share 0.99 for the 99th percentile @returns NaN of none */
export function quantileOf(ascending: ArrayLike<number>, share: number): number {
  const { length } = ascending;
  return ascending[Math.min(length - 1, Math.floor(share * length))] ?? Number.NaN;
}

/** Median of the ratios within each round: what slows a round slows both sides of it. */
export function pairedRatio(ours: readonly number[], theirs: readonly number[]): Sample {
  return sampleOf(ours.map((value, round) => value / (theirs[round] ?? Number.NaN)));
}

export const rangesSchema = z.strictObject({
  /** Figures of a machine of this class only; elsewhere ratios shift a little and times a lot. */
  machine: z.string(),
  figures: z.record(
    z.string(),
    z.strictObject({
      least: z.number(),
      most: z.number(),
      /** What the range comes from. */
      runs: z.array(z.strictObject({ date: z.iso.date(), value: z.number() })).min(1),
    }),
  ),
});
export type Ranges = z.infer<typeof rangesSchema>;

export interface Judgement {
  readonly figure: Figure;
  readonly goal: "met" | "missed" | undefined;
  readonly range: "within" | "below" | "above" | undefined;
}

/** A figure without a range is new: it is judged by its goal alone. */
export function judge(figure: Figure, ranges: Ranges): Judgement {
  const { value, goal, id } = figure;
  const range = ranges.figures[id];
  return {
    figure,
    goal: goal === undefined ? undefined : MEETS[goal.kind](value, goal.limit) ? "met" : "missed",
    range:
      range === undefined
        ? undefined
        : value < range.least
          ? "below"
          : value > range.most
            ? "above"
            : "within",
  };
}

const MEETS: Readonly<Record<Goal["kind"], (value: number, limit: number) => boolean>> = {
  under: (value, limit) => value < limit,
  atMost: (value, limit) => value <= limit,
  atLeast: (value, limit) => value >= limit,
};
