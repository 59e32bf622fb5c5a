import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { GATE_VECTOR_LENGTH, gateFeaturesOf, gateVectorOf } from "./features.ts";

/** Lone surrogates too. */
const anyText = fc
  .array(fc.oneof(fc.nat(0x10ffff), fc.nat(0x2ff), fc.integer({ min: 0x4e00, max: 0x9fff })))
  .map((codes) => String.fromCodePoint(...codes));
const of = (text: string) => gateFeaturesOf(text, "text-classification");

describe("gateFeaturesOf", () => {
  it.each([
    ["", 0, 0, "none"],
    [" \t\n\u3000", 0, 0, "none"],
    ["啊", 1, 0, "zh"],
    ["aaaaaaaa", 8, 0, "en"],
    ["abab", 4, 1, "en"],
    ["abcd", 4, 2, "en"],
    ["房间很大", 4, 2, "zh"],
    ["很好very", 6, Math.log2(6), "en"],
    ["быстро", 6, Math.log2(6), "other"],
    ["12345678", 8, 3, "none"],
    ["😀😀", 2, 0, "none"],
  ])("of %j: %i characters, %f bits, %s", (text, characters, entropy, language) => {
    const features = of(text);
    expect(features).toMatchObject({ characters, language });
    expect(features.entropy).toBeCloseTo(entropy, 12);
    expect(Object.is(features.entropy, -0)).toBe(false);
  });

  it("takes white space alone for empty, and nothing else", () => {
    expect(of(" \n ").isEmpty).toBe(true);
    expect(of(".").isEmpty).toBe(false);
    expect(gateFeaturesOf("", "image-classification", { hasMedia: true }).isEmpty).toBe(false);
  });

  it("stays between nothing and a character of its own each time", () => {
    fc.assert(
      fc.property(anyText, (text) => {
        const { entropy, characters } = of(text);
        expect(entropy).toBeGreaterThanOrEqual(0);
        expect(entropy).toBeLessThanOrEqual(Math.log2(Math.max(1, characters)) + 1e-9);
      }),
    );
  });
});

describe("gateVectorOf", () => {
  it("has finite numbers only, whatever the text is", () => {
    fc.assert(
      fc.property(anyText, fc.constantFrom("text-classification", "unheard-of"), (text, type) => {
        const vector = gateVectorOf(text, gateFeaturesOf(text, type));
        expect(vector).toHaveLength(GATE_VECTOR_LENGTH);
        expect(vector.every(Number.isFinite)).toBe(true);
      }),
    );
  });

  it("costs a document of megabytes no more than its first page", () => {
    const page = "第一页的内容。".repeat(600).slice(0, 4096);
    const book = page + "后面还有很多很多内容".repeat(1_000_000);
    expect(gateVectorOf(book, of(page))).toEqual(gateVectorOf(page, of(page)));
    expect(of(book).characters).toBe(book.length);
  });
});
