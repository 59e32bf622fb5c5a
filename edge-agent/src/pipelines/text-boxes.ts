import { smallestRectangle, type Point, type Rectangle } from "./geometry.ts";

/**
 * Boxes of text lines from a map of probabilities, after Differentiable Binarization (Liao et al. 2020, section 3.4):
 * pixels above a threshold → connected regions → the smallest rectangle around each → grown, since the network marks the
 * shrunken core of a line, by area × ratio / perimeter.
 */
export interface TextBoxOptions {
  /** Probability from which on a pixel is text. */
  readonly threshold: number;
  /** Least mean probability of a region. */
  readonly boxThreshold: number;
  readonly unclipRatio: number;
  /** Shorter sides than this are noise. */
  readonly minSide: number;
  readonly maxBoxes: number;
}

interface Region {
  readonly mean: number;
  readonly outline: readonly Point[];
}

/** In pixels of the map. */
export function findTextBoxes(
  map: Float32Array,
  width: number,
  height: number,
  { threshold, boxThreshold, unclipRatio, minSide, maxBoxes }: TextBoxOptions,
): readonly Rectangle[] {
  const boxes: Rectangle[] = [];
  const seen = new Uint8Array(width * height);
  for (let start = 0; start < map.length && boxes.length < maxBoxes; start++) {
    if (seen[start] === 1 || (map[start] ?? 0) <= threshold) continue;
    const { mean, outline } = regionFrom(start, map, width, height, threshold, seen);
    if (mean < boxThreshold) continue;
    const core = smallestRectangle(outline);
    if (Math.min(core.width, core.height) < minSide) continue;
    const growth = (core.width * core.height * unclipRatio) / (2 * (core.width + core.height));
    boxes.push({ ...core, width: core.width + 2 * growth, height: core.height + 2 * growth });
  }
  return boxes;
}

/** The pixels that are connected with `start`, diagonals included; marks them as seen. */
function regionFrom(
  start: number,
  map: Float32Array,
  width: number,
  height: number,
  threshold: number,
  seen: Uint8Array,
): Region {
  const stack = [start];
  /** First and last pixel of each row: all that the hull needs. */
  const rows = new Map<number, { first: number; last: number }>();
  let sum = 0;
  let count = 0;
  seen[start] = 1;
  for (let at = stack.pop(); at !== undefined; at = stack.pop()) {
    const x = at % width;
    const y = (at - x) / width;
    sum += map[at] ?? 0;
    count++;
    const row = rows.get(y);
    if (row === undefined) rows.set(y, { first: x, last: x });
    else if (x < row.first) row.first = x;
    else if (x > row.last) row.last = x;
    for (let ny = Math.max(0, y - 1); ny <= Math.min(height - 1, y + 1); ny++) {
      for (let nx = Math.max(0, x - 1); nx <= Math.min(width - 1, x + 1); nx++) {
        const next = ny * width + nx;
        if (seen[next] === 1 || (map[next] ?? 0) <= threshold) continue;
        seen[next] = 1;
        stack.push(next);
      }
    }
  }
  const outline = [...rows].flatMap(([y, { first, last }]) =>
    [first, last + 1].flatMap((x) => [
      { x, y },
      { x, y: y + 1 },
    ]),
  );
  return { mean: sum / count, outline };
}
