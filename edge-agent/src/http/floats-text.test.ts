import fc from "fast-check";
import { expect, test } from "vitest";
import { floatsText } from "./floats-text.ts";

const readBack = (text: string) => Float32Array.from(JSON.parse(`[${text}]`) as number[]);

test("every finite float reads back as itself, whatever stands beside it", () => {
  fc.assert(
    fc.property(
      fc.array(
        fc.oneof(
          fc.float({ noNaN: true, noDefaultInfinity: true }),
          fc.float({ min: -1, max: 1, noNaN: true }),
        ),
      ),
      (numbers) => {
        const values = Float32Array.from(numbers);
        // A JSON reader keeps the sign of zero; whoever sums embeddings does not need it.
        expect(readBack(floatsText(values))).toEqual(values.map((value) => value + 0));
      },
    ),
  );
});

test.each([
  [0.1, "0.1000000015"],
  [-0.5, "-0.5"],
  [0, "0"],
  [-0, "0"],
  [12, "12"],
  [99_999.99, "99999.9921875"],
  [0.000_000_1, "0.0000001"],
  [1.5e-12, "1.4999999940062958e-12"],
  [3.402_823_466_385_288_6e38, "3.4028234663852886e+38"],
  [NaN, "null"],
  [-Infinity, "null"],
])("%d is written as %s", (value, text) => {
  expect(floatsText(Float32Array.of(value))).toBe(text);
});

test("more numbers than the buffer begins with", () => {
  const values = new Float32Array(100_000).fill(-3.402_823_466_385_288_6e38);
  expect(readBack(floatsText(values))).toEqual(values);
});
