/** Which of its stages a task is in, from the facts before any offer: what to plan, and whether to ask for a place. */
import {
  ERROR_FAMILIES,
  type AssignmentKey,
  type AssignmentReport,
  type ErrorCode,
  type PlacementStatus,
} from "@autoglm/api";
import { holds } from "./conditions.ts";
import type { TaskFacts } from "./facts.ts";

export type Stage =
  | { readonly kind: "deleting" }
  | { readonly kind: "complete" }
  | { readonly kind: "failed" }
  | { readonly kind: "suspended" }
  /** Its author has to mend it. */
  | { readonly kind: "refused" }
  /** Every item of the run is accepted. */
  | { readonly kind: "completing" }
  | { readonly kind: "betweenRuns"; readonly dueInMs: number }
  | { readonly kind: "placed"; readonly placement: PlacementStatus }
  /** The node said why it can't, and trying again would not help. */
  | { readonly kind: "failing"; readonly placement: PlacementStatus; readonly error: ReportedError }
  /** Same node, higher epoch. */
  | {
      readonly kind: "renewing";
      readonly placement: PlacementStatus;
      readonly because: string;
      readonly isStateLost: boolean;
    }
  /** Wants a place: its first, or another one than `from`. */
  | {
      readonly kind: "seeking";
      readonly run: number;
      readonly because: string;
      readonly from?: PlacementStatus | undefined;
      readonly isRetry: boolean;
    };

export type ReportedError = NonNullable<AssignmentReport["error"]>;

const RETRY_BASE_MS = 10_000;
const RETRY_MAX_MS = 300_000;

/** Of the resolution only whether there is one. */
export type StageFacts = Omit<TaskFacts, "resolution"> & {
  readonly resolution: { readonly isResolved: boolean };
};

export function stageOf(facts: StageFacts): Stage {
  const { task, resolution } = facts;
  const { status, spec, metadata } = task;
  const placement = status?.placements?.[0];
  const conditions = status?.conditions ?? [];
  if (metadata.deletionTimestamp !== undefined) return { kind: "deleting" };
  if (holds(conditions, "Complete")) return { kind: "complete" };
  if (holds(conditions, "Failed")) return failedStage(facts, placement);
  if (spec.suspend) return { kind: "suspended" };
  if (isRunComplete(facts)) return runEndStage(facts, placement);
  if (placement !== undefined) return placedStage(facts, placement);
  if (!resolution.isResolved) return { kind: "refused" };
  return { kind: "seeking", run: status?.run ?? 0, because: "it has no node", isRetry: false };
}

/** By the ledger, or by what was stated before while the ledger is not there yet. */
function isRunComplete({ task, ledger }: StageFacts): boolean {
  if (ledger !== undefined) return ledger.complete;
  const items = task.status?.items;
  return items?.total !== undefined && items.accepted >= items.total;
}

/** Whether the work reads a file that only its first node has. */
export const isBoundToNode = ({ task }: Pick<TaskFacts, "task">) => task.spec.input.file !== undefined;

export function keyOfPlacement(
  { task }: Pick<TaskFacts, "task">,
  { shard, epoch }: PlacementStatus,
): AssignmentKey {
  return { task: task.metadata.uid, run: task.status?.run ?? 0, shard, epoch };
}

/** A bad digest is mended by a change of the model, everything else that failed by another task. */
function failedStage(facts: StageFacts, from: PlacementStatus | undefined): Stage {
  const { held, task } = facts;
  if (held?.state !== "parked" || from === undefined || task.spec.suspend) return { kind: "failed" };
  const mended = modelMended(facts, from);
  if (mended === undefined) return { kind: "failed" };
  // Late results of an earlier epoch may have left nothing to do.
  return isRunComplete(facts) ? runEndStage(facts, from) : mended;
}

function modelMended(
  { held, specDigest, resolution, task }: StageFacts,
  from: PlacementStatus,
): Stage | undefined {
  const isSame = held === undefined || specDigest === undefined || specDigest === held.spec;
  if (isSame || !resolution.isResolved) return undefined;
  return {
    kind: "seeking",
    run: task.status?.run ?? 0,
    because: "the model has changed",
    from,
    isRetry: true,
  };
}

function runEndStage(facts: StageFacts, from: PlacementStatus | undefined): Stage {
  const { task, nowMs, resolution } = facts;
  if (task.spec.run === "Once") return { kind: "completing" };
  const startedAt = Date.parse(task.status?.runStartedAt ?? task.metadata.creationTimestamp ?? "");
  const dueInMs = (Number.isNaN(startedAt) ? nowMs : startedAt) + task.spec.runIntervalSeconds * 1000 - nowMs;
  if (dueInMs > 0 || !resolution.isResolved) return { kind: "betweenRuns", dueInMs: Math.max(dueInMs, 0) };
  // The end of the run is stated first: its last results count before the next run begins to.
  const { completionTime } = task.status ?? {};
  if (completionTime === undefined || Date.parse(completionTime) >= nowMs)
    return { kind: "betweenRuns", dueInMs: 1 };
  const run = (task.status?.run ?? 0) + 1;
  return { kind: "seeking", run, because: "the next run is due", from, isRetry: false };
}

function placedStage(facts: StageFacts, placement: PlacementStatus): Stage {
  const { node, held, report, task, resolution } = facts;
  if (report?.phase === "Failed" && report.error !== undefined) {
    return reportedFailure(facts, placement, report.error);
  }
  const run = task.status?.run ?? 0;
  if (node === undefined || node.isGone) {
    const mayMove =
      task.spec.offlinePolicy === "Reschedule" && !isBoundToNode(facts) && resolution.isResolved;
    if (!mayMove) return { kind: "placed", placement };
    return {
      kind: "seeking",
      run,
      because: `node ${placement.node} is gone`,
      from: placement,
      isRetry: false,
    };
  }
  // What can't be made anew (its ConfigMap or model is gone) goes on as it was begun.
  if (!resolution.isResolved || node.link !== "Connected") return { kind: "placed", placement };
  if (differ(held?.stateId, node.stateId)) {
    const because = `the state folder of node ${node.name} is another one`;
    return { kind: "renewing", placement, because, isStateLost: true };
  }
  if (differ(held?.nodeKey, node.publicKey)) {
    return { kind: "renewing", placement, because: `node ${node.name} has a new key`, isStateLost: false };
  }
  if (hasLostResults(facts, placement)) {
    const because = "the result store has lost results that it had accepted";
    return { kind: "renewing", placement, because, isStateLost: false };
  }
  return { kind: "placed", placement };
}

/** The node deleted what was accepted: nobody would send it again at this epoch. */
function hasLostResults({ ledger, held }: StageFacts, { epoch, shard }: PlacementStatus): boolean {
  const counted = ledger?.assignments.find((one) => one.epoch === epoch && one.shard === shard);
  return held !== undefined && counted !== undefined && counted.acceptedThrough < held.acceptedThrough;
}

function reportedFailure(facts: StageFacts, placement: PlacementStatus, error: ReportedError): Stage {
  const failing = { kind: "failing", placement, error } as const;
  if (error.code === "ModelDigestMismatch") return modelMended(facts, placement) ?? failing;
  if (familyOf(error.code) === "user") return failing;
  if (retryInMs(facts, placement) > 0 || !facts.resolution.isResolved) return { kind: "placed", placement };
  const run = facts.task.status?.run ?? 0;
  return { kind: "seeking", run, because: `it failed with ${error.code}`, from: placement, isRetry: true };
}

/** The epoch counts the attempts, so that a restart of this process does not start the backoff anew. */
export function retryInMs({ nowMs }: Pick<TaskFacts, "nowMs">, { epoch, placedAt }: PlacementStatus): number {
  const delayMs = Math.min(RETRY_MAX_MS, RETRY_BASE_MS * 2 ** Math.min(epoch - 1, 10));
  return Date.parse(placedAt) + delayMs - nowMs;
}

function familyOf(code: string): string {
  return code in ERROR_FAMILIES ? ERROR_FAMILIES[code as ErrorCode] : "bug";
}

const differ = (a: string | undefined, b: string | undefined) =>
  a !== undefined && b !== undefined && a !== b;
