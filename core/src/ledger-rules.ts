/** How counts of the ingester and of the nodes become the ledger that a user reads. */
import type { AssignmentReport, Ledger, TaskStatus } from "@autoglm/api";

/** Whether `next` replaces `previous`: a later run, or a later count of the same run. */
export function isNewerLedger(next: Ledger, previous: Ledger | undefined): boolean {
  if (previous === undefined || next.run !== previous.run)
    return previous === undefined || next.run > previous.run;
  return next.revision > previous.revision;
}

export interface TaskLedgerFacts {
  readonly run: number;
  /** Of any run; one of another run counts as nothing known. */
  readonly ledger?: Ledger | undefined;
  /** What the node says about the current assignment. */
  readonly report?: AssignmentReport | undefined;
  /** Items accepted before the current assignment began: its node does not produce them again. */
  readonly acceptedBefore?: number;
  readonly previous?: TaskStatus["ledger"];
  /** Produced items that are known to have vanished since `previous`. */
  readonly newlyLost?: number;
}

/**
 * Never falls within a run, but for what is lost: a ledger or a report that is missing or late takes nothing back. A
 * result that was delivered was produced, whatever the node still says.
 */
export function taskLedgerOf(facts: TaskLedgerFacts): NonNullable<TaskStatus["ledger"]> {
  const { previous, report } = facts;
  const ledger = facts.ledger?.run === facts.run ? facts.ledger : undefined;
  const delivered = Math.max(ledger?.accepted ?? 0, previous?.delivered ?? 0);
  const newlyLost = facts.newlyLost ?? 0;
  const reported = report === undefined ? 0 : (facts.acceptedBefore ?? 0) + report.produced;
  const produced = Math.max(reported, (previous?.produced ?? 0) - newlyLost, delivered);
  const pending = ledger?.complete === true ? 0 : produced - delivered;
  return {
    produced,
    delivered,
    pending,
    ...(pending > 0 && report?.oldestPendingAt !== undefined
      ? { oldestPendingSince: report.oldestPendingAt }
      : {}),
    duplicatesDropped: Math.max(ledger?.duplicatesDropped ?? 0, previous?.duplicatesDropped ?? 0),
    lost: (previous?.lost ?? 0) + newlyLost,
  };
}
