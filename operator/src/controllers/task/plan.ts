/**
 * What to do about one task. Pure: every fact comes in as one value, actions and the whole status go out.
 *
 *     refused ◀─▶ waiting ──offer──▶ starting ─▶ running ─▶ serving ──▶ complete ──ttl──▶ deleted
 *                   ▲  ▲               │  ▲         │          │  └───▶ betweenRuns ──interval──▶ starting (run + 1)
 *                   │  └── suspended ◀─┘  └─epoch + 1─ unreachable, or failed for a passing reason
 *                   └── suspended                              └──────▶ failed
 *
 * Invariants: a placement is in the status before its node hears of it. An epoch is never used twice within a run. A
 * higher epoch begins whenever the old one can't be trusted to go on: its node is gone or revoked, its state folder or its
 * key is another one, the model was mended after a bad digest, or it failed for a passing reason. Counts never fall.
 * What only counts on is written once per `progressIntervalMs`; the first result and every change of state at once.
 */
import {
  assertNever,
  TASK_FINALIZER,
  type AutoGLMTask,
  type PlacementStatus,
  type TaskStatus,
} from "@autoglm/api";
import { saidConditions, stableText, writeTime } from "../stable-text.ts";
import { conditionsFor } from "./conditions.ts";
import type { TaskAction, TaskEvent, TaskFacts, TaskPlan, TaskStatusDraft } from "./facts.ts";
import type { Resolved } from "./resolution.ts";
import { keyOfPlacement, stageOf, type Stage } from "./stage.ts";
import { judgeTask, type Verdict } from "./verdict.ts";

/** After so long a deletion no longer waits for the ingester. */
const FORGET_LIMIT_MS = 60_000;

export function planTask(facts: TaskFacts): TaskPlan {
  const stage = stageOf(facts);
  if (stage.kind === "deleting") return planDeletion(facts);
  const verdict = judgeTask(facts, stage);
  const isExpired =
    (stage.kind === "complete" || stage.kind === "failed") &&
    facts.task.spec.ttlSecondsAfterFinished !== undefined &&
    verdict.recheckMs === 0;
  if (isExpired)
    return { actions: [{ kind: "delete", because: "ttlSecondsAfterFinished is over" }], events: [] };

  const status = statusOf(facts, verdict);
  const write = writeOf(facts, status);
  const actions: TaskAction[] = [];
  if (verdict.isNewPlacement && !hasFinalizer(facts.task)) {
    actions.push({
      kind: "addFinalizer",
      because: "results will exist that are to be forgotten with the task",
    });
  }
  actions.push(...prepareActions(facts, verdict));
  if (write === "now") actions.push({ kind: "writeStatus", status, because: verdict.judgement.reason });
  actions.push(...assignmentActions(facts, verdict));
  if (facts.holdsMemory && !verdict.holdsMemory)
    actions.push({ kind: "release", because: verdict.judgement.reason });
  const rechecks = [verdict.recheckMs, write === "now" ? undefined : write].filter((ms) => ms !== undefined);
  return {
    actions,
    events: write === "now" ? eventsOf(facts, verdict, stage) : [],
    recheckMs: rechecks.length === 0 ? undefined : Math.max(1, Math.min(...rechecks)),
  };
}

function planDeletion({ task, nowMs, held, holdsMemory }: TaskFacts): TaskPlan {
  const actions: TaskAction[] = [];
  const because = "the task is deleted";
  if (held !== undefined) actions.push({ kind: "withdraw", because });
  if (holdsMemory) actions.push({ kind: "release", because });
  if (!hasFinalizer(task)) return { actions, events: [] };
  const waitedMs = nowMs - Date.parse(task.metadata.deletionTimestamp ?? "");
  if (waitedMs > FORGET_LIMIT_MS) {
    actions.push({ kind: "removeFinalizer", because: "its results could not be forgotten in time" });
    const note = "the task is gone; its results could not be deleted from the result store";
    return { actions, events: [{ type: "Warning", reason: "ResultsNotForgotten", action: "Delete", note }] };
  }
  const nodes = (task.status?.placements ?? []).map(({ node }) => node);
  actions.push(
    { kind: "forget", nodes, because },
    { kind: "removeFinalizer", because: "nothing of it is left" },
  );
  return { actions, events: [] };
}

const hasFinalizer = ({ metadata }: AutoGLMTask) => metadata.finalizers?.includes(TASK_FINALIZER) === true;

function statusOf(facts: TaskFacts, verdict: Verdict): TaskStatusDraft {
  const { task, resolution } = facts;
  const { judgement, placement, progress } = verdict;
  const previous = task.status ?? {};
  // What the run began with stays, whatever would be chosen today.
  const isFinished = ["complete", "failed", "rejected"].includes(judgement.state);
  const isPinned = (placement !== undefined || isFinished) && !verdict.isNewPlacement;
  const chosen = isPinned ? previous : resolution;
  const model = isPinned || !resolution.isResolved ? modelNameOf(chosen) : resolution.model.metadata.name;
  return {
    taskId: task.metadata.uid,
    type: chosen.type,
    typeSource: chosen.typeSource,
    model,
    standInFor: chosen.standInFor,
    prompt: isPinned || !resolution.isResolved ? previous.prompt : promptNames(resolution),
    variant: previous.variant,
    tier: chosen.tier,
    reason: judgement.reason,
    message: cut(judgement.message),
    hint: verdict.hint === undefined ? undefined : cut(verdict.hint),
    queuePosition: verdict.queuePosition,
    run: previous.run,
    runStartedAt: previous.runStartedAt,
    ...progress,
    node: placement?.node,
    placements: placement === undefined ? [] : [placement],
    placedTime: previous.placedTime,
    completionTime: previous.completionTime,
    ...verdict.fields,
    conditions: conditionsFor(judgement),
  };
}

const promptNames = ({ prompts }: Resolved) => prompts?.map(({ name }) => name).join(", ");

function modelNameOf(chosen: { readonly model?: unknown }): string | undefined {
  return typeof chosen.model === "string" ? chosen.model : undefined;
}

const cut = (text: string) => text.slice(0, 1024);

function writeOf(facts: TaskFacts, status: TaskStatusDraft): "now" | number | undefined {
  const { task, sinceLastWriteMs, progressIntervalMs } = facts;
  const before = comparable(task.status ?? {});
  const after = comparable({ ...status, observedGeneration: task.metadata.generation });
  return writeTime({
    isChanged: before.all !== after.all,
    isEssenceChanged: before.essence !== after.essence,
    sinceLastWriteMs,
    intervalMs: progressIntervalMs,
  });
}

/** The status as text, without times of conditions; `essence` without what only counts on. */
function comparable(
  status: TaskStatus | (TaskStatusDraft & { readonly observedGeneration: number | undefined }),
) {
  const { conditions: raw, ...fields } = status;
  const conditions = saidConditions(raw);
  const { items: _, ledger: _l, progress: _p, results: _r, placements = [], ...rest } = fields;
  const places = placements.map(({ itemMs: _i, modelLoadMs: _m, ...placement }) => placement);
  return {
    all: stableText({ ...fields, conditions }),
    essence: stableText({ ...rest, placements: places, conditions }),
  };
}

function prepareActions(facts: TaskFacts, verdict: Verdict): TaskAction[] {
  const { placement } = verdict;
  if (verdict.assignment !== "active" || placement === undefined) return [];
  const { held, specDigest, isPrepared } = facts;
  if (verdict.isNewPlacement) return [{ kind: "prepare", node: placement.node, because: "a new placement" }];
  // What the node was given is prepared again only as exactly that.
  const isSame = specDigest !== undefined && (held === undefined || held.spec === specDigest);
  if (!isSame || isPrepared) return [];
  return [{ kind: "prepare", node: placement.node, because: "the bus may not have it any more" }];
}

function assignmentActions(facts: TaskFacts, verdict: Verdict): TaskAction[] {
  const { held, task } = facts;
  const { placement, assignment } = verdict;
  const because = verdict.judgement.reason;
  if (assignment === "none" || placement === undefined) {
    return held === undefined ? [] : [{ kind: "withdraw", because }];
  }
  const run = verdict.fields.run ?? task.status?.run ?? 0;
  const key = { ...keyOfPlacement(facts, placement), run };
  const { priority } = task.spec;
  if (assignment === "active") {
    const isThere = held?.state === "active" && held.priority === priority && !verdict.isNewPlacement;
    const canBeMade = verdict.isNewPlacement || held !== undefined || facts.specDigest !== undefined;
    return isThere || !canBeMade ? [] : [{ kind: "activate", placement, key, priority, because }];
  }
  if (held === undefined || held.state === (assignment === "retired" ? "retiring" : "parked")) return [];
  return [{ kind: assignment === "retired" ? "retire" : "park", key, because }];
}

function eventsOf(facts: TaskFacts, verdict: Verdict, stage: Stage): TaskEvent[] {
  const { task, resolution } = facts;
  const previous = task.status;
  const { judgement, placement, isNewPlacement } = verdict;
  const { reason } = judgement;
  const events: TaskEvent[] = [];
  const wasAccepted =
    previous?.conditions?.some((one) => one.type === "Accepted" && one.status === "True") === true;
  if (!wasAccepted && resolution.isResolved) {
    const { type, typeSource, model, tier } = resolution;
    const note = `${type} (from ${typeSource}) by ${model.metadata.name}, tier ${tier}`;
    events.push({ type: "Normal", reason: "Accepted", action: "Accept", note });
  }
  if (isNewPlacement && placement !== undefined) events.push(placedEvent(placement, stage));
  else if (reason !== previous?.reason) events.push(...changeEvents(judgement));
  return events;
}

function placedEvent({ node, message = "", epoch }: PlacementStatus, stage: Stage): TaskEvent {
  const isMove =
    stage.kind === "renewing" || (stage.kind === "seeking" && stage.from !== undefined && epoch > 1);
  return isMove
    ? {
        type: "Warning",
        reason: "Replaced",
        action: "Place",
        note: `on node ${node} at epoch ${epoch}: ${message}`,
      }
    : { type: "Normal", reason: "Placed", action: "Place", note: `on node ${node}: ${message}` };
}

/** How far the node is with the model shows in the status; an event for each step would be noise. */
const QUIET_REASONS: readonly string[] = ["Placed", "Downloading", "Loading"];

function changeEvents({ state, reason, message: note }: Verdict["judgement"]): TaskEvent[] {
  switch (state) {
    case "refused":
    case "rejected":
      return [{ type: "Warning", reason, action: "Accept", note }];
    case "failed":
      return [{ type: "Warning", reason, action: "Fail", note }];
    case "waiting":
    case "unreachable":
      return [{ type: "Warning", reason, action: "Wait", note }];
    case "starting":
      return QUIET_REASONS.includes(reason) ? [] : [{ type: "Warning", reason, action: "Wait", note }];
    case "suspended":
      return [{ type: "Normal", reason, action: "Suspend", note }];
    case "running":
    case "serving":
      return [{ type: "Normal", reason, action: "Run", note }];
    case "complete":
    case "betweenRuns":
      return [{ type: "Normal", reason, action: "Complete", note }];
    default:
      return assertNever(state);
  }
}
