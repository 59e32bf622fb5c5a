/** What each stage of a task comes to: the state it is in, its placement, what its node should have. Pure. */
import { assertNever, TASK_REASONS, type PlacementStatus, type TaskReason } from "@autoglm/api";
import { exactQuantity, type Placed } from "@autoglm/core";
import { holds, type Judgement } from "./conditions.ts";
import type { TaskFacts, TaskStatusFields } from "./facts.ts";
import { progressOf, undelivered, type ProgressFields } from "./progress.ts";
import { retryInMs, type Stage } from "./stage.ts";

export interface Verdict {
  readonly judgement: Judgement;
  readonly hint?: string | undefined;
  readonly queuePosition?: number | undefined;
  readonly placement: PlacementStatus | undefined;
  /** What the table of assignments should hold for the placement. */
  readonly assignment: "active" | "retired" | "parked" | "none";
  readonly holdsMemory: boolean;
  readonly isNewPlacement: boolean;
  readonly progress: ProgressFields;
  /** Changes of single fields. */
  readonly fields: Partial<TaskStatusFields>;
  readonly recheckMs?: number | undefined;
}

type LiveStage = Exclude<Stage, { kind: "deleting" }>;

/** A missing ConfigMap is not watched for. */
const REFERENCE_RECHECK_MS = 10_000;

export function judgeTask(facts: TaskFacts, stage: LiveStage): Verdict {
  switch (stage.kind) {
    case "complete":
    case "failed":
      return finished(facts, stage.kind);
    case "completing":
      return completed(facts);
    case "suspended":
      return verdict(facts, {
        judgement: { state: "suspended", reason: "Suspended", message: "spec.suspend is true" },
        hint: patchHint(facts, { suspend: false }),
        placement: undefined,
        assignment: "none",
        holdsMemory: false,
      });
    case "refused":
      return refused(facts);
    case "betweenRuns":
      return betweenRuns(facts, stage.dueInMs);
    case "failing": {
      const { code, message } = stage.error;
      return verdict(facts, {
        judgement: {
          state: "failed",
          reason: reasonOf(code),
          message: `on node ${stage.placement.node}: ${message}`,
        },
        placement: { ...reported(facts, stage.placement), phase: "Failed", message },
        assignment: code === "ModelDigestMismatch" ? "parked" : "none",
        holdsMemory: false,
        fields: { completionTime: at(facts) },
      });
    }
    case "placed":
      return placed(facts, stage.placement);
    case "renewing":
      return renewed(facts, stage);
    case "seeking":
      return sought(facts, stage);
    default:
      return assertNever(stage);
  }
}

function verdict(
  facts: TaskFacts,
  given: Pick<Verdict, "judgement" | "placement" | "assignment" | "holdsMemory"> & Partial<Verdict>,
): Verdict {
  return { isNewPlacement: false, fields: {}, progress: progressOf(facts), ...given };
}

/** Nothing about it changes any more, but that late results may still be counted as dropped. */
function finished(facts: TaskFacts, state: "complete" | "failed"): Verdict {
  const { status, spec } = facts.task;
  const ttlMs = spec.ttlSecondsAfterFinished;
  const finishedAt = Date.parse(status?.completionTime ?? "");
  const recheckMs =
    ttlMs === undefined || Number.isNaN(finishedAt) ? undefined : finishedAt + ttlMs * 1000 - facts.nowMs;
  const isParked = status?.reason === "ModelDigestMismatch" && facts.held?.state === "parked";
  const isRejected = state === "failed" && !holds(status?.conditions ?? [], "Accepted");
  return verdict(facts, {
    judgement: {
      state: isRejected ? "rejected" : state,
      reason: status?.reason ?? "Completed",
      message: status?.message ?? "",
    },
    hint: status?.hint,
    placement: status?.placements?.[0],
    assignment: state === "complete" ? "retired" : isParked ? "parked" : "none",
    holdsMemory: false,
    recheckMs: recheckMs === undefined ? undefined : Math.max(0, recheckMs),
  });
}

function completed(facts: TaskFacts): Verdict {
  const progress = progressOf(facts);
  const { total, accepted, failed } = progress.items ?? { accepted: 0, failed: 0 };
  const errors = failed === 0 ? "" : `, ${failed} of them errors of single items`;
  const placement = facts.task.status?.placements?.[0];
  return verdict(facts, {
    judgement: {
      state: "complete",
      reason: "Completed",
      message: `${accepted} of ${total ?? accepted} items${errors}`,
    },
    placement: placement && { ...reported(facts, placement), phase: "Done" },
    assignment: "retired",
    holdsMemory: false,
    progress,
    fields: { completionTime: at(facts) },
  });
}

function refused(facts: TaskFacts): Verdict {
  const { resolution } = facts;
  const reason = resolution.isResolved ? "Internal" : resolution.reason;
  const isFinal = !resolution.isResolved && resolution.isFinal === true;
  return verdict(facts, {
    judgement: {
      state: isFinal ? "rejected" : "refused",
      reason,
      message: resolution.isResolved ? "" : resolution.message,
    },
    hint: resolution.isResolved ? undefined : resolution.hint,
    placement: undefined,
    assignment: "none",
    holdsMemory: false,
    ...(isFinal ? { fields: { completionTime: at(facts) } } : {}),
    recheckMs: reason.startsWith("ConfigMap") ? REFERENCE_RECHECK_MS : undefined,
  });
}

function betweenRuns(facts: TaskFacts, dueInMs: number): Verdict {
  const { status, spec } = facts.task;
  const placement = status?.placements?.[0];
  return verdict(facts, {
    judgement: {
      state: "betweenRuns",
      reason: "WaitingForNextRun",
      message: `run ${status?.run ?? 0} is complete; a run starts every ${spec.runIntervalSeconds} s`,
    },
    placement: placement && { ...reported(facts, placement), phase: "Done" },
    assignment: "retired",
    holdsMemory: false,
    fields: { completionTime: status?.completionTime ?? at(facts) },
    recheckMs: dueInMs,
  });
}

function placed(facts: TaskFacts, placement: PlacementStatus): Verdict {
  const { node, report } = facts;
  const common = { placement: reported(facts, placement), assignment: "active", holdsMemory: true } as const;
  if (node === undefined || node.isGone || node.link !== "Connected") {
    const since = node?.lastSeen === undefined ? "" : `, last heard ${node.lastSeen}`;
    const judgement = {
      state: "unreachable",
      reason: "NodeUnreachable",
      message: `node ${placement.node} can't be reached${since}`,
    } as const;
    return verdict(facts, {
      ...common,
      judgement,
      hint: unreachableHint(facts, placement),
      recheckMs: node?.recheckMs,
    });
  }
  const isFailed = report?.phase === "Failed";
  return verdict(facts, {
    ...common,
    judgement: activeJudgement(facts, placement),
    holdsMemory: !isFailed,
    recheckMs: isFailed ? retryInMs(facts, placement) : node.recheckMs,
  });
}

function activeJudgement(facts: TaskFacts, placement: PlacementStatus): Judgement {
  const { report, ledger } = facts;
  const on = `on node ${placement.node}`;
  if (ledger?.storeFull === true) {
    return { state: "starting", reason: "ResultStoreFull", message: "the result store has no room left" };
  }
  if (report?.error !== undefined) {
    return {
      state: "starting",
      reason: reasonOf(report.error.code),
      message: `${on}: ${report.error.message}`,
    };
  }
  switch (report?.phase) {
    case "Downloading":
      return { state: "starting", reason: "Downloading", message: `${on}: getting the model` };
    case "Loading":
      return { state: "starting", reason: "Loading", message: `${on}: loading the model` };
    case "Running":
    case "Done": {
      const hasResults = facts.task.status?.firstResultTime !== undefined || (ledger?.accepted ?? 0) > 0;
      return { state: hasResults ? "serving" : "running", reason: "Running", message: on };
    }
    case "Assigned":
    case "Failed":
    case undefined:
      return { state: "starting", reason: "Placed", message: on };
    default:
      return assertNever(report?.phase ?? (undefined as never));
  }
}

function renewed(facts: TaskFacts, stage: Extract<Stage, { kind: "renewing" }>): Verdict {
  const { placement, because, isStateLost } = stage;
  return verdict(facts, {
    judgement: {
      state: "starting",
      reason: "Placed",
      message: `on node ${placement.node}`,
    },
    placement: fresh(facts, {
      ...placement,
      epoch: nextEpoch(facts, facts.task.status?.run ?? 0),
      message: because,
    }),
    assignment: "active",
    holdsMemory: true,
    isNewPlacement: true,
    progress: progressOf(facts, isStateLost ? undelivered(facts) : 0),
  });
}

function sought(facts: TaskFacts, stage: Extract<Stage, { kind: "seeking" }>): Verdict {
  const { offer } = facts;
  if (offer?.isPlaced === true) return newlyPlaced(facts, stage, offer);
  const wait = {
    message: offer?.message ?? "",
    hint: offer?.hint,
    queuePosition: offer?.queuePosition,
  };
  const isNextRun = stage.run !== (facts.task.status?.run ?? 0);
  if (stage.from === undefined) {
    const judgement = {
      state: "waiting",
      reason: offer?.reason ?? "NoNodes",
      message: wait.message,
    } as const;
    const given = { judgement, placement: undefined, assignment: "none", holdsMemory: false } as const;
    return verdict(facts, { ...given, hint: wait.hint, queuePosition: wait.queuePosition });
  }
  if (isNextRun) {
    const base = betweenRuns(facts, 0);
    const message = `${base.judgement.message}; the next waits: ${wait.message}`;
    return { ...base, ...wait, judgement: { ...base.judgement, message }, recheckMs: undefined };
  }
  // Nowhere to go: it stays where it is, and says so.
  const { hint, queuePosition } = wait;
  if (holds(facts.task.status?.conditions ?? [], "Failed"))
    return { ...finished(facts, "failed"), hint, queuePosition };
  const stay = placed(facts, stage.from);
  const message = `${stay.judgement.message}; no other node: ${wait.message}`;
  return { ...stay, judgement: { ...stay.judgement, message }, hint, recheckMs: undefined };
}

function newlyPlaced(facts: TaskFacts, stage: Extract<Stage, { kind: "seeking" }>, offer: Placed): Verdict {
  const isNewRun =
    facts.task.status?.runStartedAt === undefined || stage.run !== (facts.task.status.run ?? 0);
  const { node, candidate, because } = offer;
  const placement = fresh(facts, {
    shard: 0,
    node: node.name,
    epoch: nextEpoch(facts, stage.run),
    phase: "Assigned",
    ...(node.tier === undefined ? {} : { tier: node.tier }),
    location: node.location,
    reservedMemory: exactQuantity(candidate.bytes),
    placedAt: at(facts),
    message: stage.from === undefined ? because : `${stage.because}; ${because}`,
  });
  const reset: Partial<TaskStatusFields> = { run: stage.run, runStartedAt: at(facts) };
  return verdict(facts, {
    judgement: { state: "starting", reason: "Placed", message: `on node ${node.name}` },
    placement,
    assignment: "active",
    holdsMemory: true,
    isNewPlacement: true,
    ...(isNewRun && stage.run > 0 ? { progress: noProgress(facts) } : {}),
    fields: {
      variant: candidate.variant.name,
      completionTime: undefined,
      placedTime: facts.task.status?.placedTime ?? at(facts),
      ...(isNewRun ? reset : {}),
    },
  });
}

/** As if nothing had been said yet. */
function noProgress(facts: TaskFacts): ProgressFields {
  return progressOf({
    ...facts,
    task: { ...facts.task, status: undefined },
    ledger: undefined,
    report: undefined,
  });
}

/**
 * An epoch that this run has not had. A placement that was taken out of the status by a suspension leaves no epoch
 * behind; the seconds since the run began are more than all it can have had, for epochs are seconds apart.
 */
function nextEpoch({ task, highestEpoch, nowMs }: TaskFacts, run: number): number {
  const { status } = task;
  if (status?.runStartedAt === undefined || run !== (status.run ?? 0)) return 1;
  const placement = status.placements?.[0];
  if (placement !== undefined) return Math.max(placement.epoch, highestEpoch) + 1;
  const seconds = Math.ceil((nowMs - Date.parse(status.runStartedAt)) / 1000);
  return Math.max(highestEpoch, seconds, 0) + 2;
}

/** A placement that nobody has said anything about yet. */
function fresh(
  facts: TaskFacts,
  { modelLoadMs: _m, itemMs: _i, ...placement }: PlacementStatus,
): PlacementStatus {
  return { ...placement, phase: "Assigned", placedAt: at(facts) };
}

function reported({ report }: TaskFacts, placement: PlacementStatus): PlacementStatus {
  if (report === undefined) return placement;
  const { phase, modelLoadMs = placement.modelLoadMs, itemMs = placement.itemMs } = report;
  return {
    ...placement,
    phase,
    ...(modelLoadMs === undefined ? {} : { modelLoadMs: round(modelLoadMs) }),
    ...(itemMs === undefined ? {} : { itemMs: round(itemMs) }),
  };
}

/** Two significant digits: a mean that trembles is no news. */
const round = (ms: number) => Number(ms.toPrecision(2));

function unreachableHint(facts: TaskFacts, { node }: PlacementStatus): string {
  const { offlinePolicy, input } = facts.task.spec;
  if (input.file !== undefined) return `bring node ${node} back: the input file is on it`;
  if (offlinePolicy === "Wait")
    return `bring node ${node} back, or ${patchHint(facts, { offlinePolicy: "Reschedule" })}`;
  return `bring node ${node} back, or wait: the rest moves to another node when its patience is over`;
}

function patchHint({ task }: TaskFacts, spec: Readonly<Record<string, unknown>>): string {
  const { name, namespace } = task.metadata;
  return `kubectl patch agt/${name} -n ${namespace} --type merge -p '${JSON.stringify({ spec })}'`;
}

const at = ({ nowMs }: TaskFacts) => new Date(nowMs).toISOString();

function reasonOf(code: string): TaskReason {
  return TASK_REASONS.find((reason) => reason === code) ?? "Internal";
}
