import { distance, type Corners } from "./geometry.ts";

interface Placed {
  readonly corners: Corners;
}

/**
 * Boxes as rows from top to bottom, each from left to right, along the direction that most of the text has. A box belongs to
 * a row when their middles are closer than half of the lower one's height. Columns are not told apart.
 */
export function rowsOf<T extends Placed>(boxes: readonly T[]): readonly (readonly T[])[] {
  const angles = boxes.map(({ corners: [from, to] }) => Math.atan2(to.y - from.y, to.x - from.x));
  const angle = angles.toSorted((a, b) => a - b)[angles.length >> 1] ?? 0;
  const [cos, sin] = [Math.cos(angle), Math.sin(angle)];
  const placed = boxes.map((box) => {
    const [a, b, c, d] = box.corners;
    const x = (a.x + b.x + c.x + d.x) / 4;
    const y = (a.y + b.y + c.y + d.y) / 4;
    return { box, left: x * cos + y * sin, middle: y * cos - x * sin, height: distance(a, d) };
  });
  placed.sort((a, b) => a.middle - b.middle);
  const rows: (typeof placed)[] = [];
  for (const entry of placed) {
    const row = rows.at(-1);
    const first = row?.[0];
    const isSameRow =
      first !== undefined && entry.middle - first.middle < Math.min(entry.height, first.height) / 2;
    if (isSameRow) row?.push(entry);
    else rows.push([entry]);
  }
  return rows.map((row) => row.sort((a, b) => a.left - b.left).map(({ box }) => box));
}
