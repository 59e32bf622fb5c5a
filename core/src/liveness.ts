/**
 * Whether a node can be reached and whether it is given up.
 *
 *     Never ──heartbeat──▶ Connected ──silence > timeout──▶ Unknown ──silence > max(patience, autonomy)──▶ gone
 *                              ▲                               │
 *                              └────────────heartbeat──────────┘
 *
 * A crash and a cut link look alike, so silence alone moves nothing before the patience is over, and a node whose
 * autonomy duration is zero or less (OpenYurt: never evict) is never given up.
 */
export interface LivenessFacts {
  /** Milliseconds since the last heartbeat, by a monotonic clock; undefined: none since this process started. */
  readonly silentForMs?: number | undefined;
  /** Milliseconds that this process has been listening: how long a node that never spoke has been silent at least. */
  readonly listeningForMs: number;
  /** What was last said of the link; right after a start nothing was heard yet, which says nothing. */
  readonly previousLink?: Link | undefined;
  readonly heartbeatTimeoutMs: number;
  readonly patienceMs: number;
  /** The node's autonomy duration; undefined: none declared. */
  readonly autonomyMs?: number | undefined;
}

export type Link = "Connected" | "Unknown" | "Never";

export interface Liveness {
  readonly link: Link;
  readonly isGone: boolean;
  /** When to look again because time alone would change the verdict. */
  readonly recheckMs?: number;
}

export function judgeLiveness(facts: LivenessFacts): Liveness {
  const { heartbeatTimeoutMs, patienceMs, autonomyMs, previousLink = "Never" } = facts;
  const silence = facts.silentForMs ?? facts.listeningForMs;
  if (silence < heartbeatTimeoutMs) {
    const link = facts.silentForMs === undefined ? previousLink : "Connected";
    return { link, isGone: false, recheckMs: heartbeatTimeoutMs - silence };
  }
  const link = facts.silentForMs === undefined && previousLink === "Never" ? "Never" : "Unknown";
  if (autonomyMs !== undefined && autonomyMs <= 0) return { link, isGone: false };
  const limitMs = Math.max(heartbeatTimeoutMs, patienceMs, autonomyMs ?? 0);
  return silence >= limitMs ? { link, isGone: true } : { link, isGone: false, recheckMs: limitMs - silence };
}
