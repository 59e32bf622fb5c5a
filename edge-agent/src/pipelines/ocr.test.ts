import { describe, expect, test } from "vitest";
import fc from "fast-check";
import { decodeCtc } from "./ctc.ts";
import { convexHull, cornersOf, smallestRectangle, type Corners, type Rectangle } from "./geometry.ts";
import { cropLine, laidDown, turned } from "./line-crop.ts";
import { rowsOf } from "./reading-order.ts";
import { findTextBoxes } from "./text-boxes.ts";

const coordinate = fc.integer({ min: -50, max: 50 });
const points = fc.array(fc.record({ x: coordinate, y: coordinate }), { minLength: 1, maxLength: 30 });

describe("rectangles", () => {
  test("hold every point, and no upright one is smaller", () => {
    fc.assert(
      fc.property(points, (points) => {
        const { center, width, height, angle } = smallestRectangle(points);
        for (const { x, y } of points) {
          const [dx, dy] = [x - center.x, y - center.y];
          expect(Math.abs(dx * Math.cos(angle) + dy * Math.sin(angle))).toBeLessThan(width / 2 + 1e-6);
          expect(Math.abs(dy * Math.cos(angle) - dx * Math.sin(angle))).toBeLessThan(height / 2 + 1e-6);
        }
        const range = (values: readonly number[]) => Math.max(...values) - Math.min(...values);
        const upright = range(points.map(({ x }) => x)) * range(points.map(({ y }) => y));
        expect(width * height).toBeLessThan(upright + 1e-6);
        expect(Math.abs(angle)).toBeLessThan(Math.PI / 4 + 1e-9);
      }),
    );
  });

  test("come back from their corners, however they are turned", () => {
    fc.assert(
      fc.property(fc.integer({ min: -44, max: 44 }), (degrees) => {
        const angle = (degrees * Math.PI) / 180;
        const rectangle: Rectangle = { center: { x: 7, y: -3 }, width: 40, height: 10, angle };
        const found = smallestRectangle(cornersOf(rectangle));
        expect(found.width).toBeCloseTo(40);
        expect(found.height).toBeCloseTo(10);
        expect(found.angle).toBeCloseTo(angle);
      }),
    );
  });

  test("the hull leaves out what lies inside and on its sides", () => {
    const square = [0, 1, 2].flatMap((x) => [0, 1, 2].map((y) => ({ x, y })));
    expect(convexHull(square).length).toBe(4);
  });
});

describe("text boxes", () => {
  const options = { threshold: 0.3, boxThreshold: 0.5, unclipRatio: 1.5, minSide: 3, maxBoxes: 10 };
  const map = (width: number, height: number, value: (x: number, y: number) => number) =>
    Float32Array.from({ length: width * height }, (_, at) => value(at % width, Math.floor(at / width)));

  test("a region grows by its area × ratio / perimeter on each side", () => {
    const probabilities = map(60, 40, (x, y) => (x >= 10 && x < 40 && y >= 15 && y < 25 ? 0.9 : 0));
    const [box] = findTextBoxes(probabilities, 60, 40, options);
    const growth = (30 * 10 * 1.5) / 80;
    expect(box).toMatchObject({ center: { x: 25, y: 20 }, width: 30 + 2 * growth, height: 10 + 2 * growth });
  });

  test("what is faint, thin or apart is another box or none", () => {
    const two = map(60, 20, (x, y) => (y < 8 && (x < 20 || x > 30) ? 0.8 : 0));
    expect(findTextBoxes(two, 60, 20, options).length).toBe(2);
    expect(findTextBoxes(two, 60, 20, { ...options, boxThreshold: 0.9 })).toEqual([]);
    expect(findTextBoxes(two, 60, 20, { ...options, maxBoxes: 1 }).length).toBe(1);
    expect(
      findTextBoxes(
        map(60, 20, (_, y) => (y < 2 ? 0.8 : 0)),
        60,
        20,
        options,
      ),
    ).toEqual([]);
  });
});

describe("reading order", () => {
  const box = (x: number, y: number, width = 40): { readonly corners: Corners } => ({
    corners: cornersOf({ center: { x, y }, width, height: 10, angle: 0 }),
  });

  test("rows from top to bottom, each from left to right", () => {
    const [a, b, c] = [box(10, 10), box(80, 12), box(10, 30)];
    expect(rowsOf([c, b, a])).toEqual([[a, b], [c]]);
    expect(rowsOf([])).toEqual([]);
  });

  test("a page that lies askew is read along its lines", () => {
    const angle = 0.3;
    const at = (column: number, row: number) => ({
      corners: cornersOf({
        center: {
          x: column * 60 * Math.cos(angle) - row * 20 * Math.sin(angle),
          y: column * 60 * Math.sin(angle) + row * 20 * Math.cos(angle),
        },
        width: 40,
        height: 10,
        angle,
      }),
    });
    const [a, b, c, d] = [at(0, 0), at(1, 0), at(0, 1), at(1, 1)];
    expect(rowsOf([d, c, b, a])).toEqual([
      [a, b],
      [c, d],
    ]);
  });
});

describe("lines", () => {
  const image = {
    width: 4,
    height: 2,
    data: Uint8Array.from({ length: 24 }, (_, at) => Math.floor(at / 3) * 10),
  };
  const corners: Corners = [
    { x: 0, y: 0 },
    { x: 4, y: 0 },
    { x: 4, y: 2 },
    { x: 0, y: 2 },
  ];
  const pixels = ({ data }: { readonly data: Uint8Array }) => [...data].filter((_, at) => at % 3 === 0);

  test("a crop of the same size is the image itself; turned, it is read from its end", () => {
    expect(pixels(cropLine(image, corners, 2, 100))).toEqual([0, 10, 20, 30, 40, 50, 60, 70]);
    expect(pixels(cropLine(image, turned(corners), 2, 100))).toEqual([70, 60, 50, 40, 30, 20, 10, 0]);
  });

  test("an upright line is laid down with its right side on top", () => {
    expect(pixels(cropLine(image, laidDown(corners), 4, 100))).toEqual([30, 70, 20, 60, 10, 50, 0, 40]);
  });

  test("the width follows the height, up to a limit", () => {
    expect(cropLine(image, corners, 48, 1000)).toMatchObject({ width: 96, height: 48 });
    expect(cropLine(image, corners, 48, 60)).toMatchObject({ width: 60, height: 48 });
  });
});

describe("CTC", () => {
  const step = (...values: readonly number[]) => values;
  const decode = (steps: readonly (readonly number[])[], gap?: Parameters<typeof decodeCtc>[1]["gap"]) =>
    decodeCtc(Float32Array.from(steps.flat()), { classes: 4, blank: 0, gap });

  test("repetitions are one character unless a blank stands between them", () => {
    const [a, blank] = [step(0.1, 0.9, 0, 0), step(1, 0, 0, 0)];
    expect(decode([a, a, blank, a]).classes).toEqual([1, 1]);
    expect(decode([blank, blank])).toEqual({ classes: [], score: 0 });
    expect(decode([a, step(0, 0, 0.5, 0)]).score).toBeCloseTo(0.7);
  });

  test("a gap that is spread over blanks is a space, between characters that have gaps", () => {
    const [a, b, faint] = [step(0, 1, 0, 0), step(0, 0, 1, 0), step(0.9, 0, 0, 0.03)];
    const gap = { index: 3, minSum: 0.05, hasGaps: () => true };
    expect(decode([faint, faint, a, faint, faint, b], gap).classes).toEqual([1, 3, 2]);
    expect(decode([a, faint, b], gap).classes).toEqual([1, 2]);
    expect(decode([a, faint, faint, b], { ...gap, hasGaps: (index) => index !== 2 }).classes).toEqual([1, 2]);
  });
});
