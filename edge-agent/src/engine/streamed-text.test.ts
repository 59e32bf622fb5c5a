import fc from "fast-check";
import { expect, test } from "vitest";
import { StreamedText } from "./streamed-text.ts";

/** The text in pieces of these lengths, as often as they fit. */
function piecesOf(text: string, lengths: readonly number[]): string[] {
  const pieces: string[] = [];
  for (let at = 0, turn = 0; at < text.length; turn++) {
    const length = lengths[turn % lengths.length] ?? 1;
    pieces.push(text.slice(at, at + length));
    at += length;
  }
  return pieces;
}

test("a run that is cut off and repeated in other pieces says every character once", () => {
  const lengths = fc.array(fc.integer({ min: 1, max: 5 }), { minLength: 1 });
  fc.assert(
    fc.property(fc.string(), fc.array(fc.tuple(lengths, fc.nat(30))), lengths, (text, broken, last) => {
      const streamed = new StreamedText();
      let read = "";
      for (const [cut, count] of broken) {
        streamed.begin();
        for (const piece of piecesOf(text, cut).slice(0, count)) read += streamed.next(piece);
      }
      streamed.begin();
      for (const piece of piecesOf(text, last)) read += streamed.next(piece);
      expect(read).toBe(text);
    }),
  );
});

test("a repeat that says something else is found out", () => {
  const streamed = new StreamedText();
  streamed.begin();
  expect(streamed.next("Hello wor")).toBe("Hello wor");
  streamed.begin();
  expect(streamed.next("Hello ")).toBe("");
  expect(streamed.next("moon")).toBeUndefined();
});
