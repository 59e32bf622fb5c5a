/**
 * Accuracy against the share that is escalated, as SVG: the gate with its 95 % band, one that draws lots, one that knows
 * the answers. No library: four lines and two axes.
 */
import type { GateSummary, Interval } from "@autoglm/core";

const WIDTH = 760;
const HEIGHT = 480;
const PLOT = { left: 72, right: 560, top: 56, bottom: 408 } as const;
/** Readable by who can't tell red from green; the lines differ in their dashes too. */
const COLOURS = { gate: "#0072b2", oracle: "#009e73", random: "#d55e00", axis: "#444444", grid: "#e4e4e4" };

interface Curve {
  readonly name: string;
  readonly colour: string;
  readonly dash: string;
  readonly points: readonly (readonly [share: number, accuracy: number])[];
}

export function drawGateChart(title: string, { edge, deep, points }: GateSummary): string {
  const along = (pick: (point: GateSummary["points"][number]) => Interval): Curve["points"] => [
    [0, edge.mean],
    ...points.map((point) => [point.escalated.mean, pick(point).mean] as const),
    [1, deep.mean],
  ];
  const curves: readonly Curve[] = [
    { name: "oracle", colour: COLOURS.oracle, dash: "2 4", points: along(({ oracle }) => oracle) },
    { name: "gate", colour: COLOURS.gate, dash: "", points: along(({ accuracy }) => accuracy) },
    { name: "random", colour: COLOURS.random, dash: "8 4", points: along(({ random }) => random) },
  ];
  const all = curves.flatMap((curve) => curve.points.map(([, accuracy]) => accuracy));
  const bottom = Math.floor(Math.min(...all) * 50 - 0.2) / 50;
  const top = Math.ceil(Math.max(...all) * 50 + 0.2) / 50;
  const x = (share: number) => PLOT.left + share * (PLOT.right - PLOT.left);
  const y = (accuracy: number) =>
    PLOT.bottom - ((accuracy - bottom) / (top - bottom)) * (PLOT.bottom - PLOT.top);
  const path = (line: Curve["points"]) =>
    line
      .map(([share, accuracy], index) => `${index === 0 ? "M" : "L"}${at(x(share))} ${at(y(accuracy))}`)
      .join(" ");
  const band = [
    ...points.map(({ escalated, accuracy }) => [escalated.mean, accuracy.high] as const),
    ...points.map(({ escalated, accuracy }) => [escalated.mean, accuracy.low] as const).toReversed(),
  ];
  const half = points.find(({ share }) => share === 0.5);
  return [
    `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${WIDTH} ${HEIGHT}" font-family="sans-serif" font-size="13">`,
    `<rect width="${WIDTH}" height="${HEIGHT}" fill="#ffffff"/>`,
    text(PLOT.left, 28, escapeXml(title), { size: 16, weight: "bold" }),
    ...accuracyAxis(bottom, top, y),
    ...shareAxis(x),
    band.length > 0 ? `<path d="${path(band)} Z" fill="${COLOURS.gate}" opacity="0.18"/>` : "",
    ...curves.map(
      ({ colour, dash, points: line }) =>
        `<path d="${path(line)}" fill="none" stroke="${colour}" stroke-width="2.5" stroke-dasharray="${dash}"/>`,
    ),
    ...points.map(
      ({ escalated, accuracy }) =>
        `<circle cx="${at(x(escalated.mean))}" cy="${at(y(accuracy.mean))}" r="3.5" fill="${COLOURS.gate}"/>`,
    ),
    ...legend(curves, half),
    "</svg>",
    "",
  ].join("\n");
}

function accuracyAxis(bottom: number, top: number, y: (accuracy: number) => number): string[] {
  const ticks = Array.from(
    { length: Math.round((top - bottom) / 0.02) + 1 },
    (_, index) => bottom + index * 0.02,
  );
  const middle = (PLOT.top + PLOT.bottom) / 2;
  return [
    ...ticks.flatMap((tick) => [
      `<line x1="${PLOT.left}" x2="${PLOT.right}" y1="${at(y(tick))}" y2="${at(y(tick))}" stroke="${COLOURS.grid}"/>`,
      text(PLOT.left - 8, y(tick) + 4, tick.toFixed(2), { anchor: "end" }),
    ]),
    `<line x1="${PLOT.left}" x2="${PLOT.left}" y1="${PLOT.top}" y2="${PLOT.bottom}" stroke="${COLOURS.axis}"/>`,
    `<text transform="translate(20 ${middle}) rotate(-90)" text-anchor="middle" fill="${COLOURS.axis}">accuracy on test rows</text>`,
  ];
}

function shareAxis(x: (share: number) => number): string[] {
  const ticks = [0, 0.2, 0.4, 0.6, 0.8, 1];
  return [
    `<line x1="${PLOT.left}" x2="${PLOT.right}" y1="${PLOT.bottom}" y2="${PLOT.bottom}" stroke="${COLOURS.axis}"/>`,
    ...ticks.map((tick) =>
      text(x(tick), PLOT.bottom + 20, `${Math.round(tick * 100)} %`, { anchor: "middle" }),
    ),
    text((PLOT.left + PLOT.right) / 2, PLOT.bottom + 46, "share of items that go to the deep model", {
      anchor: "middle",
    }),
  ];
}

function legend(curves: readonly Curve[], half: GateSummary["points"][number] | undefined): string[] {
  const left = PLOT.right + 24;
  const lines = curves.flatMap(({ name, colour, dash }, index) => {
    const height = PLOT.top + 16 + index * 24;
    return [
      `<line x1="${left}" x2="${left + 32}" y1="${height}" y2="${height}" stroke="${colour}" stroke-width="2.5" stroke-dasharray="${dash}"/>`,
      text(left + 40, height + 4, name, {}),
    ];
  });
  if (half?.recovered === undefined) return lines;
  const { mean, low, high } = half.recovered;
  const percent = (value: number) => (value * 100).toFixed(0);
  const at50 = [
    "at 50 % the gate",
    "recovers of the gap",
    `${percent(mean)} % [${percent(low)}, ${percent(high)}]`,
  ];
  return [...lines, ...at50.map((line, index) => text(left, PLOT.top + 112 + index * 18, line, {}))];
}

function text(
  x: number,
  y: number,
  content: string,
  { anchor = "start", size = 13, weight = "normal" },
): string {
  return `<text x="${at(x)}" y="${at(y)}" text-anchor="${anchor}" font-size="${size}" font-weight="${weight}" fill="${COLOURS.axis}">${content}</text>`;
}

function at(value: number): string {
  return value.toFixed(1);
}

function escapeXml(content: string): string {
  return content.replaceAll("&", "&amp;").replaceAll("<", "&lt;").replaceAll(">", "&gt;");
}
