import type { OutputOf } from "@autoglm/api";
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

export type Entity = OutputOf<"token-classification">["entities"][number];

/** Of the kinds that are asked for, and likely enough. */
export function keptEntities(
  entities: readonly Entity[],
  { candidateLabels, threshold = 0 }: Parameters = {},
): Entity[] {
  return entities.filter(
    ({ entity_group, score }) =>
      (score === null || score >= threshold) && (candidateLabels?.includes(entity_group) ?? true),
  );
}
