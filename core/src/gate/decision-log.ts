/**
 * The log of a gate's decisions, and its replay by the code that made them.
 *
 *     open      policy, and the calibration as it was when the log (or a part of it) began
 *     decision  inputs, the score behind the confidence, and what was decided
 *     outcome   an item that both models answered: the calibration learns from it
 *
 * Numbers, names and digests alone: no text of an input or an answer. Records are in the order in which things happened,
 * so that a replay begins with the calibration of `open`, learns each outcome again, recomputes each confidence from its
 * score, decides again, and must arrive at the very same numbers.
 */
import { calibratedConfidence, learnOutcome, type CalibrationState } from "./calibration.ts";
import {
  decideGate,
  GATE_POLICY_VERSION,
  type GateDecision,
  type GateInputs,
  type GatePolicy,
} from "./policy.ts";

export interface GateOpenRecord {
  readonly kind: "open";
  readonly v: typeof GATE_POLICY_VERSION;
  readonly at: string;
  readonly edge: string;
  readonly deep: string;
  readonly policy: GatePolicy;
  readonly calibration: CalibrationState;
}

export interface GateDecisionRecord {
  readonly kind: "decision";
  readonly item: number;
  /** sha256 of the text, its first 16 hexadecimal digits. */
  readonly digest: string;
  /** Of the edge model itself; `inputs.confidence` is made from it. */
  readonly score: number | null;
  readonly inputs: GateInputs;
  readonly decision: GateDecision;
}

export interface GateOutcomeRecord {
  readonly kind: "outcome";
  /** null where it is one of another gate with the same edge model at the same time. */
  readonly item: number | null;
  readonly score: number;
  readonly pHard: number | null;
  readonly agrees: boolean;
  readonly share: number;
}

export type GateLogRecord = GateOpenRecord | GateDecisionRecord | GateOutcomeRecord;

export interface ReplayDifference {
  /** What differs: a field of the decision, the confidence, or the order of the records. */
  readonly what: string;
  readonly recorded: unknown;
  readonly replayed: unknown;
}

/** Replays one record after the other; `undefined` where it is reproduced. */
export class GateReplay {
  #policy: GatePolicy | undefined;
  #calibration: CalibrationState | undefined;
  decisions = 0;
  outcomes = 0;

  next(record: GateLogRecord): ReplayDifference | undefined {
    if (record.kind === "open") {
      const difference = this.#open(record);
      this.#policy = record.policy;
      this.#calibration = record.calibration;
      return difference;
    }
    if (this.#policy === undefined || this.#calibration === undefined) {
      return { what: "first record", recorded: record.kind, replayed: "open" };
    }
    if (record.kind === "outcome") {
      this.outcomes++;
      this.#calibration = learnOutcome(this.#calibration, record);
      return undefined;
    }
    this.decisions++;
    return replayDecision(this.#policy, this.#calibration, record);
  }

  #open({ v }: GateOpenRecord): ReplayDifference | undefined {
    if (v === GATE_POLICY_VERSION) return undefined;
    return { what: "policy version", recorded: v, replayed: GATE_POLICY_VERSION };
  }
}

function replayDecision(
  policy: GatePolicy,
  calibration: CalibrationState,
  { inputs, score, decision }: GateDecisionRecord,
): ReplayDifference | undefined {
  const confidence =
    score === null ? null : calibratedConfidence(calibration, { score, pHard: inputs.pHard });
  if (confidence !== inputs.confidence) {
    return { what: "confidence", recorded: inputs.confidence, replayed: confidence };
  }
  const replayed = decideGate(policy, inputs);
  for (const field of ["route", "rule", "isOpen"] as const) {
    if (replayed[field] !== decision[field]) {
      return { what: field, recorded: decision[field], replayed: replayed[field] };
    }
  }
  return undefined;
}
