/**
 * The six conditions of a task, from the one state it is in. All six are always there, so that `kubectl wait` and a
 * reader never have to tell "not yet" from "not at all"; no two of them can contradict each other.
 */
import { TASK_CONDITIONS, type TaskConditionType, type TaskReason } from "@autoglm/api";
import type { ConditionDraft } from "@autoglm/kube";

export type TaskState =
  /** Something about it is wrong; its author can mend it. */
  | "refused"
  /** Wrong in what can't change: only another task mends it. */
  | "rejected"
  | "waiting"
  | "suspended"
  /** On a node that prepares it, or is held up. */
  | "starting"
  | "running"
  /** Running, and results have arrived. */
  | "serving"
  | "unreachable"
  | "betweenRuns"
  | "complete"
  | "failed";

/** In the order of TASK_CONDITIONS: Accepted, Placed, Running, Ready, Complete, Failed. */
const STATUSES: Readonly<Record<TaskState, string>> = {
  refused: "FFFFFF",
  rejected: "FFFFFT",
  waiting: "TFFFFF",
  suspended: "TFFFFF",
  starting: "TTFFFF",
  running: "TTTFFF",
  serving: "TTTTFF",
  unreachable: "TTUUFF",
  betweenRuns: "TTFTFF",
  complete: "TTFTTF",
  failed: "TTFFFT",
};
const STATUS_NAMES: Readonly<Record<string, ConditionDraft["status"]>> = {
  T: "True",
  F: "False",
  U: "Unknown",
};

export interface Judgement {
  readonly state: TaskState;
  readonly reason: TaskReason;
  readonly message: string;
}

/** One that holds is its own reason; one that doesn't says why. `Complete` and `Failed` say why in either case. */
export function conditionsFor({ state, reason, message }: Judgement): ConditionDraft[] {
  return TASK_CONDITIONS.map((type, index) => {
    const status = STATUS_NAMES[STATUSES[state][index] ?? "U"] ?? "Unknown";
    const isSettled = status === "True" && type !== "Complete" && type !== "Failed";
    return { type, status, reason: isSettled ? type : reason, message: isSettled ? "" : message };
  });
}

export function holds(
  conditions: readonly { readonly type: string; readonly status: string }[],
  type: TaskConditionType,
) {
  return conditions.some((condition) => condition.type === type && condition.status === "True");
}
