/** The newest ledger of each task, as the ingester counts. */
import type { Ledger } from "@autoglm/api";
import { isNewerLedger } from "@autoglm/core";

export class LedgerCache {
  readonly #ledgers = new Map<string, Ledger>();

  /** False for one that says nothing new. */
  accept(ledger: Ledger): boolean {
    if (!isNewerLedger(ledger, this.#ledgers.get(ledger.task))) return false;
    this.#ledgers.set(ledger.task, ledger);
    return true;
  }

  /** Of this run. */
  get(task: string, run: number): Ledger | undefined {
    const ledger = this.#ledgers.get(task);
    return ledger?.run === run ? ledger : undefined;
  }

  forget(task: string): void {
    this.#ledgers.delete(task);
  }
}
