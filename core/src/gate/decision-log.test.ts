import { describe, expect, it } from "vitest";
import {
  calibratedConfidence,
  initialCalibration,
  learnOutcome,
  type CalibrationState,
} from "./calibration.ts";
import {
  GateReplay,
  type GateDecisionRecord,
  type GateOpenRecord,
  type GateLogRecord,
} from "./decision-log.ts";
import { gateFeaturesOf } from "./features.ts";
import { decideGate, DEFAULT_GATE_POLICY, type GateInputs } from "./policy.ts";

const policy = { ...DEFAULT_GATE_POLICY, auditShare: 0.1 };
const open: GateOpenRecord = {
  kind: "open",
  v: 1,
  at: "2026-01-01T00:00:00Z",
  edge: "small/fp32",
  deep: "big/fp32",
  policy,
  calibration: initialCalibration(1.3),
};

function decisionOf(item: number, score: number, calibration: CalibrationState): GateDecisionRecord {
  const inputs: GateInputs = {
    stage: "post",
    features: gateFeaturesOf("房间很大", "text-classification"),
    dataClass: "Anywhere",
    link: "Up",
    escalationsLeft: 10,
    tokensLeft: null,
    tokens: 12,
    isOpen: false,
    pHard: 0.3,
    confidence: calibratedConfidence(calibration, { score, pHard: 0.3 }),
    margin: null,
    edgeFailed: false,
    wasHard: false,
    auditDraw: 0.05,
  };
  return { kind: "decision", item, digest: "0", score, inputs, decision: decideGate(policy, inputs) };
}

/** A log in which the gate learned between two decisions. */
function logOf(): GateLogRecord[] {
  const outcome = { kind: "outcome", item: 0, score: 0.8, pHard: 0.3, agrees: false, share: 0.1 } as const;
  const learned = learnOutcome(open.calibration, outcome);
  return [open, decisionOf(0, 0.8, open.calibration), outcome, decisionOf(1, 0.8, learned)];
}

const replay = (records: readonly GateLogRecord[]) => {
  const replaying = new GateReplay();
  const read: GateLogRecord[] = JSON.parse(JSON.stringify(records));
  return { differences: read.map((record) => replaying.next(record)).filter(Boolean), replaying };
};

describe("GateReplay", () => {
  it("reproduces decisions, with what was learned between them", () => {
    const { differences, replaying } = replay(logOf());
    expect(differences).toEqual([]);
    expect(replaying).toMatchObject({ decisions: 2, outcomes: 1 });
  });

  it("names a decision that the policy would not make", () => {
    const [first, decision, ...rest] = logOf() as [GateOpenRecord, GateDecisionRecord, ...GateLogRecord[]];
    const forged = { ...decision, decision: { ...decision.decision, route: "edge" } } as GateDecisionRecord;
    expect(replay([first, forged, ...rest]).differences).toEqual([
      { what: "route", recorded: "edge", replayed: "deep" },
    ]);
  });

  it("names a confidence that the calibration does not give", () => {
    const records = logOf().filter(({ kind }) => kind !== "outcome");
    expect(replay(records).differences).toMatchObject([{ what: "confidence" }]);
  });

  it("refuses a log without a beginning, and one of another policy", () => {
    expect(replay(logOf().slice(1)).differences[0]).toMatchObject({ what: "first record" });
    expect(replay([{ ...open, v: 2 } as unknown as GateLogRecord]).differences[0]).toMatchObject({
      what: "policy version",
      recorded: 2,
    });
  });
});
