/** What `autoglm gate eval` prints. */
import type { GateSummary, Interval } from "@autoglm/core";
import { renderColumns } from "../table.ts";

export type GateMode = "Pre" | "Post" | "Both";

export interface ModelFigures {
  readonly temperature: Interval;
  /** Expected calibration error of the edge's confidence on test rows, as the model gives it and with the temperature. */
  readonly errorBefore: Interval;
  readonly errorAfter: Interval;
}

export interface GateReport {
  readonly gold: readonly { readonly file: string; readonly rows: number; readonly duplicates: number }[];
  /** Whether each trial has models of its own, or halves of the rows alone. */
  readonly trials: number;
  readonly testRows: number;
  readonly calibration: ModelFigures;
  readonly modes: Readonly<Partial<Record<GateMode, GateSummary>>>;
}

/** A gap worth gating over: more than five points, and surely one. */
function hasGap({ gap }: GateSummary): boolean {
  return gap.mean > 0.05 && gap.low > 0;
}

export function renderReport(report: GateReport): string {
  const lines: string[] = [];
  const modes = Object.entries(report.modes);
  const [, first] = modes[0] ?? [];
  if (first === undefined) return "";
  for (const { file, rows, duplicates } of report.gold) {
    const dropped = duplicates > 0 ? `, ${duplicates} duplicates left out` : "";
    lines.push(`${file}: ${rows} rows${dropped}`);
  }
  lines.push(
    `${report.trials} trials, ${report.testRows} test rows in all; means with 95 % intervals over the trials`,
  );
  lines.push(`edge ${shown(first.edge)}   deep ${shown(first.deep)}   gap ${shown(first.gap)}`);
  if (!hasGap(first)) {
    lines.push(
      "This pair has no gap over 5 points whose interval is off 0: a gate has nothing to win on it.",
    );
  }
  const { temperature, errorBefore, errorAfter } = report.calibration;
  lines.push(
    `confidence of the edge: temperature ${temperature.mean.toFixed(2)}, ` +
      `calibration error ${errorBefore.mean.toFixed(3)} before, ${errorAfter.mean.toFixed(3)} after`,
  );
  for (const [mode, summary] of modes) lines.push("", `${mode}:`, tableOf(summary).trimEnd());
  return `${lines.join("\n")}\n`;
}

function tableOf({ points }: GateSummary): string {
  const header = ["SHARE", "ESCALATED", "ACCURACY", "RANDOM", "ORACLE", "ABOVE RANDOM", "GAP RECOVERED"];
  return renderColumns([
    header,
    ...points.map(({ share, escalated, accuracy, random, oracle, aboveRandom, recovered }) => [
      `${Math.round(share * 100)} %`,
      `${(escalated.mean * 100).toFixed(1)} %`,
      shown(accuracy),
      random.mean.toFixed(4),
      oracle.mean.toFixed(4),
      shown(aboveRandom),
      recovered === undefined ? "-" : shown(recovered),
    ]),
  ]);
}

function shown({ mean, low, high }: Interval): string {
  return `${mean.toFixed(4)} [${low.toFixed(4)}, ${high.toFixed(4)}]`;
}
