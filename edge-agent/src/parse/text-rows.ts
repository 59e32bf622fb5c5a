/** Rows of the text formats that are read as they come: lines, JSON Lines, delimited tables. */
import { assertNever } from "@autoglm/api";
import { readCsvRows, type CsvProblem } from "./csv-rows.ts";
import { MAX_COLUMNS } from "./tables.ts";
import { invalid, refuse, tooLong, type ItemError, type Row } from "./items.ts";
import { splitLines } from "./lines.ts";

export async function* readLines(text: AsyncIterable<string>, maxItemBytes: number): AsyncGenerator<Row> {
  for await (const line of splitLines(text, maxItemBytes)) {
    const place = `line ${line.number}`;
    if ("tooLong" in line) yield { error: tooLong(maxItemBytes), place };
    else if (line.text.trim() !== "") yield { value: line.text, place };
  }
}

/** @param maxLineBytes of a line, which holds the other fields of its record too */
export async function* readJsonLines(text: AsyncIterable<string>, maxLineBytes: number): AsyncGenerator<Row> {
  for await (const row of readLines(text, maxLineBytes)) {
    if (!("value" in row)) yield row;
    else yield parseLine(String(row.value), row.place);
  }
}

function parseLine(line: string, place: string): Row {
  try {
    return { value: JSON.parse(line), place };
  } catch {
    // The reason that V8 gives quotes the input, and messages hold no input text.
    return { error: invalid("the line is not valid JSON; each line has to be one whole value"), place };
  }
}

function problemOf(problem: CsvProblem, maxItemBytes: number, maxRowLength: number): ItemError {
  switch (problem) {
    case "TooLong":
      return tooLong(maxItemBytes);
    case "Malformed":
      return invalid(
        `a quote of the row is not closed where a cell may end, within ${maxRowLength} characters; double the quotes inside a quoted cell`,
      );
    case "Hopeless":
      return invalid(
        "too many rows have a quote that is not closed: what follows is not read; double the quotes inside quoted cells, or give the input another format",
      );
    default:
      return assertNever(problem);
  }
}

export async function* readTable(
  text: AsyncIterable<string>,
  { delimiter, header }: { readonly delimiter: string; readonly header: boolean },
  maxItemBytes: number,
): AsyncGenerator<Row> {
  let names: readonly string[] | undefined;
  let number = 0;
  // The other cells of the row have a right to their place too.
  const maxRowLength = maxItemBytes * 2;
  for await (const row of readCsvRows(text, { delimiter, maxRowLength })) {
    const place = `row ${++number}`;
    if ("problem" in row) {
      yield { error: problemOf(row.problem, maxItemBytes, maxRowLength), place };
    } else if (names === undefined) {
      if (row.cells.length > MAX_COLUMNS) {
        throw refuse(
          "InputTooLarge",
          `a table may have ${MAX_COLUMNS} columns; the input has ${row.cells.length}, so leave out what the task does not need`,
        );
      }
      names = header ? row.cells.map((cell) => cell.trim()) : row.cells.map((_, index) => String(index + 1));
      if (!header) yield { value: recordOf(names, row.cells), place };
    } else if (row.cells.length !== names.length) {
      const problem = `the row has ${row.cells.length} cells, the first row ${names.length}; quote cells that hold the delimiter`;
      yield { error: invalid(problem), place };
    } else {
      yield { value: recordOf(names, row.cells), place };
    }
  }
}

function recordOf(names: readonly string[], cells: readonly string[]): Readonly<Record<string, unknown>> {
  return Object.fromEntries(names.map((name, index) => [name, cells[index]]));
}
