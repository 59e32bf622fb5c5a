/** What a task looks like to a person: pure, from the object alone. */
import type { Condition, TaskStatus } from "@autoglm/api";
import type { TaskObject } from "./objects.ts";
import { renderColumns } from "./table.ts";

export type TaskOutcome = "complete" | "failed";

/** undefined while it goes on. */
export function outcomeOf({ status }: TaskObject): TaskOutcome | undefined {
  const isTrue = (type: string) =>
    status?.conditions?.some((condition) => condition.type === type && condition.status === "True") ?? false;
  if (isTrue("Failed")) return "failed";
  return isTrue("Complete") ? "complete" : undefined;
}

/** One line of progress, without time, so that equal states give equal lines. */
export function progressLine({ metadata, status }: TaskObject): string {
  const where = status?.node === undefined ? "" : ` on ${status.node}`;
  const queue = status?.queuePosition === undefined ? "" : ` (${status.queuePosition} in the queue)`;
  const progress = status?.progress === undefined ? "" : ` ${status.progress}`;
  const why = isAtWork(status) || status?.message === undefined ? "" : `: ${status.message}`;
  return `${metadata.name}: ${status?.reason ?? "Pending"}${queue}${where}${progress}${why}`;
}

/** What a person can do about it; nothing while it works. */
export function hintLine({ status }: TaskObject): string | undefined {
  return status?.hint === undefined ? undefined : `hint: ${status.hint}`;
}

function isAtWork(status: TaskStatus | undefined): boolean {
  return ["Placed", "Downloading", "Loading", "Running", "Completed"].includes(status?.reason ?? "");
}

export interface EventView {
  readonly time: string;
  readonly type: string;
  readonly reason: string;
  readonly message: string;
  readonly count: number;
}

/** Everything that `why` says, as data. */
export function explainTask({ metadata, spec, status = {} }: TaskObject, events: readonly EventView[]) {
  const { reason, message, hint, queuePosition, type, typeSource, model, variant, tier, progress } = status;
  return {
    task: `${metadata.namespace ?? "default"}/${metadata.name}`,
    reason: reason ?? "Pending",
    message: message ?? "the operator has not looked at the task yet",
    hint,
    queuePosition,
    type: type ?? spec.type,
    typeSource,
    model: model ?? spec.model,
    variant,
    tier,
    progress,
    run: status.run,
    ledger: status.ledger,
    placements: status.placements ?? [],
    conditions: status.conditions ?? [],
    events,
  };
}

export function renderExplanation(why: ReturnType<typeof explainTask>): string {
  const facts: (readonly [string, string | number | undefined])[] = [
    ["Task", why.task],
    ["State", why.reason],
    ["Why", why.message],
    ["Hint", why.hint],
    ["In the queue", why.queuePosition],
    ["Type", why.typeSource === undefined ? why.type : `${why.type} (from ${why.typeSource})`],
    ["Model", [why.model, why.variant].filter(Boolean).join(" ")],
    ["Tier", why.tier],
    ["Progress", why.progress],
  ];
  const blocks = [
    renderColumns(
      facts.flatMap(([name, value]) =>
        value === undefined || value === "" ? [] : [[`${name}:`, String(value)]],
      ),
    ),
  ];
  if (why.placements.length > 0) {
    const rows = why.placements.map(({ shard, node, epoch, phase, reservedMemory, message }) =>
      [shard, node, epoch, phase, reservedMemory, message ?? ""].map(String),
    );
    blocks.push(renderColumns([["SHARD", "NODE", "EPOCH", "PHASE", "RESERVED", "MESSAGE"], ...rows]));
  }
  if (why.conditions.length > 0) {
    const rows = why.conditions.map((condition: Condition) => [
      condition.type,
      condition.status,
      condition.reason,
      condition.message,
    ]);
    blocks.push(renderColumns([["CONDITION", "STATUS", "REASON", "MESSAGE"], ...rows]));
  }
  if (why.events.length > 0) {
    const rows = why.events.map(({ time, reason, message, count }) => [
      time,
      reason,
      count > 1 ? `${message} (${count} times)` : message,
    ]);
    blocks.push(renderColumns([["LAST SEEN", "EVENT", "MESSAGE"], ...rows]));
  }
  return blocks.join("\n");
}
