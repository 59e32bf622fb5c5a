import { assertNever } from "@autoglm/api";
import type { EndpointFailure } from "./failure.ts";

export interface RetryRules {
  /** Sends of one request, the first included. */
  readonly maxAttempts: number;
  readonly firstPauseMs: number;
  readonly longestPauseMs: number;
}

/** As the hosted API's own SDK has it, with more patience. */
export const RETRY_RULES: RetryRules = { maxAttempts: 6, firstPauseMs: 500, longestPauseMs: 8000 };
/** A server that asks for a longer pause is unavailable. */
const LONGEST_RETRY_AFTER_MS = 60_000;

export type RetryDecision =
  | { readonly kind: "again"; readonly afterMs: number; readonly newRequestId: boolean }
  /** For all requests, until then. */
  | { readonly kind: "unavailable"; readonly afterMs: number | undefined }
  | { readonly kind: "refused" }
  /** For this item alone. */
  | { readonly kind: "item" };

/**
 * What follows a failure.
 * @param attempts sends so far
 * @param random in [0, 1)
 */
export function decideRetry(
  failure: EndpointFailure,
  attempts: number,
  random: number,
  nowMs: number,
  rules: RetryRules = RETRY_RULES,
): RetryDecision {
  const { meaning, retryAfterMs, resetsAtMs } = failure;
  switch (meaning) {
    case "refused":
      return { kind: "refused" };
    case "rejected":
    case "content":
      return { kind: "item" };
    case "spent":
      return { kind: "unavailable", afterMs: Math.max(0, (resetsAtMs ?? nowMs) - nowMs) };
    case "busy":
    case "lost":
    case "duplicate": {
      if (attempts >= rules.maxAttempts || (retryAfterMs ?? 0) > LONGEST_RETRY_AFTER_MS) {
        return { kind: "unavailable", afterMs: retryAfterMs };
      }
      const pause = Math.min(rules.longestPauseMs, rules.firstPauseMs * 2 ** (attempts - 1));
      // Half of it at random: those that were refused together don't come back together.
      const jittered = pause * (0.5 + random / 2);
      return {
        kind: "again",
        afterMs: Math.max(retryAfterMs ?? 0, jittered),
        newRequestId: meaning === "duplicate",
      };
    }
    default:
      return assertNever(meaning);
  }
}
