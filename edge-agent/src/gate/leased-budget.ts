/**
 * A budget that a killed process can't exceed by starting again: before an item is sent, the file says that it may have
 * been spent. It is written a block ahead, so that not every escalation waits for the disk.
 */
import { BudgetLedger, type BudgetLimits, type BudgetReservation, type BudgetSpent } from "@autoglm/core";
import type { GateState } from "./gate-state.ts";

/** Escalations that one write pays for. */
const BLOCK = 32;

export class LeasedBudget {
  readonly #state: GateState;
  readonly #scope: string;
  readonly #hasLimit: boolean;
  readonly #ledger: BudgetLedger;
  /** What the file says. */
  #leased: BudgetSpent;
  #writing: Promise<void> | undefined;

  private constructor(state: GateState, scope: string, limits: BudgetLimits, spent: BudgetSpent) {
    this.#state = state;
    this.#scope = scope;
    this.#hasLimit = Object.values(limits).some((limit) => limit !== null);
    this.#ledger = new BudgetLedger(limits, spent);
    this.#leased = spent;
  }

  static async open(state: GateState, scope: string, limits: BudgetLimits): Promise<LeasedBudget> {
    return new LeasedBudget(state, scope, limits, await state.spent(scope));
  }

  get left(): BudgetLedger["left"] {
    return this.#ledger.left;
  }

  see(): void {
    this.#ledger.see();
  }

  /** In one turn with the decision that looked at {@link left}. */
  reserve(tokens: number): BudgetReservation | undefined {
    return this.#ledger.reserve(tokens);
  }

  settle(reservation: BudgetReservation, tokensUsed?: number): void {
    this.#ledger.settle(reservation, tokensUsed);
  }

  release(reservation: BudgetReservation): void {
    this.#ledger.release(reservation);
  }

  /** Resolves when the file covers everything that is reserved. @throws what the disk says */
  async covered(): Promise<void> {
    while (this.#hasLimit && !this.#isCovered()) {
      this.#writing ??= this.#lease().finally(() => {
        this.#writing = undefined;
      });
      await this.#writing;
    }
  }

  /** The rest of the block is given back. */
  async close(): Promise<void> {
    await this.#writing?.catch(() => undefined);
    if (this.#hasLimit) await this.#state.saveSpent(this.#scope, this.#ledger.committed);
  }

  #isCovered(): boolean {
    const { escalations, tokens } = this.#ledger.committed;
    return escalations <= this.#leased.escalations && tokens <= this.#leased.tokens;
  }

  async #lease(): Promise<void> {
    const { escalations, tokens, seen } = this.#ledger.committed;
    const perItem = escalations > 0 ? Math.ceil(tokens / escalations) : 0;
    const ahead = { escalations: escalations + BLOCK, tokens: tokens + BLOCK * perItem, seen };
    await this.#state.saveSpent(this.#scope, ahead);
    this.#leased = ahead;
  }
}
