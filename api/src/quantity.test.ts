import * as fc from "fast-check";
import { describe, expect, it } from "vitest";
import { formatQuantity, parseQuantityBytes } from "./quantity.ts";

describe("memory quantities", () => {
  it.each([
    ["0", 0],
    ["512", 512],
    ["1k", 1000],
    ["1Ki", 1024],
    ["1.5Gi", 1_610_612_736],
    ["6G", 6_000_000_000],
    ["0.1Ki", 103],
    ["2Ti", 2_199_023_255_552],
  ])("%s is %d bytes", (quantity, bytes) => {
    expect(parseQuantityBytes(quantity)).toBe(bytes);
  });

  it.each(["", "Gi", "-1Gi", "4GB", "4 Gi", "4gi", "1e3", "٤Gi", ".5Gi", "4Gi\n"])(
    "refuses %j",
    (quantity) => {
      expect(() => parseQuantityBytes(quantity)).toThrow(
        expect.objectContaining({ code: "InvalidQuantity", family: "user" }),
      );
    },
  );

  it("are never shown larger than they are, nor a tenth too small", () => {
    fc.assert(
      fc.property(fc.integer({ min: 0, max: 2 ** 50 }), (bytes) => {
        const shown = parseQuantityBytes(formatQuantity(bytes));
        expect(shown).toBeLessThanOrEqual(bytes);
        expect(shown).toBeGreaterThanOrEqual(Math.floor(bytes * 0.9));
      }),
    );
  });

  it("keep their order when shown", () => {
    const size = fc.integer({ min: 0, max: 2 ** 50 });
    fc.assert(
      fc.property(size, size, (a, b) => {
        const [small, large] = [Math.min(a, b), Math.max(a, b)];
        expect(parseQuantityBytes(formatQuantity(small))).toBeLessThanOrEqual(
          parseQuantityBytes(formatQuantity(large)),
        );
      }),
    );
  });
});
