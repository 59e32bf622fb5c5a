/** What the benchmark prints. Pure. */
import { renderTable } from "../local/table.ts";
import type { Goal, Judgement, Ranges, Sample, Section } from "./figures.ts";

const SIGNS: Readonly<Record<Goal["kind"], string>> = { under: "<", atMost: "≤", atLeast: "≥" };

export function renderSection({ title, notes, header, rows }: Section): string {
  return [`■ ${title}`, "", renderTable(header, rows), "", ...notes].join("\n");
}

/** The median of ratios, and their extremes. */
export const renderRatio = ({ median, least, most }: Pick<Sample, "median" | "least" | "most">): string =>
  `${median.toFixed(2)} (${least.toFixed(2)}–${most.toFixed(2)})`;

export function renderJudgements(judgements: readonly Judgement[], ranges: Ranges): string {
  const rows = judgements.map(({ figure, goal, range }) => {
    const { id, value, unit, goal: aim } = figure;
    const known = ranges.figures[id];
    return [
      id,
      `${rounded(value)} ${unit}`,
      aim === undefined ? "" : `${SIGNS[aim.kind]} ${aim.limit}`,
      goal ?? "",
      known === undefined ? "new" : `${rounded(known.least)}–${rounded(known.most)}`,
      range === undefined || range === "within" ? "" : `${range} its range`,
    ];
  });
  return `■ Goals and ranges (of ${ranges.machine})\n\n${renderTable(["figure", "value", "goal", "", "range", ""], rows)}`;
}

const rounded = (value: number) => (Math.abs(value) < 10 ? value.toFixed(2) : value.toFixed(0));
