/**
 * The queue of tasks that wait for a place.
 *
 * In order of priority, age and name each task is offered what is left after those before it. A task that fits nowhere
 * is passed over and holds nothing back: small work behind a large one runs meanwhile. What is offered in one pass is
 * reserved in that pass, so two tasks are never offered the same memory.
 */
import { placeTask, type NodeView, type PlacementOutcome, type PlacementRequest } from "./placement.ts";

export interface QueueEntry {
  readonly key: string;
  readonly priority: number;
  /** RFC 3339, as the API server writes it. */
  readonly createdAt: string;
  readonly request: PlacementRequest;
}

/** Negative when `a` is served first. */
export function compareQueueEntries(a: QueueEntry, b: QueueEntry): number {
  if (a.priority !== b.priority) return b.priority - a.priority;
  if (a.createdAt !== b.createdAt) return a.createdAt < b.createdAt ? -1 : 1;
  return a.key < b.key ? -1 : a.key > b.key ? 1 : 0;
}

/** The outcome for every entry, in queue order. */
export function scheduleQueue(
  entries: readonly QueueEntry[],
  nodes: readonly NodeView[],
): ReadonlyMap<string, PlacementOutcome> {
  const outcomes = new Map<string, PlacementOutcome>();
  let left = nodes;
  for (const entry of entries.toSorted(compareQueueEntries)) {
    const outcome = placeTask(entry.request, left);
    outcomes.set(entry.key, outcome);
    if (!outcome.isPlaced) continue;
    left = left.map((node) =>
      node.name === outcome.node.name
        ? { ...node, freeBytes: node.freeBytes - outcome.candidate.bytes, assignments: node.assignments + 1 }
        : node,
    );
  }
  return outcomes;
}
