/**
 * What may be escalated: reserve before the deep model is asked, settle when it has answered.
 *
 *     left = limit − spent − reserved; the limit of escalations is the smaller of a number and a share of the items seen
 *
 * A reservation is the most that an item can cost, so that `spent` never exceeds a limit however many run at once. A
 * deep model that bills more than the most is charged in full, and nothing is reserved before the rest has caught up.
 */
export interface BudgetLimits {
  /** null: no limit. */
  readonly maxEscalations: number | null;
  readonly maxTokens: number | null;
  /** Of the items seen so far. */
  readonly maxShare: number | null;
}

export interface BudgetSpent {
  readonly escalations: number;
  readonly tokens: number;
  readonly seen: number;
}

export interface BudgetLeft {
  readonly escalations: number | null;
  readonly tokens: number | null;
}

export interface BudgetReservation {
  readonly tokens: number;
}

export class BudgetLedger {
  readonly #limits: BudgetLimits;
  readonly #open = new Set<BudgetReservation>();
  #escalations: number;
  #tokens: number;
  #seen: number;

  constructor(limits: BudgetLimits, spent: BudgetSpent = { escalations: 0, tokens: 0, seen: 0 }) {
    this.#limits = limits;
    this.#escalations = spent.escalations;
    this.#tokens = spent.tokens;
    this.#seen = spent.seen;
  }

  /** With what is reserved: all that may have been spent. */
  get committed(): BudgetSpent {
    let tokens = this.#tokens;
    for (const reservation of this.#open) tokens += reservation.tokens;
    return { escalations: this.#escalations + this.#open.size, tokens, seen: this.#seen };
  }

  get left(): BudgetLeft {
    const { maxEscalations, maxTokens, maxShare } = this.#limits;
    const { escalations, tokens } = this.committed;
    const byShare = maxShare === null ? Infinity : Math.floor(maxShare * this.#seen);
    const most = Math.min(maxEscalations ?? Infinity, byShare);
    return {
      escalations: most === Infinity ? null : Math.max(0, most - escalations),
      tokens: maxTokens === null ? null : Math.max(0, maxTokens - tokens),
    };
  }

  /** An item has come that may be escalated or not. */
  see(): void {
    this.#seen++;
  }

  /** undefined where it does not fit. */
  reserve(tokens: number): BudgetReservation | undefined {
    const left = this.left;
    if (left.escalations !== null && left.escalations < 1) return undefined;
    if (left.tokens !== null && left.tokens < tokens) return undefined;
    const reservation = { tokens };
    this.#open.add(reservation);
    return reservation;
  }

  /** The deep model has answered, or may have: the escalation counts. */
  settle(reservation: BudgetReservation, tokensUsed = reservation.tokens): void {
    if (!this.#open.delete(reservation)) return;
    this.#escalations++;
    this.#tokens += tokensUsed;
  }

  /** The deep model was never asked. */
  release(reservation: BudgetReservation): void {
    this.#open.delete(reservation);
  }
}
