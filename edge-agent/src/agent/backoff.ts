import { setTimeout as sleep } from "node:timers/promises";
import type { AutoglmError } from "@autoglm/api";

/** What becomes of an assignment after its n-th failure (counted from 1) in a row. */
export type RetryDecision = { readonly kind: "fail" } | { readonly kind: "retry"; readonly afterMs: number };

const FIRST_MS = 1000;
const AT_MOST_MS = 60_000;
/** Failures that a repeat rarely mends, but may: a model that did not load for lack of memory, a bug. */
const TRIES = { ModelLoadFailed: 3, bug: 5 };

/**
 * A user's error and a wrong digest end it: only a change of the object mends them. What the surroundings did is
 * tried again, ever more rarely.
 * @param random in [0, 1): half of the delay is jitter
 */
export function decideRetry(
  error: Pick<AutoglmError, "code" | "family" | "retry">,
  failures: number,
  random: number,
): RetryDecision {
  if (error.retry === "never" || error.family === "user" || error.code === "ModelDigestMismatch") {
    return { kind: "fail" };
  }
  if (error.code === "ModelLoadFailed" && failures >= TRIES.ModelLoadFailed) return { kind: "fail" };
  if (error.family === "bug" && failures >= TRIES.bug) return { kind: "fail" };
  return { kind: "retry", afterMs: backoffMs(failures, random) };
}

/** Doubles from 1 s to 60 s. */
export function backoffMs(failures: number, random: number): number {
  return Math.min(FIRST_MS * 2 ** Math.max(0, failures - 1), AT_MOST_MS) * (0.5 + random / 2);
}

/** Waits; false when the signal aborted. */
export async function pause(ms: number, signal: AbortSignal): Promise<boolean> {
  try {
    await sleep(ms, undefined, { signal });
    return true;
  } catch {
    return false;
  }
}
