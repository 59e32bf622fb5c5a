/**
 * What a gate is worth: accuracy against the share of items that it escalates, beside a gate that draws lots and one that
 * knows the answers.
 *
 * The gate learns from calibration rows as it does from audits: whether both models agree, never which of them is right.
 * For each share, thresholds are chosen on the same rows, and the production policy routes test rows under a budget of that
 * share: what is reported never escalated more. `random` is the expected accuracy of drawing lots at the share that
 * was really escalated; `oracle` escalates what only the deep model gets right, an upper bound and no competitor.
 */
import { BudgetLedger } from "./budget.ts";
import {
  calibratedConfidence,
  initialCalibration,
  learnOutcome,
  type CalibrationState,
} from "./calibration.ts";
import type { GateFeatures } from "./features.ts";
import { decideGate, DEFAULT_GATE_POLICY, type GateInputs, type GatePolicy } from "./policy.ts";

/** One item that both models answered. */
export interface GateEvalRow {
  readonly features: GateFeatures;
  readonly pHard: number | null;
  readonly score: number | null;
  readonly margin: number | null;
  readonly edgeFailed: boolean;
  /** Whether both models gave one answer; null where that can't be said. */
  readonly agrees: boolean | null;
  readonly edgeIsRight: boolean;
  readonly deepIsRight: boolean;
}

export interface GateTrial {
  readonly calibration: readonly GateEvalRow[];
  readonly test: readonly GateEvalRow[];
}

export interface GatePoint {
  /** Asked for, and reached on the test rows. */
  readonly share: number;
  readonly escalated: number;
  readonly accuracy: number;
  readonly random: number;
  readonly oracle: number;
}

export interface GateTrialCurve {
  readonly edge: number;
  readonly deep: number;
  readonly points: readonly GatePoint[];
}

/** One point for each share, in their order. @throws RangeError without rows */
export function evaluateGate(
  { calibration, test }: GateTrial,
  mode: GatePolicy["mode"],
  shares: readonly number[],
): GateTrialCurve {
  if (calibration.length === 0 || test.length === 0) throw new RangeError("a trial needs rows of both kinds");
  // Without the network after the answer alone.
  const seen = (rows: readonly GateEvalRow[]) =>
    mode === "Post" ? rows.map((row) => ({ ...row, pHard: null })) : rows;
  const [learned, rows] = [seen(calibration), seen(test)];
  const state = learn(learned);
  const edge = shareOf(test, ({ edgeIsRight }) => edgeIsRight);
  const deep = shareOf(test, ({ deepIsRight }) => deepIsRight);
  const points = shares.map((share): GatePoint => {
    const policy = choosePolicy(learned, state, mode, share);
    const { escalated, accuracy } = route(rows, state, policy, Math.floor(share * test.length));
    return {
      share,
      escalated,
      accuracy,
      random: edge + escalated * (deep - edge),
      oracle: oracleAt(test, escalated),
    };
  });
  return { edge, deep, points };
}

export interface Interval {
  readonly mean: number;
  /** Ends of the 95 % interval of the mean by Student's t; both are the mean with one value. */
  readonly low: number;
  readonly high: number;
}

/** 97.5 % quantiles of Student's t for 1 to 30 degrees of freedom. */
const T_QUANTILES = [
  12.706, 4.303, 3.182, 2.776, 2.571, 2.447, 2.365, 2.306, 2.262, 2.228, 2.201, 2.179, 2.16, 2.145, 2.131,
  2.12, 2.11, 2.101, 2.093, 2.086, 2.08, 2.074, 2.069, 2.064, 2.06, 2.056, 2.052, 2.048, 2.045, 2.042,
];

export function intervalOf(values: readonly number[]): Interval {
  const mean = meanOf(values);
  if (values.length < 2) return { mean, low: mean, high: mean };
  const variance = values.reduce((sum, value) => sum + (value - mean) ** 2, 0) / (values.length - 1);
  const quantile = T_QUANTILES[values.length - 2] ?? T_QUANTILES.at(-1) ?? Number.NaN;
  const half = quantile * Math.sqrt(variance / values.length);
  return { mean, low: mean - half, high: mean + half };
}

export interface GateSummary {
  readonly trials: number;
  readonly edge: Interval;
  readonly deep: Interval;
  readonly gap: Interval;
  readonly points: readonly {
    readonly share: number;
    readonly escalated: Interval;
    readonly accuracy: Interval;
    readonly random: Interval;
    readonly oracle: Interval;
    /** Accuracy less that of random, pair by pair. */
    readonly aboveRandom: Interval;
    /** Of the gap between the models; undefined where a trial has none. */
    readonly recovered: Interval | undefined;
  }[];
}

export function summarizeGate(curves: readonly GateTrialCurve[]): GateSummary {
  const gaps = curves.map(({ edge, deep }) => deep - edge);
  const points = (curves[0]?.points ?? []).map(({ share }, index) => {
    const at = curves.flatMap(({ points }) => points[index] ?? []);
    const recovered = at.map(
      ({ accuracy }, trial) => (accuracy - (curves[trial]?.edge ?? 0)) / (gaps[trial] ?? 0),
    );
    return {
      share,
      escalated: intervalOf(at.map(({ escalated }) => escalated)),
      accuracy: intervalOf(at.map(({ accuracy }) => accuracy)),
      random: intervalOf(at.map(({ random }) => random)),
      oracle: intervalOf(at.map(({ oracle }) => oracle)),
      aboveRandom: intervalOf(at.map(({ accuracy, random }) => accuracy - random)),
      recovered: gaps.every((gap) => gap > 0) ? intervalOf(recovered) : undefined,
    };
  });
  return {
    trials: curves.length,
    edge: intervalOf(curves.map(({ edge }) => edge)),
    deep: intervalOf(curves.map(({ deep }) => deep)),
    gap: intervalOf(gaps),
    points,
  };
}

/** Several times over: a stream of audits is longer than the rows of a file. */
const PASSES = 3;

function learn(rows: readonly GateEvalRow[]): CalibrationState {
  let state = initialCalibration();
  for (let pass = 0; pass < PASSES; pass++) {
    for (const { score, pHard, agrees } of rows) {
      if (score !== null && agrees !== null) state = learnOutcome(state, { score, pHard, agrees, share: 1 });
    }
  }
  return state;
}

/**
 * Thresholds under which that share of the rows escalates. With both gates the first has its default threshold, or a higher
 * one where that alone would escalate more; the second has the rest.
 */
function choosePolicy(
  rows: readonly GateEvalRow[],
  state: CalibrationState,
  mode: GatePolicy["mode"],
  share: number,
): GatePolicy {
  const wanted = Math.round(share * rows.length);
  const hardest = rows.toSorted((a, b) => (b.pHard ?? 0) - (a.pHard ?? 0));
  const atDefault = rows.filter(({ pHard }) => (pHard ?? 0) >= DEFAULT_GATE_POLICY.threshold).length;
  const before = mode === "Pre" ? wanted : mode === "Post" ? 0 : Math.min(wanted, atDefault);
  const { threshold: byDefault } = DEFAULT_GATE_POLICY;
  const takesAll = mode === "Both" && before === atDefault;
  // Above one: nothing is that hard.
  const threshold = before === 0 ? 2 : takesAll ? byDefault : (hardest[before - 1]?.pHard ?? 2);
  const left = hardest.slice(before).flatMap((row) => confidenceOf(row, state) ?? []);
  const after = Math.min(left.length, wanted - before);
  const minConfidence = after <= 0 ? 0 : (left.toSorted((a, b) => a - b)[after] ?? 2);
  return { mode, threshold, minConfidence, minMargin: 0, hysteresis: 0, auditShare: 0 };
}

/** The production policy over the rows, in their order. */
function route(
  rows: readonly GateEvalRow[],
  state: CalibrationState,
  policy: GatePolicy,
  maxEscalations: number,
): { readonly escalated: number; readonly accuracy: number } {
  const budget = new BudgetLedger({ maxEscalations, maxTokens: null, maxShare: null });
  let right = 0;
  let escalated = 0;
  for (const row of rows) {
    const common = {
      ...COMMON,
      escalationsLeft: budget.left.escalations,
      features: row.features,
      pHard: row.pHard,
    };
    const { margin, edgeFailed } = row;
    const stages: GateInputs[] = [];
    if (policy.mode !== "Post") stages.push({ ...common, stage: "pre" });
    stages.push({ ...common, stage: "post", confidence: confidenceOf(row, state), margin, edgeFailed });
    const isDeep = stages.some((inputs) => decideGate(policy, inputs).route === "deep");
    const reservation = isDeep ? budget.reserve(0) : undefined;
    if (reservation) {
      budget.settle(reservation);
      escalated++;
    }
    if (reservation ? row.deepIsRight : row.edgeIsRight) right++;
  }
  return { escalated: escalated / rows.length, accuracy: right / rows.length };
}

const COMMON = {
  dataClass: "Anywhere",
  link: "Up",
  tokensLeft: null,
  tokens: 0,
  isOpen: false,
  confidence: null,
  margin: null,
  edgeFailed: false,
  wasHard: false,
  auditDraw: null,
} as const;

function confidenceOf({ score, pHard }: GateEvalRow, state: CalibrationState): number | null {
  return score === null ? null : calibratedConfidence(state, { score, pHard });
}

/** First what only the deep model gets right, last what only the edge gets right. */
function oracleAt(rows: readonly GateEvalRow[], escalated: number): number {
  const gains = rows.map(({ edgeIsRight, deepIsRight }) => Number(deepIsRight) - Number(edgeIsRight));
  const best = gains.toSorted((a, b) => b - a).slice(0, Math.round(escalated * rows.length));
  const won = best.reduce((sum, gain) => sum + gain, 0);
  return shareOf(rows, ({ edgeIsRight }) => edgeIsRight) + won / rows.length;
}

function shareOf<Row>(rows: readonly Row[], is: (row: Row) => boolean): number {
  return rows.filter(is).length / rows.length;
}

function meanOf(values: readonly number[]): number {
  return values.reduce((sum, value) => sum + value, 0) / values.length;
}
