/** Documents that are text: charset, line ends, format, rows. */
import type { ParseContext } from "./context.ts";
import { decodeText } from "./decode.ts";
import { refuse, type Content, type Row } from "./items.ts";
import { readHtml, readMarkdown } from "./markup.ts";
import { peek } from "./peek.ts";
import {
  recogniseDeclaredTable,
  recogniseFormat,
  type RecognisedFormat,
  type TextFormat,
} from "./recognise.ts";
import { takeTexts } from "./take-texts.ts";
import { readJsonLines, readLines, readTable } from "./text-rows.ts";
import { MAX_VALUE_LENGTH, readValues, type ValueFormat } from "./values.ts";
import { fromWorker, oneText } from "./whole-document.ts";

const SAMPLE_LENGTH = 64 * 1024;
/** UTF-16 units that are parsed at once: a millisecond or two, where starting a thread takes fifty. */
const MAX_INLINE_LENGTH = 16 * 1024;

export async function* readText(
  source: AsyncIterable<Uint8Array>,
  context: ParseContext,
): AsyncGenerator<Content> {
  const pieces = await peekText(decodeText(source));
  try {
    if (pieces.sample.trim() === "" && pieces.complete) throw refuse("InputEmpty", "the input has no items");
    const { hasLoneReturns } = pieces;
    const sample = hasLoneReturns ? pieces.sample.replaceAll(/\r\n?/g, "\n") : pieces.sample;
    const recognised = formatOf(sample, pieces.complete, context);
    const text = hasLoneReturns ? withLineFeeds(pieces.all) : pieces.all;
    const { format } = recognised;
    const isOpen = format === "json" && context.format === "auto" && !pieces.complete;
    if (isOpen && !sample.includes("\n")) yield* readLongLine(text, context);
    else if (format === "json" || format === "yaml" || format === "xml")
      yield* readValueText(text, format, context);
    else yield* takeTexts(rowsOf(text, recognised, context), choiceOf(context));
  } finally {
    await pieces.close();
  }
}

const choiceOf = (context: ParseContext) => ({
  ...context.options,
  name: context.name,
  image: context.image,
  maxItemBytes: context.maxItemBytes,
});

function formatOf(sample: string, complete: boolean, { format }: ParseContext): RecognisedFormat {
  if (format === "csv" || format === "tsv") return recogniseDeclaredTable(sample, complete, format);
  if (isTextFormat(format)) return { format };
  const recognised = recogniseFormat(sample, complete);
  if (recognised !== undefined) return recognised;
  throw refuse(
    "InputFormatNotRecognised",
    "the input is binary and of no known kind; give text, csv, tsv, json, jsonl, xlsx, parquet, html, markdown, xml, pdf, docx, yaml, png, jpeg or webp, or a zip or tar of these",
  );
}

const TEXT_FORMATS: ReadonlySet<string> = new Set<TextFormat>([
  "text",
  "json",
  "jsonl",
  "html",
  "markdown",
  "xml",
  "yaml",
]);
const isTextFormat = (format: string): format is TextFormat => TEXT_FORMATS.has(format);

async function peekText(source: AsyncGenerator<string, void, undefined>) {
  let length = 0;
  const { head, complete, all, close } = await peek(
    source,
    (piece) => (length += piece.length) >= SAMPLE_LENGTH,
  );
  const start = head.join("");
  // Of the same length however the bytes were cut.
  const sample = start.slice(0, SAMPLE_LENGTH);
  return {
    sample,
    complete: complete && start.length <= SAMPLE_LENGTH,
    all,
    close,
    hasLoneReturns: /\r(?!\n)/.test(sample.slice(0, -1)),
  };
}

/** Line ends of old Macs, alone or mixed with others. */
async function* withLineFeeds(source: AsyncIterable<string>): AsyncGenerator<string> {
  let afterReturn = false;
  for await (const piece of source) {
    const rest = afterReturn && piece.startsWith("\n") ? piece.slice(1) : piece;
    if (piece !== "") afterReturn = piece.endsWith("\r");
    yield rest.replaceAll(/\r\n?/g, "\n");
  }
}

function rowsOf(
  text: AsyncIterable<string>,
  recognised: RecognisedFormat,
  context: ParseContext,
): AsyncGenerator<Row> {
  const { maxItemBytes, options } = context;
  const { format } = recognised;
  switch (format) {
    case "text":
      return readLines(text, maxItemBytes);
    case "jsonl":
      return readJsonLines(text, maxItemBytes);
    case "csv":
    case "tsv":
      return readTable(text, recognised, maxItemBytes);
    case "html":
      return prose(readHtml(text, maxItemBytes));
    case "markdown":
      return prose(readMarkdown(text, maxItemBytes));
    case "json":
    case "yaml":
    case "xml":
      throw new Error(`${format} is read as a whole`);
    default:
      return format satisfies never;
  }
  function prose(blocks: AsyncGenerator<Row>): AsyncGenerator<Row> {
    return options.unit === "document" ? oneText(blocks, maxItemBytes) : blocks;
  }
}

/** A first line that is longer than the sample: all of a JSON document, the beginning of one, or a record of JSON Lines. */
async function* readLongLine(
  source: AsyncGenerator<string, void, undefined>,
  context: ParseContext,
): AsyncGenerator<Content> {
  const first = new FirstLine();
  const { all, close } = await peek(source, (piece) => first.take(piece));
  try {
    if (first.isRecord || first.isTooLong) {
      const rows = readJsonLines(all, context.maxItemBytes);
      yield* takeTexts(first.isTooLong ? afterAnother(rows) : rows, choiceOf(context));
    } else yield* readValueText(all, "json", context);
  } finally {
    await close();
  }
}

/** Looks at a line and at what comes after it, piece by piece. */
class FirstLine {
  #length = 0;
  #last = "";
  #hasEnded = false;
  /** A value ends it and another begins after it, as in no JSON document. */
  isRecord = false;
  /** For a JSON document, which is read whole. */
  isTooLong = false;

  /** @returns whether it is clear what the line is */
  take(piece: string): boolean {
    const end = this.#hasEnded ? -1 : piece.indexOf("\n");
    if (!this.#hasEnded) {
      const part = piece.slice(0, end < 0 ? piece.length : end);
      this.#length += part.length;
      this.#last = part.trimEnd().at(-1) ?? this.#last;
      this.isTooLong = this.#length > MAX_VALUE_LENGTH;
      this.#hasEnded = end >= 0;
    }
    if (!this.#hasEnded) return this.isTooLong;
    const [next] = piece.slice(end + 1).trimStart();
    this.isRecord = next !== undefined && /[}\]"]/.test(this.#last) && /[{["]/.test(next);
    return next !== undefined;
  }
}

/** The first row is too long: alone it is a document that is too large. */
async function* afterAnother(rows: AsyncGenerator<Row, void, undefined>): AsyncGenerator<Row> {
  let seen = 0;
  const { head, complete, all } = await peek(rows, () => ++seen === 2);
  if (complete && head.length === 1) throw tooLarge("json");
  yield* all;
}

async function* readValueText(
  source: AsyncIterable<string>,
  format: ValueFormat,
  context: ParseContext,
): AsyncGenerator<Content> {
  let text = "";
  for await (const piece of source) {
    text += piece;
    if (text.length > MAX_VALUE_LENGTH) throw tooLarge(format);
  }
  if (text.length > MAX_INLINE_LENGTH) {
    yield* fromWorker(
      { format, at: { text }, maxItemBytes: context.maxItemBytes, wantsImages: false },
      context,
    );
  } else yield* takeTexts(elements(text, format), choiceOf(context));
}

function tooLarge(format: ValueFormat) {
  const mend =
    format === "json" ? "write it as jsonl, one value per line" : "convert it to jsonl or csv, or split it";
  return refuse(
    "InputTooLarge",
    `a ${format} document is read whole and may have ${MAX_VALUE_LENGTH} characters: ${mend}`,
  );
}

async function* elements(text: string, format: ValueFormat): AsyncGenerator<Row> {
  for (const [index, value] of readValues(text, format).entries())
    yield { value, place: `element ${index + 1}` };
}
