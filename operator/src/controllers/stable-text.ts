/** JSON with sorted keys and without undefined fields: equal values, equal text. */
export function stableText(value: unknown): string {
  return JSON.stringify(value, (_, inner: unknown) =>
    typeof inner === "object" && inner !== null && !Array.isArray(inner)
      ? Object.fromEntries(Object.entries(inner).sort(([a], [b]) => (a < b ? -1 : 1)))
      : inner,
  );
}

/**
 * When a status is to be written: "now" if its essence differs or the last write is long enough ago, else the
 * milliseconds to wait; undefined if nothing differs.
 */
export function writeTime(facts: {
  readonly isChanged: boolean;
  readonly isEssenceChanged: boolean;
  readonly sinceLastWriteMs: number;
  readonly intervalMs: number;
}): "now" | number | undefined {
  if (!facts.isChanged) return undefined;
  if (facts.isEssenceChanged || facts.sinceLastWriteMs >= facts.intervalMs) return "now";
  return facts.intervalMs - facts.sinceLastWriteMs;
}

interface SaidCondition {
  readonly type: string;
  readonly status: string;
  readonly reason: string;
  readonly message: string;
}

/** Conditions without their times, in the order of their types. */
export function saidConditions(conditions: readonly SaidCondition[] = []): readonly SaidCondition[] {
  return conditions
    .map(({ type, status, reason, message }) => ({ type, status, reason, message }))
    .sort((a, b) => (a.type < b.type ? -1 : 1));
}
