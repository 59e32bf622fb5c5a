/** Edges of a box; x grows to the right, y downwards. */
export interface Box {
  readonly xmin: number;
  readonly ymin: number;
  readonly xmax: number;
  readonly ymax: number;
}

export interface Candidate {
  readonly label: string;
  readonly score: number;
  readonly box: Box;
}

const area = ({ xmin, ymin, xmax, ymax }: Box) => Math.max(0, xmax - xmin) * Math.max(0, ymax - ymin);

/** Intersection over union, 0 for boxes without area. */
export function overlapOf(a: Box, b: Box): number {
  const both = area({
    xmin: Math.max(a.xmin, b.xmin),
    ymin: Math.max(a.ymin, b.ymin),
    xmax: Math.min(a.xmax, b.xmax),
    ymax: Math.min(a.ymax, b.ymax),
  });
  const either = area(a) + area(b) - both;
  return either === 0 ? 0 : both / either;
}

/**
 * Greedy non-maximum suppression per label: the likeliest first, each unless one of its label that is kept overlaps it by
 * more than `maxOverlap`.
 */
export function suppressOverlaps<T extends Candidate>(
  candidates: readonly T[],
  maxOverlap: number,
  maxKept: number,
): readonly T[] {
  const kept: T[] = [];
  const byLabel = new Map<string, T[]>();
  for (const candidate of candidates.toSorted((a, b) => b.score - a.score)) {
    if (kept.length >= maxKept) break;
    const same = byLabel.get(candidate.label) ?? [];
    if (same.some(({ box }) => overlapOf(box, candidate.box) > maxOverlap)) continue;
    kept.push(candidate);
    byLabel.set(candidate.label, [...same, candidate]);
  }
  return kept;
}
