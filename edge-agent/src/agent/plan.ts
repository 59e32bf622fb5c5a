/**
 * What the agent does about its assignments: a pure function of the desired document, what runs, and what the outbox
 * knows. Laws: planning again after all actions worked gives none; the order of lists doesn't matter; every action
 * has a reason; a pass has a bounded number of actions.
 *
 * An assignment that left the document is stopped, which says nothing about its results: the node can't learn any
 * more whether they were accepted. They are offered to the bus once more per connection, kept for a while in case
 * the assignment comes back (a task that was suspended, a document that was restored), and then given up: for their
 * age, or oldest first where they take too much room. The ingester has them by then, or the operator placed the work
 * anew.
 */
import { assignmentKeyText, type Assignment, type AssignmentKey } from "@autoglm/api";

export interface WorkView {
  readonly key: AssignmentKey;
  readonly spec: string;
  readonly reservedBytes: number;
  readonly state: "Running" | "Waiting" | "Done" | "Failed";
  /** Waiting: when to try again. */
  readonly retryAtMs?: number;
}

export interface KeptView {
  readonly key: AssignmentKey;
  readonly acceptedThrough: number;
  readonly unlistedAtMs?: number;
  readonly pendingChunks: number;
  readonly pendingBytes: number;
}

export interface AgentFacts {
  readonly nowMs: number;
  readonly isDraining: boolean;
  /** Assignments of the desired document; undefined: none was ever seen, which says nothing. */
  readonly desired: readonly Assignment[] | undefined;
  readonly work: readonly WorkView[];
  /** What the outbox knows. */
  readonly kept: readonly KeptView[];
  /** Memory for models. */
  readonly budgetBytes: number;
  readonly limits: AgentLimits;
}

export interface AgentLimits {
  /** How long results of an unlisted assignment are kept. */
  readonly unlistedRetentionMs: number;
  /** Bytes that they may take together. */
  readonly unlistedBytes: number;
  /** Unlisted assignments that are remembered at all. */
  readonly unlistedKeys: number;
  readonly actionsPerPass: number;
}

export type AgentAction =
  | {
      readonly kind: "accept";
      readonly key: AssignmentKey;
      readonly through: number;
      readonly reason: "Committed";
    }
  | {
      readonly kind: "stop";
      readonly key: AssignmentKey;
      readonly reason: "NotListed" | "SpecChanged" | "Preempted";
    }
  | { readonly kind: "start"; readonly assignment: Assignment; readonly reason: "Listed" | "RetryDue" }
  | { readonly kind: "unlist"; readonly key: AssignmentKey; readonly reason: "NotListed" }
  | {
      readonly kind: "forget";
      readonly key: AssignmentKey;
      readonly reason: "RetentionOver" | "NoRoom" | "TooMany";
      /** Results that are given up. */
      readonly abandonedChunks: number;
    };

export interface AgentPlan {
  readonly actions: readonly AgentAction[];
  /** When time alone makes something due; Infinity when nothing is. */
  readonly recheckAtMs: number;
}

export function planAssignments(facts: AgentFacts): AgentPlan {
  if (!facts.desired) return { actions: [], recheckAtMs: Infinity };
  const desired = new Map(facts.desired.map((assignment) => [assignmentKeyText(assignment), assignment]));
  const running = planWork(facts, desired);
  const results = planResults(facts, desired);
  const actions = [...results.accepted, ...running.actions, ...results.unlisted];
  const { actionsPerPass } = facts.limits;
  return actions.length > actionsPerPass
    ? { actions: actions.slice(0, actionsPerPass), recheckAtMs: facts.nowMs }
    : { actions, recheckAtMs: Math.min(running.recheckAtMs, results.recheckAtMs) };
}

/** Which works stop and start: by priority, as far as memory goes. */
function planWork(facts: AgentFacts, desired: ReadonlyMap<string, Assignment>) {
  const stops: AgentAction[] = [];
  const starts: AgentAction[] = [];
  let recheckAtMs = Infinity;
  const work = new Map(facts.work.map((view) => [assignmentKeyText(view.key), view]));
  const settled = new Set<string>();
  for (const [text, view] of inOrder(work)) {
    const assignment = desired.get(text);
    if (!assignment) stops.push({ kind: "stop", key: view.key, reason: "NotListed" });
    else if (assignment.spec !== view.spec)
      stops.push({ kind: "stop", key: view.key, reason: "SpecChanged" });
    else if (view.state === "Done" || view.state === "Failed") settled.add(text);
  }
  const candidates = inOrder(desired)
    .filter(([text]) => !settled.has(text))
    .sort(([, a], [, b]) => b.priority - a.priority);
  let usedBytes = 0;
  for (const [text, assignment] of candidates) {
    // One always runs: a budget that is too small for anything would be no budget but a deadlock.
    const fits = usedBytes === 0 || usedBytes + assignment.reservedBytes <= facts.budgetBytes;
    const view = work.get(text);
    const isHere = view !== undefined && view.spec === assignment.spec;
    if (!fits) {
      if (isHere) stops.push({ kind: "stop", key: view.key, reason: "Preempted" });
      continue;
    }
    usedBytes += assignment.reservedBytes;
    if (facts.isDraining || (isHere && view.state === "Running")) continue;
    if (isHere && (view.retryAtMs ?? 0) > facts.nowMs) {
      recheckAtMs = Math.min(recheckAtMs, view.retryAtMs ?? Infinity);
    } else {
      starts.push({ kind: "start", assignment, reason: isHere ? "RetryDue" : "Listed" });
    }
  }
  return { actions: [...stops, ...starts], recheckAtMs };
}

/** What becomes of results: accepted by the document, or left behind by it. */
function planResults(facts: AgentFacts, desired: ReadonlyMap<string, Assignment>) {
  const { limits, nowMs } = facts;
  const accepted: AgentAction[] = [];
  const unlisted: AgentAction[] = [];
  const left: KeptView[] = [];
  let recheckAtMs = Infinity;
  for (const [text, kept] of inOrder(
    new Map(facts.kept.map((view) => [assignmentKeyText(view.key), view])),
  )) {
    const assignment = desired.get(text);
    if (!assignment) {
      if (kept.unlistedAtMs === undefined)
        unlisted.push({ kind: "unlist", key: kept.key, reason: "NotListed" });
      left.push(kept);
    } else if (assignment.acceptedThrough > kept.acceptedThrough) {
      const through = assignment.acceptedThrough;
      accepted.push({ kind: "accept", key: kept.key, through, reason: "Committed" });
    }
  }
  // The youngest stay; the first that is too many, too large or too old goes, and all that are older.
  left.sort((a, b) => (b.unlistedAtMs ?? nowMs) - (a.unlistedAtMs ?? nowMs));
  let bytes = 0;
  for (const [index, kept] of left.entries()) {
    bytes += kept.pendingBytes;
    const expiresAtMs = (kept.unlistedAtMs ?? nowMs) + limits.unlistedRetentionMs;
    const reason =
      expiresAtMs <= nowMs
        ? "RetentionOver"
        : bytes > limits.unlistedBytes
          ? "NoRoom"
          : index >= limits.unlistedKeys
            ? "TooMany"
            : undefined;
    if (!reason) recheckAtMs = Math.min(recheckAtMs, expiresAtMs);
    else unlisted.push({ kind: "forget", key: kept.key, reason, abandonedChunks: kept.pendingChunks });
  }
  return { accepted, unlisted, recheckAtMs };
}

function inOrder<T>(map: ReadonlyMap<string, T>): [string, T][] {
  return [...map].sort(([a], [b]) => (a < b ? -1 : a > b ? 1 : 0));
}
