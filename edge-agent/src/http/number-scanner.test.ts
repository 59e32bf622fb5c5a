import * as fc from "fast-check";
import { describe, expect, test } from "vitest";
import { scanBody } from "./number-scanner.ts";

/** What JSON.parse makes of the rest, with the arrays put back. */
function assembled(text: string): unknown {
  const { rest, arrays } = scanBody(Buffer.from(text));
  let next = 0;
  return JSON.parse(rest, (key, value: unknown) => {
    if (key !== "data" || typeof value !== "number") return value;
    expect(value).toBe(next);
    return [...(arrays[next++]?.values ?? [])];
  });
}

const request = (data: unknown) => ({ inputs: [{ name: "x", shape: [1, 3], datatype: "FP32", data }] });
/** Numbers that are read exactly: at most 15 digits, or in exponent notation. */
const plainNumber = fc.oneof(
  fc.integer({ min: -999_999_999, max: 999_999_999 }),
  fc
    .tuple(fc.integer({ min: -99_999_999, max: 99_999_999 }), fc.integer({ min: 0, max: 7 }))
    .map(([mantissa, decimals]) => mantissa / 10 ** decimals),
  fc.constantFrom(1e-7, 1.5e300, -2e-9, 0, 1e21),
);

describe("the scanner", () => {
  test("reads what JSON.parse reads, however the text is spaced", () => {
    fc.assert(
      fc.property(fc.array(fc.array(plainNumber)), fc.constantFrom(0, 1, "\t"), (arrays, indent) => {
        // -0 is written as 0.
        const body = { inputs: arrays.map((data, index) => ({ name: `é${index}`, data })) };
        const text = JSON.stringify(body, undefined, indent);
        expect(assembled(text)).toEqual(JSON.parse(text));
        const { arrays: scanned } = scanBody(Buffer.from(text));
        expect(scanned.length).toBe(arrays.length);
      }),
    );
  });

  test("accepts Python's separators", () => {
    expect(assembled('{"inputs": [{"data": [1, -2.5, 3e-05]}]}')).toEqual({
      inputs: [{ data: [1, -2.5, 3e-5] }],
    });
  });

  test("gives any double to the nearest float32, and says where a double is not exact", () => {
    fc.assert(
      fc.property(
        fc.array(fc.double({ noNaN: true, noDefaultInfinity: true }), { minLength: 1 }),
        (numbers) => {
          const { arrays } = scanBody(Buffer.from(JSON.stringify(request(numbers))));
          const [scanned] = arrays;
          for (const [index, number] of numbers.entries()) {
            const value = scanned?.values[index] ?? Number.NaN;
            if (scanned?.isExact === true) expect(value).toBe(number === 0 ? 0 : number);
            expect(Math.abs(value - number)).toBeLessThanOrEqual(Math.abs(number) * 2 ** -51);
          }
        },
      ),
    );
    expect(scanBody(Buffer.from('{"data":[9007199254740993]}')).arrays[0]?.isExact).toBe(false);
  });

  test.each([
    ["nested arrays", '{"data":[[1,2],[3,4]]}'],
    ["texts", '{"data":["a","b"]}'],
    ["truth values", '{"data":[true,false]}'],
    [
      "the word inside a text",
      String.raw`{"inputs":[{"name":"say \"data\":[1,2]","data":["\"data\":[3]"]}]}`,
    ],
    ["a key that ends in the word", String.raw`{"a\"data":[1]}`],
    ["an object", '{"data":{"data":5}}'],
  ])("leaves %s to JSON.parse", (_what, text) => {
    const { rest } = scanBody(Buffer.from(text));
    expect(JSON.parse(rest)).toEqual(JSON.parse(text));
  });

  test("mends nothing: what is no JSON stays none", () => {
    for (const data of [
      "[1,]",
      "[01]",
      "[1.]",
      "[.5]",
      "[-]",
      "[1 2]",
      "[1e]",
      "[+1]",
      "[1",
      "[NaN]",
      "[,1]",
      "[1,,2]",
    ]) {
      const { rest } = scanBody(Buffer.from(`{"data":${data}}`));
      expect(() => JSON.parse(rest), data).toThrow();
    }
  });
});
