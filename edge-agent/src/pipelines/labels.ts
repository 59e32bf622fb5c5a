import type { Parameters } from "./pipeline.ts";

export interface ScoredLabel {
  readonly label: string;
  readonly score: number;
}

/** Best first, as many as are asked for; the best even below the threshold, since an answer has a label. */
export function bestLabels(
  labels: readonly ScoredLabel[],
  { topK, threshold = 0 }: Parameters,
): ScoredLabel[] {
  return labels
    .toSorted((a, b) => b.score - a.score)
    .filter(({ score }, rank) => rank === 0 || score >= threshold)
    .slice(0, topK);
}
