interface BlobView {
  readonly sha256: string;
  readonly sizeBytes: number;
  readonly usedAtMs: number;
}

/**
 * Which blobs, whole or begun, to delete: those that no assignment wants, least recently used first, until all together
 * are within the limit and `neededBytes` more find room on the volume. A wanted blob is never deleted.
 */
export function planCollection<Blob extends BlobView>(facts: {
  readonly blobs: readonly Blob[];
  readonly wanted: ReadonlySet<string>;
  readonly limitBytes: number;
  readonly freeBytes: number;
  readonly neededBytes: number;
}): readonly Blob[] {
  let total = facts.blobs.reduce((sum, { sizeBytes }) => sum + sizeBytes, facts.neededBytes);
  let free = facts.freeBytes;
  const removed: Blob[] = [];
  const unwanted = facts.blobs
    .filter(({ sha256 }) => !facts.wanted.has(sha256))
    .sort((a, b) => a.usedAtMs - b.usedAtMs || (a.sha256 < b.sha256 ? -1 : 1));
  for (const blob of unwanted) {
    if (total <= facts.limitBytes && free >= facts.neededBytes) break;
    removed.push(blob);
    total -= blob.sizeBytes;
    free += blob.sizeBytes;
  }
  return removed;
}

/** Seconds that the rest takes at the mean rate so far; undefined while nothing is known. */
export function downloadEtaSeconds(facts: {
  readonly startedAtMs: number;
  readonly nowMs: number;
  /** Bytes that came since then. */
  readonly receivedBytes: number;
  readonly remainingBytes: number;
}): number | undefined {
  const seconds = (facts.nowMs - facts.startedAtMs) / 1000;
  if (seconds <= 0 || facts.receivedBytes <= 0) return undefined;
  return Math.ceil(facts.remainingBytes / (facts.receivedBytes / seconds));
}
