export interface Point {
  readonly x: number;
  readonly y: number;
}

/** A turned rectangle; `angle` is that of its `width` side against the x axis, in (-π/4, π/4]. */
export interface Rectangle {
  readonly center: Point;
  readonly width: number;
  readonly height: number;
  readonly angle: number;
}

/** Upper left, upper right, lower right, lower left of a rectangle as it lies. */
export type Corners = readonly [Point, Point, Point, Point];

const cross = (a: Point, b: Point, c: Point) => (b.x - a.x) * (c.y - a.y) - (b.y - a.y) * (c.x - a.x);
export const distance = (a: Point, b: Point) => Math.hypot(b.x - a.x, b.y - a.y);

/** Corners of the convex hull, by Andrew's monotone chain. */
export function convexHull(points: readonly Point[]): readonly Point[] {
  const sorted = points.toSorted((a, b) => a.x - b.x || a.y - b.y);
  const half = (ordered: readonly Point[]) => {
    const chain: Point[] = [];
    for (const point of ordered) {
      for (;;) {
        const [before, last] = [chain.at(-2), chain.at(-1)];
        if (before === undefined || last === undefined || cross(before, last, point) > 0) break;
        chain.pop();
      }
      chain.push(point);
    }
    return chain.slice(0, -1);
  };
  const hull = [...half(sorted), ...half(sorted.toReversed())];
  return hull.length > 0 ? hull : sorted.slice(0, 1);
}

/** The rectangle of least area around the points: one of its sides lies on a side of the hull. */
export function smallestRectangle(points: readonly Point[]): Rectangle {
  const hull = convexHull(points);
  let best: Rectangle | undefined;
  for (const [index, from] of hull.entries()) {
    const to = hull[(index + 1) % hull.length] ?? from;
    const rectangle = rectangleAlong(hull, Math.atan2(to.y - from.y, to.x - from.x));
    if (best === undefined || rectangle.width * rectangle.height < best.width * best.height) best = rectangle;
  }
  return best ?? { center: { x: 0, y: 0 }, width: 0, height: 0, angle: 0 };
}

function rectangleAlong(points: readonly Point[], direction: number): Rectangle {
  const quarter = Math.PI / 2;
  const angle = direction - quarter * Math.ceil(direction / quarter - 0.5);
  const [cos, sin] = [Math.cos(angle), Math.sin(angle)];
  const along = points.map(({ x, y }) => x * cos + y * sin);
  const across = points.map(({ x, y }) => y * cos - x * sin);
  const [left, right] = [Math.min(...along), Math.max(...along)];
  const [top, bottom] = [Math.min(...across), Math.max(...across)];
  const [u, v] = [(left + right) / 2, (top + bottom) / 2];
  const center = { x: u * cos - v * sin, y: u * sin + v * cos };
  return { center, width: right - left, height: bottom - top, angle };
}

export function cornersOf({ center, width, height, angle }: Rectangle): Corners {
  const [cos, sin] = [Math.cos(angle) / 2, Math.sin(angle) / 2];
  const corner = (a: number, b: number) => ({
    x: center.x + a * width * cos - b * height * sin,
    y: center.y + a * width * sin + b * height * cos,
  });
  return [corner(-1, -1), corner(1, -1), corner(1, 1), corner(-1, 1)];
}
