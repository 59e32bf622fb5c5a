/** Outages shorter than this are mostly restarts: come back soon. */
const SHORT_OUTAGE_MS = 60_000;
const SHORT_CEILING_MS = 1_000;
const LONG_CEILING_MS = 30_000;

/**
 * Milliseconds to wait before the next dial: full jitter, so that ten thousand agents do not come back in one moment.
 * Up to 1 s during the first minute of an outage, then up to half of what the outage lasts beyond it, at most 30 s.
 */
export function reconnectDelayMs(outageMs: number, random: () => number): number {
  const beyond = Math.max(0, outageMs - SHORT_OUTAGE_MS);
  return random() * Math.min(LONG_CEILING_MS, SHORT_CEILING_MS + beyond / 2);
}
