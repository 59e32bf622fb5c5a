/** Exponential backoff with equal jitter: half of the delay is fixed, half is random, so that many who failed together do not come back together. */
import type { Random } from "./ports.ts";

export interface BackoffRange {
  readonly baseMs: number;
  readonly maxMs: number;
}

/** @param failures How many in a row, from 1. */
export function backoffMs(range: BackoffRange, failures: number, random: Random): number {
  // 2^30 is past any sensible maximum already; the bound keeps the power finite.
  const full = Math.min(range.maxMs, range.baseMs * 2 ** Math.min(failures - 1, 30));
  return full / 2 + (random() * full) / 2;
}
