import * as fc from "fast-check";
import { expect, test } from "vitest";
import { LacSegmenter } from "./lac-segmenter.ts";
import { splitText } from "./lac-tagger.ts";

const words = ["北京", "北京市", "市长", "长春", "春药店", "A股", "𠮷野家"];
const segmenter = new LacSegmenter({ words, logTotal: 3 });

test.each<[text: string, words: string[]]>([
  ["北京市长春药店", ["北京", "市长", "春药店"]],
  ["北京市长春", ["北京市", "长春"]],
  ["在北京", ["在", "北京"]],
  ["abc在12", ["abc", "在", "12"]],
  ["A股 B股", ["A股", " ", "B", "股"]],
  ["𠮷野家𠮷", ["𠮷野家", "𠮷"]],
  ["", []],
])("cuts %j", (text, expected) => {
  expect(segmenter.segment(text)).toEqual(expected);
});

const anyText = fc.string({
  unit: fc.constantFrom(...Array.from("北京市长春药店A股𠮷野家b1 。"), "\uD800"),
  maxLength: 40,
});

test("loses nothing of any text", () => {
  fc.assert(
    fc.property(anyText, (text) => {
      expect(segmenter.segment(text).join("")).toBe(text);
    }),
  );
});

test("pieces of a long text are within the limit, join to the text and know their places", () => {
  fc.assert(
    fc.property(anyText, fc.integer({ min: 2, max: 10 }), (text, maxLength) => {
      const pieces = splitText(text, maxLength);
      expect(pieces.map((piece) => piece.text).join("")).toBe(text);
      for (const piece of pieces) {
        expect(piece.text.length).toBeLessThanOrEqual(maxLength);
        expect(text.slice(piece.start, piece.start + piece.text.length)).toBe(piece.text);
      }
      const characters = pieces.flatMap((piece) => Array.from(piece.text));
      expect(characters).toEqual(Array.from(text));
    }),
  );
});

test("a long text is cut behind its sentences", () => {
  const pieces = splitText("一二三。四五六七八。九十", 7);
  expect(pieces.map(({ text }) => text)).toEqual(["一二三。", "四五六七八。", "九十"]);
});
