import { TASK_RANK } from "./queued-item.ts";

/** An item that waits, in the order in which it is to go. */
export interface Waiting {
  /** Units that cost something, at least 1. */
  readonly length: number;
  readonly rows: number;
  readonly rank: number;
  /** It was in a run that failed: it runs by itself, so that it can fail nobody else. */
  readonly alone: boolean;
}

export interface BatchLimits {
  /** Most rows. */
  readonly maxItems: number;
  /** Rows × the longest of them. */
  readonly budget: number;
  /** Processes that share the queue: it is split over them instead of filling the first. */
  readonly idleProcesses: number;
}

/** How far into the queue lengths are compared. */
const WINDOW = 64;
/** Padded size ÷ sum of the lengths up to which padding still pays. */
const MAX_PADDING = 1.1;

/**
 * Which waiting items run together: always the first, and those nearest to it in length, while the padded size stays
 * within the budget and padding within 10 %. A batch in order of arrival, padded to its longest, loses to no batching.
 * Items of tasks never make a run of online requests longer.
 * @returns positions in the queue, ascending; never empty for a queue that is not
 */
export function pickBatch(queue: readonly Waiting[], limits: BatchLimits): readonly number[] {
  const first = queue[0];
  if (first === undefined) return [];
  if (first.alone) return [0];
  const budget = Math.min(limits.budget, shareOf(queue, limits.idleProcesses));
  const picked = [0];
  let rows = first.rows;
  let longest = first.length;
  let sum = first.length * first.rows;
  for (const position of nearestTo(first, queue)) {
    const item = queue[position];
    if (item === undefined || rows + item.rows > limits.maxItems) continue;
    const padded = Math.max(longest, item.length) * (rows + item.rows);
    if (padded > budget || padded > MAX_PADDING * (sum + item.length * item.rows)) continue;
    picked.push(position);
    rows += item.rows;
    longest = Math.max(longest, item.length);
    sum += item.length * item.rows;
    if (rows >= limits.maxItems) break;
  }
  return picked.sort((a, b) => a - b);
}

function shareOf(queue: readonly Waiting[], processes: number): number {
  if (processes <= 1) return Infinity;
  let waiting = 0;
  for (const { length, rows } of queue) waiting += length * rows;
  return Math.ceil(waiting / processes);
}

/** Positions behind the first that may go with it, by how near they are to it in length, then by age. */
function nearestTo(first: Waiting, queue: readonly Waiting[]): readonly number[] {
  const isOnline = first.rank < TASK_RANK;
  const positions: number[] = [];
  let lengthsDiffer = false;
  for (let position = 1; position < queue.length; position++) {
    const item = queue[position];
    if (item === undefined || item.alone || item.rank < TASK_RANK !== isOnline) continue;
    // Equal lengths need no comparison, so all of them may be looked at.
    lengthsDiffer ||= item.length !== first.length;
    if (lengthsDiffer && positions.length >= WINDOW) break;
    positions.push(position);
  }
  if (!lengthsDiffer) return positions;
  const distance = (position: number) => Math.abs((queue[position]?.length ?? 0) - first.length);
  return positions.sort((a, b) => distance(a) - distance(b) || a - b);
}
