import * as fc from "fast-check";
import { describe, expect, test } from "vitest";
import { readCsvRows, type CsvRow } from "./csv-rows.ts";

async function* inPieces(text: string, length: number): AsyncGenerator<string> {
  for (let at = 0; at < text.length; at += length) yield text.slice(at, at + length);
}

const rowsOf = (text: string, maxRowLength: number, pieceLength = Infinity): Promise<CsvRow[]> =>
  Array.fromAsync(readCsvRows(inPieces(text, pieceLength), { delimiter: ",", maxRowLength }));

const told = (row: CsvRow) => ("cells" in row ? row.cells.join("|") : row.problem);

describe("what has no end within the limit costs its first line alone", () => {
  test.each<[name: string, text: string, rows: string[]]>([
    ["a row of the longest length", "123456789\nb\n", ["123456789", "b"]],
    ["a longer row", "1234567890\nb\n", ["TooLong", "b"]],
    ["a longer row at the end", "b\n12345678901", ["b", "TooLong"]],
    ["a quoted cell over lines", '"a\nb\nc"\nd\n', ["a\nb\nc", "d"]],
    ["a longer quoted cell over lines", '"a\nb\nc\nd\ne"\nf\n', ["Malformed", "b", "c", "d", 'e"', "f"]],
    ["a longer quoted cell on a line", '"123456789"\nb\n', ["TooLong", "b"]],
    ["an open quote", 'a,"b\nc\n', ["Malformed", "c"]],
    ["text behind a quote, far off", '"a"bcdefghijkl\nb\n', ["TooLong", "b"]],
  ])("%s", async (_, text, rows) => {
    expect((await rowsOf(text, 10)).map(told)).toEqual(rows);
    expect((await rowsOf(text, 10, 1)).map(told)).toEqual(rows);
  });
});

test("a text with an open quote on every line ends before it takes all day", async () => {
  const rows = await rowsOf('",a","b\n'.repeat(200_000), 512 * 1024, 64 * 1024);
  expect(rows.length).toBeGreaterThan(64);
  expect(rows.length).toBeLessThan(200);
  expect(rows.map(told).findIndex((row) => row === "Hopeless")).toBe(rows.length - 1);
});

test("any number of rows that are too long cost themselves alone", async () => {
  const rows = await rowsOf("12345678901\n".repeat(100) + "a,b\n", 10);
  expect(rows.map(told)).toEqual([...Array<string>(100).fill("TooLong"), "a|b"]);
});

test("rows depend on the text and the limit, not on how the text was cut", async () => {
  const text = fc.string({ unit: fc.constantFrom("a", "b", '"', ",", "\n", "\r"), maxLength: 80 });
  await fc.assert(
    fc.asyncProperty(
      text,
      fc.integer({ min: 1, max: 30 }),
      fc.integer({ min: 1, max: 20 }),
      async (csv, maxRowLength, pieceLength) => {
        expect(await rowsOf(csv, maxRowLength, pieceLength)).toEqual(await rowsOf(csv, maxRowLength));
      },
    ),
    { numRuns: 2000 },
  );
});
