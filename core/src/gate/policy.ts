/**
 * Dynamic gating: whether the small model at the edge answers an item, or the big one.
 *
 *     item ──► pre ──deep──► deep model ──fails──► fallback: edge model
 *               │ edge                                 ▲
 *               └──► edge model ──► post ──edge──► the edge's answer stands
 *                                     └──deep──► deep model; fails: fallback, the edge's answer stands
 *
 * A decision is a pure function of the policy and the recorded inputs, so that `autoglm gate replay` reproduces it.
 *
 * Laws (policy.test.ts): SiteOnly is never deep; with the link down nothing is deep; what does not fit into the budget is
 * not deep; a more confident answer is never escalated where a less confident one was not.
 *
 * A rule has a reason to ask the deep model first, and what forbids it second: an answer that nobody would have escalated
 * says `Confident` also where escalation was forbidden.
 */
import type { GatePolicy as GatePolicySpec } from "@autoglm/api";
import type { GateFeatures } from "./features.ts";

/** Of the rules below: a log of another version is replayed by the code of that version. */
export const GATE_POLICY_VERSION = 1;

/** What decides on one item; the budget counts over all of them (budget.ts). */
export type GatePolicy = Omit<GatePolicySpec, "budget">;

/** As the schema of `spec.gating` has it. */
export const DEFAULT_GATE_POLICY: GatePolicy = {
  mode: "Both",
  threshold: 0.5,
  minConfidence: 0.7,
  minMargin: 0.1,
  hysteresis: 0.05,
  auditShare: 0,
};

export type GateRule =
  // Why the deep model is asked.
  | "EmptyInput"
  | "PredictedHard"
  | "LowConfidence"
  | "SmallMargin"
  | "EdgeFailed"
  | "Audit"
  // What forbids it.
  | "SiteOnly"
  | "LinkDown"
  | "EscalationsSpent"
  | "TokensSpent"
  // Why the edge's answer is enough.
  | "PredictedEasy"
  | "NotPredicted"
  | "Confident"
  | "NoConfidence"
  // What became of it.
  | "DeepFailed";

export interface GateInputs {
  /** `pre`: before the edge model; `post`: with its answer; `fallback`: the deep model gave none. */
  readonly stage: "pre" | "post" | "fallback";
  readonly features: GateFeatures;
  readonly dataClass: "Anywhere" | "SiteOnly";
  readonly link: "Up" | "Down";
  /** null without a limit. */
  readonly escalationsLeft: number | null;
  readonly tokensLeft: number | null;
  /** Most tokens that this item can cost. */
  readonly tokens: number;
  /** Hysteresis: whether the last item that this stage judged was hard. */
  readonly isOpen: boolean;
  /** null where no network said. */
  readonly pHard: number | null;
  /** Calibrated; null before the answer and where the answer has no score. */
  readonly confidence: number | null;
  readonly margin: number | null;
  readonly edgeFailed: boolean;
  /** After the answer: the pre-gate found the input hard, and something forbade the deep model. It may not any more. */
  readonly wasHard: boolean;
  /** Uniform in [0, 1); null where nothing is audited. */
  readonly auditDraw: number | null;
}

export interface GateDecision {
  readonly route: "edge" | "deep";
  readonly rule: GateRule;
  /** Of this stage for the next item. */
  readonly isOpen: boolean;
}

export function decideGate(policy: GatePolicy, inputs: GateInputs): GateDecision {
  const { stage, isOpen } = inputs;
  if (stage === "fallback") return { route: "edge", rule: "DeepFailed", isOpen };
  const reason = hardness(policy, inputs);
  if (reason !== undefined) {
    const forbids = prohibition(inputs);
    return { route: forbids ? "edge" : "deep", rule: forbids ?? reason, isOpen: opensGate(reason) || isOpen };
  }
  const rule = easiness(policy, inputs);
  const next = rule === "PredictedEasy" || rule === "Confident" ? false : isOpen;
  if (isAudited(policy, inputs) && prohibition(inputs) === undefined) {
    return { route: "deep", rule: "Audit", isOpen: next };
  }
  return { route: "edge", rule, isOpen: next };
}

function hardness(policy: GatePolicy, inputs: GateInputs): GateRule | undefined {
  const { stage, features, pHard, confidence, margin, edgeFailed, wasHard } = inputs;
  const band = inputs.isOpen ? policy.hysteresis : 0;
  if (features.isEmpty) return "EmptyInput";
  if (stage === "pre") {
    const isHard = policy.mode !== "Post" && pHard !== null && pHard >= policy.threshold - band;
    return isHard ? "PredictedHard" : undefined;
  }
  if (edgeFailed) return "EdgeFailed";
  if (wasHard) return "PredictedHard";
  if (policy.mode === "Pre") return undefined;
  if (confidence !== null && confidence < policy.minConfidence + band) return "LowConfidence";
  if (margin !== null && margin < policy.minMargin + band) return "SmallMargin";
  return undefined;
}

function easiness(policy: GatePolicy, { stage, pHard, confidence }: GateInputs): GateRule {
  if (stage === "post" && policy.mode !== "Pre") return confidence === null ? "NoConfidence" : "Confident";
  return pHard === null ? "NotPredicted" : "PredictedEasy";
}

function prohibition(inputs: GateInputs): GateRule | undefined {
  const { dataClass, link, escalationsLeft, tokensLeft, tokens } = inputs;
  if (dataClass === "SiteOnly") return "SiteOnly";
  if (link === "Down") return "LinkDown";
  if (escalationsLeft !== null && escalationsLeft < 1) return "EscalationsSpent";
  if (tokensLeft !== null && tokensLeft < tokens) return "TokensSpent";
  return undefined;
}

/** Only an answer can be compared with another one. */
function isAudited({ auditShare }: GatePolicy, { stage, auditDraw }: GateInputs): boolean {
  return stage === "post" && auditDraw !== null && auditDraw < auditShare;
}

/** An item that failed or was empty says nothing about its neighbours. */
function opensGate(reason: GateRule): boolean {
  return reason === "PredictedHard" || reason === "LowConfidence" || reason === "SmallMargin";
}
