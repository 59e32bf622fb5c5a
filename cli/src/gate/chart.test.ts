import type { GateSummary } from "@autoglm/core";
import { expect, it } from "vitest";
import { drawGateChart } from "./chart.ts";

const exactly = (mean: number) => ({ mean, low: mean - 0.01, high: mean + 0.01 });
const summary: GateSummary = {
  trials: 10,
  edge: exactly(0.7),
  deep: exactly(0.8),
  gap: exactly(0.1),
  points: [0.25, 0.5].map((share) => ({
    share,
    escalated: exactly(share),
    accuracy: exactly(0.7 + share / 6),
    random: exactly(0.7 + share / 10),
    oracle: exactly(0.85),
    aboveRandom: exactly(0.02),
    recovered: exactly(0.9),
  })),
};

it("draws three lines from the edge's accuracy to the deep model's, with every number in the picture", () => {
  const svg = drawGateChart("a < b & c", summary);
  expect(svg).toContain("a &lt; b &amp; c");
  expect(svg.match(/stroke-width="2.5" stroke-dasharray="[^"]*"\/>/g)).toHaveLength(6);
  expect(svg).toContain("90 % [89, 91]");
  expect(svg).not.toMatch(/NaN|undefined|Infinity/);
  const numbers = [...svg.matchAll(/(?:cx|cy)="([\d.]+)"/g)].map(([, number]) => Number(number));
  expect(numbers).toHaveLength(4);
  for (const number of numbers) expect(number).toBeGreaterThan(0);
});

it("draws a pair without a gap too", () => {
  const points = summary.points.map((point) => ({ ...point, recovered: undefined }));
  const svg = drawGateChart("no gap", { ...summary, deep: summary.edge, points });
  expect(svg).not.toMatch(/NaN|undefined|recovers/);
});
