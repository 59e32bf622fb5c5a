export interface SegmentView {
  readonly number: number;
  readonly bytes: number;
  readonly liveBytes: number;
  /** Is written to, or must be kept as evidence of damage. */
  readonly isPinned: boolean;
}

export type ReclaimAction =
  | { readonly kind: "unlink"; readonly segment: number }
  | { readonly kind: "copy"; readonly segment: number };

/**
 * Which segment to give back next, if any: one with nothing live, else the emptiest once more than half of all bytes
 * (and more than two segments' worth) are dead. So the files never take more than twice what is live and two segments.
 */
export function planReclaim(facts: {
  readonly segments: readonly SegmentView[];
  readonly segmentBytes: number;
}): ReclaimAction | undefined {
  const free = facts.segments.filter(({ isPinned }) => !isPinned).sort((a, b) => a.number - b.number);
  const empty = free.find(({ liveBytes }) => liveBytes === 0);
  if (empty) return { kind: "unlink", segment: empty.number };
  let live = 0;
  let dead = 0;
  for (const { bytes, liveBytes } of free) {
    live += liveBytes;
    dead += bytes - liveBytes;
  }
  if (dead <= Math.max(live, 2 * facts.segmentBytes)) return undefined;
  const emptiest = free.reduce((a, b) => (b.liveBytes / b.bytes < a.liveBytes / a.bytes ? b : a));
  return { kind: "copy", segment: emptiest.number };
}
