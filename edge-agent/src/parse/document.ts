/**
 * A document of any known format, bytes to items:
 *
 *     bytes → text (charset) → sample → format → rows → the field that holds the text → numbered items
 *
 * Numbers depend on the content alone, so that work resumes at the same item after a restart: every non-blank line, row
 * or array element has one, broken ones too. Memory is bounded by a chunk, a sample and one item; a JSON document, which
 * has to be read whole, by MAX_JSON_LENGTH.
 */
import { AutoglmError, assertNever, type InputFormat } from "@autoglm/api";
import { readCsvRows } from "./csv-rows.ts";
import { decodeText } from "./decode.ts";
import { chooseField } from "./fields.ts";
import { splitLines } from "./lines.ts";
import { recogniseDeclaredTable, recogniseFormat, type RecognisedFormat } from "./recognise.ts";

export type ParsedItem =
  | { readonly item: number; readonly text: string }
  | {
      readonly item: number;
      readonly error: { readonly code: "ItemInvalid" | "ItemTooLong"; readonly message: string };
    };

type ItemError = Extract<ParsedItem, { error: unknown }>["error"];
/** A line, row or element before the text is taken out of it. */
type Row = { readonly value: unknown } | { readonly error: ItemError };

const DEFAULT_MAX_ITEM_BYTES = 256 * 1024;
const SAMPLE_LENGTH = 64 * 1024;
/** Rows that decide which field holds the text. */
const FIELD_SAMPLE_ROWS = 20;
/** Twenty rows of a quarter of a million cells each would be a gigabyte of records. */
const MAX_COLUMNS = 4096;
/** UTF-16 units; JSON.parse of so much holds the event loop for some 0.2 s. */
const MAX_JSON_LENGTH = 32 * 1024 * 1024;

/**
 * Streams items out of a document; a broken line, row or element is an item with an error.
 * @param options.field the field or column that holds the text; default: see `inputField` of AutoGLMTask
 * @param options.maxItemBytes longest item in bytes of UTF-8, default 256 KiB
 * @throws AutoglmError `InputFormatNotRecognised`, `InputFieldNotFound`, `InputEmpty`, `InputTooLarge`
 */
export async function* parseDocument(
  source: AsyncIterable<Uint8Array>,
  options: { readonly format: InputFormat; readonly field?: string; readonly maxItemBytes?: number },
): AsyncGenerator<ParsedItem> {
  const maxItemBytes = options.maxItemBytes ?? DEFAULT_MAX_ITEM_BYTES;
  const { sample, complete, all } = await peekText(decodeText(source));
  if (sample.trim() === "" && complete) throw new AutoglmError("InputEmpty", "the input has no items");
  const recognised = formatOf(sample, complete, options.format);
  const rows = readRows(all, recognised, maxItemBytes);
  let item = 0;
  for await (const content of takeTexts(rows, options.field)) {
    if ("error" in content) yield { item, error: content.error };
    else if (isLongerThan(content.text, maxItemBytes)) yield { item, error: tooLong(maxItemBytes) };
    else yield { item, text: content.text };
    item++;
  }
  if (item === 0) throw new AutoglmError("InputEmpty", "the input has no items");
}

function formatOf(sample: string, complete: boolean, declared: InputFormat): RecognisedFormat {
  if (declared === "csv" || declared === "tsv") return recogniseDeclaredTable(sample, complete, declared);
  if (declared !== "auto") return { format: declared };
  const recognised = recogniseFormat(sample, complete);
  if (recognised !== undefined) return recognised;
  throw new AutoglmError(
    "InputFormatNotRecognised",
    "the input is binary: text, csv, tsv, json or jsonl is needed",
  );
}

interface Peeked<T> {
  readonly complete: boolean;
  /** What was read already, and the rest. */
  readonly all: AsyncIterable<T>;
}

async function peekText(
  source: AsyncGenerator<string>,
): Promise<Peeked<string> & { readonly sample: string }> {
  let length = 0;
  const { head, complete, all } = await peek(source, (piece) => (length += piece.length) >= SAMPLE_LENGTH);
  return { sample: head.join(""), complete, all };
}

/** Reads on until an element is enough or there are no more. */
async function peek<T>(
  source: AsyncGenerator<T>,
  enough: (element: T) => boolean,
): Promise<Peeked<T> & { readonly head: readonly T[] }> {
  const head: T[] = [];
  let complete = false;
  for (let done = false; !done;) {
    const next = await source.next();
    complete = next.done === true;
    done = next.done === true || (head.push(next.value), enough(next.value));
  }
  async function* replay(): AsyncGenerator<T> {
    try {
      yield* head;
      yield* source;
    } finally {
      // Ended early by the reader, the source below still has a file to close.
      await source.return(undefined);
    }
  }
  return { head, complete, all: replay() };
}

function readRows(
  text: AsyncIterable<string>,
  format: RecognisedFormat,
  maxItemBytes: number,
): AsyncGenerator<Row> {
  switch (format.format) {
    case "text":
      return readLines(text, maxItemBytes, (line) => ({ value: line }));
    case "jsonl":
      return readLines(text, maxItemBytes, parseLine);
    case "json":
      return readJson(text);
    case "csv":
    case "tsv":
      return readTable(text, format, maxItemBytes);
    default:
      return assertNever(format);
  }
}

async function* readLines(
  text: AsyncIterable<string>,
  maxItemBytes: number,
  read: (line: string) => Row,
): AsyncGenerator<Row> {
  for await (const line of splitLines(text, maxItemBytes)) {
    if ("tooLong" in line) yield { error: tooLong(maxItemBytes) };
    else if (line.text.trim() !== "") yield read(line.text);
  }
}

function parseLine(line: string): Row {
  try {
    return { value: JSON.parse(line) };
  } catch {
    // The reason that V8 gives quotes the input, and messages hold no input text.
    return { error: invalid("the line is not valid JSON") };
  }
}

/** An array, the only array of an object, or one value. */
async function* readJson(text: AsyncIterable<string>): AsyncGenerator<Row> {
  let document = "";
  for await (const piece of text) {
    document += piece;
    if (document.length <= MAX_JSON_LENGTH) continue;
    throw new AutoglmError(
      "InputTooLarge",
      `a JSON document is read whole and may have ${MAX_JSON_LENGTH} characters: write it as jsonl, one item per line`,
      { details: { limit: MAX_JSON_LENGTH } },
    );
  }
  const parsed = parseLine(document);
  if ("error" in parsed) {
    throw new AutoglmError("InputFormatNotRecognised", "the input starts like JSON, but is not valid JSON");
  }
  for (const value of elementsOf(parsed.value)) yield { value };
}

function elementsOf(value: unknown): readonly unknown[] {
  if (Array.isArray(value)) return value;
  if (!isRecord(value)) return [value];
  const arrays = Object.values(value).filter((member) => Array.isArray(member));
  return arrays.length === 1 ? (arrays[0] ?? []) : [value];
}

async function* readTable(
  text: AsyncIterable<string>,
  { delimiter, header }: { readonly delimiter: string; readonly header: boolean },
  maxItemBytes: number,
): AsyncGenerator<Row> {
  let names: readonly string[] | undefined;
  // The other cells of the row have a right to their place too.
  const maxRowLength = maxItemBytes * 2;
  for await (const row of readCsvRows(text, { delimiter, maxRowLength })) {
    if ("problem" in row) {
      yield {
        error:
          row.problem === "TooLong" ? tooLong(maxItemBytes) : invalid("a quote of the row is not closed"),
      };
    } else if (names === undefined) {
      if (row.cells.length > MAX_COLUMNS) {
        const message = `a table may have ${MAX_COLUMNS} columns; the input has ${row.cells.length}`;
        throw new AutoglmError("InputTooLarge", message, { details: { limit: MAX_COLUMNS } });
      }
      names = header ? row.cells.map((cell) => cell.trim()) : row.cells.map((_, index) => String(index + 1));
      if (!header) yield { value: recordOf(names, row.cells) };
    } else if (row.cells.length !== names.length) {
      yield { error: invalid(`the row has ${row.cells.length} cells, the first row ${names.length}`) };
    } else {
      yield { value: recordOf(names, row.cells) };
    }
  }
}

function recordOf(names: readonly string[], cells: readonly string[]): Readonly<Record<string, unknown>> {
  return Object.fromEntries(names.map((name, index) => [name, cells[index]]));
}

/** The text of each row, from the field that the first rows decide on. */
async function* takeTexts(
  rows: AsyncGenerator<Row>,
  wanted: string | undefined,
): AsyncGenerator<{ readonly text: string } | { readonly error: ItemError }> {
  let seen = 0;
  const { head, all } = await peek(rows, () => ++seen >= FIELD_SAMPLE_ROWS);
  const records = head.flatMap((row) => ("value" in row && isRecord(row.value) ? [row.value] : []));
  const plain = head.some((row) => "value" in row && typeof row.value === "string");
  if (wanted !== undefined && records.length === 0 && plain) {
    throw new AutoglmError(
      "InputFieldNotFound",
      "the items of the input are texts, not records: leave inputField out",
    );
  }
  let field = records.length > 0 ? chooseField(records, wanted) : undefined;
  for await (const row of all) {
    if ("error" in row) yield row;
    else if (isRecord(row.value)) yield takeField(row.value, (field ??= chooseField([row.value], wanted)));
    else if (typeof row.value === "string") yield { text: row.value };
    else yield { error: invalid(`the item is ${kindOf(row.value)}, not text`) };
  }
}

function takeField(record: Readonly<Record<string, unknown>>, field: string) {
  const value = record[field];
  if (typeof value === "string") return { text: value };
  return { error: invalid(`field ${field} is ${kindOf(value)}, not text`) };
}

function isRecord(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

function kindOf(value: unknown): string {
  if (value === undefined) return "missing";
  if (value === null) return "null";
  return Array.isArray(value) ? "a list" : `a ${typeof value}`;
}

/** Saves the count where it is clear: a UTF-16 unit is one to three bytes. */
function isLongerThan(text: string, bytes: number): boolean {
  return text.length > bytes || (text.length * 3 > bytes && Buffer.byteLength(text) > bytes);
}

const invalid = (message: string): ItemError => ({ code: "ItemInvalid", message });

const tooLong = (maxItemBytes: number): ItemError => ({
  code: "ItemTooLong",
  message: `the item is longer than ${maxItemBytes} bytes`,
});
