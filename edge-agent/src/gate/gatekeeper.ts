/**
 * Decides, remembers and writes down: the state around the pure policy of core/src/gate. One for each gate, shared by all
 * its requests. Every decision takes the budget, the link and the calibration as they are in that turn of the event loop,
 * and reserves in the same turn what it grants.
 */
import { createHash } from "node:crypto";
import {
  isAutoglmError,
  type ErrorCode,
  type GatePolicy,
  type ItemResult,
  type TaskType,
} from "@autoglm/api";
import {
  answersAgree,
  answerSignalOf,
  calibratedConfidence,
  decideGate,
  GATE_POLICY_VERSION,
  gateFeaturesOf,
  type BudgetReservation,
  type GateDecision,
  type GateFeatures,
  type GateInputs,
} from "@autoglm/core";
import type { Log } from "@autoglm/telemetry";
import type { ParsedItem } from "../parse/index.ts";
import type { DecisionLog } from "./decision-log.ts";
import { DeepHealth } from "./deep-health.ts";
import type { GateState } from "./gate-state.ts";
import type { Learned, LearnableOutcome } from "./learned.ts";
import { LeasedBudget } from "./leased-budget.ts";

export type WholeItem = Extract<ParsedItem, { text: string }>;

export interface GatekeeperOptions {
  readonly state: GateState;
  /** What the budget counts for and the log is named after: letters, digits, `.`, `_` and `-`. */
  readonly scope: string;
  readonly policy: GatePolicy;
  /** Inputs must not leave the node. */
  readonly siteOnly: boolean;
  readonly type: TaskType;
  /** Names of the models, with their variants. */
  readonly edge: string;
  readonly deep: string;
  readonly log: Log;
  readonly now: () => number;
  /** Uniform in [0, 1). */
  readonly random: () => number;
}

/** What is known of an item while it is open. */
export interface GatedItem {
  readonly parsed: WholeItem;
  readonly features: GateFeatures;
  readonly digest: string;
  /** Most tokens that the deep model can use for it. */
  readonly tokens: number;
  pHard: number | null;
  /** The pre-gate found it hard, whatever came of that. */
  isHard: boolean;
  edge: ItemResult | undefined;
  score: number | null;
  confidence: number | null;
  margin: number | null;
  decision: GateDecision | undefined;
  reservation: BudgetReservation | undefined;
}

/** Of these it is known that no answer was given, and none is billed. */
const NOT_SERVED: readonly ErrorCode[] = [
  "EndpointUnavailable",
  "EndpointRefused",
  "EndpointKeyMissing",
  "BusUnavailable",
  "TooManyRequests",
  "QueueFull",
  "ModelUnavailable",
  "ModelLoadFailed",
  "ModelDigestMismatch",
];
/** Of the item, not of the model behind it. */
const OF_THE_ITEM: readonly string[] = ["ItemInvalid", "ItemTooLong", "AnswerInvalid"];

export class Gatekeeper {
  readonly #options: GatekeeperOptions;
  readonly #budget: LeasedBudget;
  readonly #learned: Learned;
  readonly #log: DecisionLog;
  readonly #health = new DeepHealth();
  readonly #isOpen = { pre: false, post: false };
  /** Whose outcome is being learned, where it is one of this gate. */
  #learning: GatedItem | undefined;

  private constructor(
    options: GatekeeperOptions,
    parts: { readonly budget: LeasedBudget; readonly learned: Learned; readonly log: DecisionLog },
  ) {
    this.#options = options;
    this.#budget = parts.budget;
    this.#learned = parts.learned;
    this.#log = parts.log;
    this.#learned.follow(this.#noteOutcome);
  }

  static async open(options: GatekeeperOptions): Promise<Gatekeeper> {
    const { state, scope, policy, type, edge, deep, now } = options;
    const { maxEscalations = null, maxTokens = null, maxShare = null } = policy.budget ?? {};
    const { mode, threshold, minConfidence, minMargin, hysteresis, auditShare } = policy;
    const budget = await LeasedBudget.open(state, scope, { maxEscalations, maxTokens, maxShare });
    const learned = await state.learned(`${edge} ${type}`);
    const log = await state.openLog(scope, () => ({
      kind: "open",
      v: GATE_POLICY_VERSION,
      at: new Date(now()).toISOString(),
      edge,
      deep,
      policy: { mode, threshold, minConfidence, minMargin, hysteresis, auditShare },
      calibration: learned.calibration,
    }));
    return new Gatekeeper(options, { budget, learned, log });
  }

  get predicts(): boolean {
    return this.#options.policy.mode !== "Post";
  }

  admit(parsed: WholeItem, tokens: number): GatedItem {
    this.#budget.see();
    const hasMedia = "media" in parsed && parsed.media !== undefined;
    return {
      parsed,
      features: gateFeaturesOf(parsed.text, this.#options.type, { hasMedia }),
      digest: createHash("sha256").update(parsed.text).digest("hex").slice(0, 16),
      tokens,
      pHard: null,
      isHard: false,
      edge: undefined,
      score: null,
      confidence: null,
      margin: null,
      decision: undefined,
      reservation: undefined,
    };
  }

  /** Before the edge model. */
  decidePre(item: GatedItem, pHard: number | null): GateDecision {
    item.pHard = pHard;
    const decision = this.#decide("pre", item, null);
    item.isHard = decision.rule !== "PredictedEasy" && decision.rule !== "NotPredicted";
    return decision;
  }

  /** With the edge's answer, or its error. */
  decidePost(item: GatedItem, edge: ItemResult): GateDecision {
    item.edge = edge;
    if (edge.output !== undefined) {
      const { score, margin } = answerSignalOf(edge.output);
      item.score = score;
      item.margin = margin;
      item.confidence =
        score === null ? null : calibratedConfidence(this.#learned.calibration, { score, pHard: item.pHard });
    }
    const isAudited = edge.output !== undefined && this.#options.policy.auditShare > 0;
    return this.#decide("post", item, isAudited ? this.#options.random() : null);
  }

  /** Resolves when what is granted is sure to be counted, come what may; only then may the item be sent. */
  covered(): Promise<void> {
    return this.#budget.covered();
  }

  /** The deep model has answered. */
  noteAnswer(item: GatedItem, deep: ItemResult): void {
    this.#health.noteAnswer();
    this.#settle(item, tokensOf(deep));
    const { edge, score, pHard, decision } = item;
    if (edge?.output === undefined || deep.output === undefined || score === null) return;
    const agrees = answersAgree(edge.output, deep.output);
    if (agrees === null) return;
    const share = decision?.rule === "Audit" ? this.#options.policy.auditShare : 1;
    this.#learning = item;
    this.#learned.learn({ score, pHard, agrees, share });
    this.#learning = undefined;
  }

  /** The deep model gave no answer; the edge's counts. */
  noteFailure(item: GatedItem, error: unknown): GateDecision {
    const code = codeOf(error);
    if (code !== undefined && OF_THE_ITEM.includes(code)) this.#health.noteAnswer();
    else this.#health.noteFailure(this.#options.now());
    if (NOT_SERVED.some((known) => known === code) && !mayHaveAnswered(error, item)) this.#release(item);
    else this.#settle(item);
    return this.#decide("fallback", item, null);
  }

  /** The item was granted and is not sent. */
  noteUnsent(item: GatedItem): GateDecision {
    this.#health.noteFailure(this.#options.now());
    this.#release(item);
    return this.#decide("fallback", item, null);
  }

  /** Nobody waits for the item any more; what was sent is spent. */
  abandon(item: GatedItem): void {
    if (item.reservation) this.#health.noteAbandoned();
    this.#settle(item);
  }

  /** What the result says of the gate. */
  recordOf(item: GatedItem): NonNullable<ItemResult["gate"]> {
    const { pHard, confidence, margin, decision } = item;
    return {
      route: decision?.route ?? "edge",
      rule: decision?.rule ?? "NotPredicted",
      policy: String(GATE_POLICY_VERSION),
      ...(pHard !== null && { pHard }),
      ...(confidence !== null && { confidence }),
      ...(margin !== null && { margin }),
    };
  }

  /**
   * Everything is on the disk when it resolves; of what was learned or decided and can't be written, the log tells.
   * @throws what the disk says of the budget, with the files closed all the same
   */
  async close(): Promise<void> {
    this.#learned.unfollow(this.#noteOutcome);
    await this.#learned.saved();
    try {
      await this.#budget.close();
    } catch (error) {
      // The same disk may refuse the log as well; the first error is the one to know.
      await this.#log.close().catch(() => undefined);
      throw error;
    }
    await this.#log.close();
  }

  #decide(stage: GateInputs["stage"], item: GatedItem, auditDraw: number | null): GateDecision {
    const { policy, siteOnly, now } = this.#options;
    const { escalations, tokens } = this.#budget.left;
    const isPost = stage === "post";
    const inputs: GateInputs = {
      stage,
      features: item.features,
      dataClass: siteOnly ? "SiteOnly" : "Anywhere",
      link: this.#health.link(now()),
      escalationsLeft: escalations,
      tokensLeft: tokens,
      tokens: item.tokens,
      isOpen: stage === "fallback" ? false : this.#isOpen[stage],
      pHard: item.pHard,
      confidence: isPost ? item.confidence : null,
      margin: isPost ? item.margin : null,
      edgeFailed: isPost && item.edge?.error !== undefined,
      wasHard: isPost && item.isHard,
      auditDraw,
    };
    const decision = decideGate(policy, inputs);
    if (stage !== "fallback") this.#isOpen[stage] = decision.isOpen;
    if (decision.route === "deep") {
      item.reservation = this.#budget.reserve(item.tokens);
      this.#health.noteSent();
    }
    item.decision = decision;
    const { digest, parsed, score } = item;
    this.#log.append({
      kind: "decision",
      item: parsed.item,
      digest,
      score: isPost ? score : null,
      inputs,
      decision,
    });
    return decision;
  }

  #settle(item: GatedItem, tokens?: number): void {
    if (item.reservation) this.#budget.settle(item.reservation, tokens);
    item.reservation = undefined;
  }

  #release(item: GatedItem): void {
    if (item.reservation) this.#budget.release(item.reservation);
    item.reservation = undefined;
  }

  /** Of this gate, or of another one with the same edge model. */
  readonly #noteOutcome = (outcome: LearnableOutcome): void => {
    this.#log.append({ kind: "outcome", item: this.#learning?.parsed.item ?? null, ...outcome });
  };
}

function codeOf(error: unknown): string | undefined {
  return typeof error === "object" && error !== null && "code" in error ? String(error.code) : undefined;
}

/** The request of this item was sent, and nobody knows what became of it: it counts, as the endpoint may count it. */
function mayHaveAnswered(error: unknown, { parsed }: GatedItem): boolean {
  if (!isAutoglmError(error)) return false;
  const { items } = error.details;
  return Array.isArray(items) && items.includes(parsed.item);
}

/** undefined where the answer does not say: then the most counts. */
function tokensOf({ output }: ItemResult): number | undefined {
  return output?.type === "text-generation" ? output.prompt_tokens + output.completion_tokens : undefined;
}
