/**
 * Rows of delimited text as RFC 4180 has them: cells in quotes may hold delimiters, line ends and doubled quotes.
 *
 *     cell start --"--> quoted --"--> after quote --delimiter/line end--> cell start
 *         |                ^-----"-----'
 *         '--other--> plain --delimiter/line end--> cell start
 *
 * One bad row must fail alone. So a quote that is never closed (or not within `maxRowLength`), and text after a closing
 * quote, make an error of the first line of that row, and reading goes on at the next line: csv-parse would end there or
 * swallow what follows. A quote inside a plain cell is an ordinary character.
 *
 * Rows depend on the text alone, not on how it was cut: what is beyond `maxRowLength` counts as not there, even where the
 * piece happens to hold it.
 *
 * A quote that is never closed was looked for up to the limit, of which one line is given up and the rest is looked at again.
 * A text with one on every line would take that for each of them: after so many limits' worth the table ends, with a row
 * that says so.
 */

export type CsvProblem = "Malformed" | "TooLong" | "Hopeless";
export type CsvRow = { readonly cells: readonly string[] } | { readonly problem: CsvProblem };

/** Text that had to be looked at again, in lengths of the longest row. */
const MAX_SCANNED_IN_VAIN = 64;

interface Scan {
  readonly row: CsvRow;
  /** Offset behind the row's line end. */
  readonly end: number;
}

/** Takes text in pieces, gives rows; blank lines are not rows. Holds at most `maxRowLength` UTF-16 units and a piece. */
export class CsvRowScanner {
  readonly #delimiter: string;
  readonly #maxRowLength: number;
  #buffer = "";
  /** Length from which on the buffer is looked at again: twice what it was, so that all looks together stay linear. */
  #scanLength = 0;
  #skipping = false;
  /** UTF-16 units behind lines that were given up. */
  #scannedInVain = 0;

  constructor(options: { readonly delimiter: string; readonly maxRowLength: number }) {
    this.#delimiter = options.delimiter;
    this.#maxRowLength = options.maxRowLength;
  }

  /** A row with the problem "Hopeless" was the last. */
  get isOver(): boolean {
    return this.#scannedInVain > MAX_SCANNED_IN_VAIN * this.#maxRowLength;
  }

  /** Rows that are complete with this piece; `ended` says that no other follows. */
  *push(piece: string, ended: boolean): Generator<CsvRow> {
    const text = this.#buffer + piece;
    this.#buffer = text;
    if (text.length < this.#scanLength && !ended) return;
    let from = 0;
    while (from < text.length) {
      if (this.#skipping) {
        const end = text.indexOf("\n", from);
        this.#skipping = end < 0;
        from = end < 0 ? text.length : end + 1;
        continue;
      }
      const scan = this.#scan(text, from, ended);
      if (scan === undefined) break;
      if (this.isOver) {
        yield { problem: "Hopeless" };
        return;
      }
      if (!isBlank(scan.row)) yield scan.row;
      from = scan.end;
    }
    this.#buffer = text.slice(from);
    this.#scanLength = Math.min(this.#buffer.length * 2, this.#maxRowLength + 1);
  }

  #scan(text: string, from: number, ended: boolean): Scan | undefined {
    const scan = scanRow(text, from, this.#delimiter, ended);
    if (scan !== undefined && scan.end - from <= this.#maxRowLength) return scan;
    const mayStillEnd = scan === undefined && text.length - from <= this.#maxRowLength;
    return mayStillEnd && !ended ? undefined : this.#endless(text, from);
  }

  /** A row without an end within the limit: its first line is given up, because of an open quote or because it is too long. */
  #endless(text: string, from: number): Scan {
    const lineEnd = text.indexOf("\n", from);
    const end = lineEnd < 0 ? text.length : lineEnd + 1;
    if (end - from <= this.#maxRowLength) {
      this.#scannedInVain += Math.min(text.length, from + this.#maxRowLength) - end;
      return { row: { problem: "Malformed" }, end };
    }
    this.#skipping = lineEnd < 0;
    return { row: { problem: "TooLong" }, end };
  }
}

/** Streams the rows of a text. */
export async function* readCsvRows(
  source: AsyncIterable<string>,
  options: { readonly delimiter: string; readonly maxRowLength: number },
): AsyncGenerator<CsvRow> {
  const scanner = new CsvRowScanner(options);
  for await (const piece of source) {
    yield* scanner.push(piece, false);
    if (scanner.isOver) return;
  }
  yield* scanner.push("", true);
}

function isBlank(row: CsvRow): boolean {
  return "cells" in row && row.cells.length === 1 && row.cells[0] === "";
}

/** The row at `start`; undefined when its end is not in the text. */
function scanRow(text: string, start: number, delimiter: string, ended: boolean): Scan | undefined {
  const cells: string[] = [];
  for (let at = start; ;) {
    const cell = text[at] === '"' ? quotedCell(text, at) : plainCell(text, at, delimiter);
    if (cell === undefined) return undefined;
    cells.push(cell.text);
    if (text[cell.end] === delimiter) {
      at = cell.end + 1;
      continue;
    }
    const lineEnd = text.slice(cell.end, cell.end + 2);
    if (lineEnd[0] === "\n") return { row: { cells }, end: cell.end + 1 };
    if (lineEnd === "\r\n") return { row: { cells }, end: cell.end + 2 };
    if (lineEnd === "" || lineEnd === "\r") {
      return ended ? { row: { cells }, end: text.length } : undefined;
    }
    const next = text.indexOf("\n", start);
    if (next < 0 && !ended) return undefined;
    return { row: { problem: "Malformed" }, end: next < 0 ? text.length : next + 1 };
  }
}

interface Cell {
  readonly text: string;
  /** Offset of the delimiter or line end behind it. */
  readonly end: number;
}

function quotedCell(text: string, start: number): Cell | undefined {
  let at = text.indexOf('"', start + 1);
  while (at >= 0 && text[at + 1] === '"') at = text.indexOf('"', at + 2);
  if (at < 0) return undefined;
  return { text: text.slice(start + 1, at).replaceAll('""', '"'), end: at + 1 };
}

function plainCell(text: string, start: number, delimiter: string): Cell {
  let end = start;
  while (end < text.length && text[end] !== delimiter && text[end] !== "\n") end++;
  if (end > start && text[end - 1] === "\r" && text[end] !== delimiter) end--;
  return { text: text.slice(start, end), end };
}
