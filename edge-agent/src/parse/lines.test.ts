import * as fc from "fast-check";
import { expect, test } from "vitest";
import { splitLines, type Line } from "./lines.ts";

async function* inPieces(text: string, length: number): AsyncGenerator<string> {
  for (let at = 0; at < text.length; at += length) yield text.slice(at, at + length);
}

test("lines are those of a split at LF and CRLF, however the text was cut; longer ones come without their text", async () => {
  const text = fc.string({ unit: fc.constantFrom("a", "好", "\n", "\r", "\r\n"), maxLength: 60 });
  const size = fc.integer({ min: 1, max: 12 });
  await fc.assert(
    fc.asyncProperty(text, size, size, async (document, maxLength, pieceLength) => {
      const lines = document.split("\n").map((line) => line.replace(/\r$/, ""));
      // What stands behind the last line end is a line only if it holds something.
      if (document === "" || document.endsWith("\n")) lines.pop();
      const expected = lines.map((line, index): Line => {
        const number = index + 1;
        return line.length > maxLength ? { tooLong: true, number } : { text: line, number };
      });
      expect(await Array.fromAsync(splitLines(inPieces(document, pieceLength), maxLength))).toEqual(expected);
    }),
    { numRuns: 1000 },
  );
});
