/** What a task's status says about its items: from the ledger, from the node's report, and never less than before. */
import type { TaskStatus } from "@autoglm/api";
import { taskLedgerOf } from "@autoglm/core";
import type { TaskFacts, TaskStatusFields } from "./facts.ts";

export type ProgressFields = Pick<
  TaskStatusFields,
  "items" | "ledger" | "results" | "progress" | "firstResultTime"
>;

/** Of the current run. */
export function progressOf(facts: TaskFacts, newlyLost = 0): ProgressFields {
  const { task, ledger, report, held, nowMs } = facts;
  const previous = task.status;
  const items = itemsOf(facts);
  const results = ledger === undefined || ledger.sample.length === 0 ? previous?.results : ledger.sample;
  const firstResultTime =
    previous?.firstResultTime ??
    ledger?.firstAcceptedAt ??
    ((items?.accepted ?? 0) > 0 ? new Date(nowMs).toISOString() : undefined);
  return {
    items,
    ledger: taskLedgerOf({
      run: task.status?.run ?? 0,
      ledger,
      report,
      acceptedBefore: held?.acceptedBefore ?? 0,
      previous: previous?.ledger,
      newlyLost,
    }),
    results,
    progress: items === undefined ? undefined : `${items.accepted}/${items.total ?? "?"}`,
    firstResultTime,
  };
}

function itemsOf({ task, ledger, report }: TaskFacts): TaskStatus["items"] {
  const previous = task.status?.items;
  const total = ledger?.total ?? report?.total ?? previous?.total ?? task.spec.input.inline?.length;
  const accepted = Math.max(ledger?.accepted ?? 0, previous?.accepted ?? 0);
  const failed = Math.max(ledger?.failed ?? 0, previous?.failed ?? 0);
  return { ...(total === undefined ? {} : { total }), accepted, failed };
}

/** Produced and not delivered when its node's disk went: computed again, and counted as lost once. */
export function undelivered({ task }: TaskFacts): number {
  const ledger = task.status?.ledger;
  return ledger === undefined ? 0 : Math.max(0, ledger.produced - ledger.delivered);
}
