/** An item that waits, oldest first in its queue. */
export interface Waiting {
  /** UTF-16 units that cost something, at least 1. */
  readonly length: number;
  /** It was in a run that failed: it runs by itself, so that it can fail nobody else. */
  readonly alone: boolean;
}

export interface BatchLimits {
  readonly maxItems: number;
  /** Rows × the longest of them. */
  readonly budget: number;
  /** Processes that are idle: the queue is split over them instead of filling the first. */
  readonly idleProcesses: number;
}

/** How far into the queue lengths are compared. */
const WINDOW = 64;
/** Padded size ÷ sum of the lengths up to which padding still pays. */
const MAX_PADDING = 1.35;

/**
 * Which waiting items run together: always the oldest, and those nearest to it in length, while the padded size stays
 * within the budget and padding within 35 %. A batch in order of arrival, padded to its longest, loses to no batching.
 * @returns positions in the queue, ascending; never empty for a queue that is not
 */
export function pickBatch(queue: readonly Waiting[], limits: BatchLimits): readonly number[] {
  const [oldest, ...others] = queue.slice(0, WINDOW);
  if (oldest === undefined) return [];
  if (oldest.alone) return [0];
  const waiting = queue.reduce((sum, { length }) => sum + length, 0);
  const share = limits.idleProcesses > 1 ? Math.ceil(waiting / limits.idleProcesses) : Infinity;
  const budget = Math.min(limits.budget, share);
  const nearest = others
    .map((item, index) => ({ ...item, position: index + 1, distance: Math.abs(item.length - oldest.length) }))
    .filter(({ alone }) => !alone)
    .sort((a, b) => a.distance - b.distance || a.position - b.position);
  const picked = [0];
  let longest = oldest.length;
  let sum = oldest.length;
  for (const { position, length } of nearest) {
    if (picked.length >= limits.maxItems) break;
    const padded = Math.max(longest, length) * (picked.length + 1);
    if (padded > budget || padded > MAX_PADDING * (sum + length)) continue;
    picked.push(position);
    longest = Math.max(longest, length);
    sum += length;
  }
  return picked.sort((a, b) => a - b);
}
