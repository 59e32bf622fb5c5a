/**
 * Documents larger than memory, each in a process with a small heap: that it lives to tell is the test, and what it tells
 * has to be all items and one clear error for the part that is too long.
 *
 * AUTOGLM_TEST_INPUT_MIB=2048 runs the tables of 2 GiB; the short form is 256 MiB, more than what the process may hold.
 */
import { execFile } from "node:child_process";
import { join } from "node:path";
import { promisify } from "node:util";
import { expect, test } from "vitest";
import type { LargeDocument } from "./large-documents.ts";
import type { StreamOutcome } from "./stream-process.ts";

const TABLE_MIB = Number(process.env["AUTOGLM_TEST_INPUT_MIB"] ?? "256");
const TEST_MS = 60_000 + TABLE_MIB * 500;
const HEAP_MIB = 96;
/** The heap, what V8 keeps free beside it, and buffers. Measured: 15 to 125 MiB here, 143 MiB after 2 GiB. */
const MAX_GROWN_MIB = 200;

async function streamed(name: LargeDocument, mebibytes: number): Promise<StreamOutcome> {
  const { stdout } = await promisify(execFile)(process.execPath, [
    `--max-old-space-size=${HEAP_MIB}`,
    join(import.meta.dirname, "stream-process.ts"),
    name,
    String(mebibytes),
  ]);
  return JSON.parse(stdout) as StreamOutcome;
}

test.each(["csv", "jsonl"] as const)(
  "a %s of hundreds of MiB in constant memory, every row an item",
  async (format) => {
    const { texts, errors, lastItem, lastText, grownMebibytes } = await streamed(format, TABLE_MIB);
    expect(texts).toBeGreaterThan(TABLE_MIB * 5000);
    expect(errors).toBe(0);
    expect(lastItem).toBe(texts - 1);
    expect(lastText).toMatch(new RegExp(`^The "blue" room was clean,\nthe staff .* ${texts - 1}$`));
    expect(grownMebibytes).toBeLessThan(MAX_GROWN_MIB);
  },
  TEST_MS,
);

const itemTooLong = (place: string) =>
  expect.stringContaining(`ItemTooLong: large, ${place}: the item is longer`);
const wholeTooLarge = (format: string) =>
  expect.stringContaining(`thrown InputTooLarge: large: a ${format} document is read whole`);

test.each<[name: LargeDocument, mebibytes: number, outcomes: readonly unknown[]]>([
  ["text with a long line", 1024, ["first", itemTooLong("line 2"), "last"]],
  ["jsonl with a long line", 1024, ["first", "second", itemTooLong("line 3"), "last"]],
  ["jsonl of one long line", 1024, [itemTooLong("line 1"), "last"]],
  ["csv with a long cell", 1024, ["first", itemTooLong("row 3"), "last"]],
  ["csv with a long quoted cell", 1024, ["first", itemTooLong("row 3"), "last"]],
  ["markdown with a long line", 1024, ["first", "second", "third", itemTooLong("line 6"), "last"]],
  ["html with a long paragraph", 256, ["first", itemTooLong("block 2"), "last"]],
  [
    "html with a long attribute",
    1024,
    [
      "first",
      expect.stringContaining("InputTooLarge: large, block 2: a tag or comment of the page has no end"),
    ],
  ],
  ["a long JSON text", 1024, [wholeTooLarge("json")]],
  ["a long XML element", 1024, [wholeTooLarge("xml")]],
])("%s of %i MiB", async (name, mebibytes, expected) => {
  const { outcomes, grownMebibytes } = await streamed(name, mebibytes);
  expect(outcomes).toEqual(expected);
  expect(grownMebibytes).toBeLessThan(MAX_GROWN_MIB);
});
