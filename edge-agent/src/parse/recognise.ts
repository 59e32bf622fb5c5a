import type { InputFormat } from "@autoglm/api";
import { CsvRowScanner } from "./csv-rows.ts";
import { isHeader, namesTextField } from "./fields.ts";
import { recogniseMarkup } from "./recognise-markup.ts";

export type TextFormat = Extract<
  InputFormat,
  "text" | "json" | "jsonl" | "html" | "markdown" | "xml" | "yaml"
>;
export type RecognisedFormat =
  | { readonly format: TextFormat }
  | { readonly format: "csv" | "tsv"; readonly delimiter: string; readonly header: boolean };

const DELIMITERS = ["\t", ",", ";", "|"] as const;
/** Rows that decide whether a text is a table. */
const SAMPLE_ROWS = 50;
/** Part of these rows that must have as many cells as the first: broken ones don't change the format. */
const AGREEING = { withTextField: 0.5, otherwise: 0.8 };
/** Control characters that no text has; tab, line ends, form feed and escape are not among them. */
// oxlint-disable-next-line no-control-regex -- they are what it looks for
const BINARY = /[\0-\x08\x0e-\x1a\x1c-\x1f]/g;

/**
 * Recognises the format of a text by its content. Total: every text gives a format or `undefined`.
 * @param sample the beginning of the text
 * @param complete whether the sample is all of it
 */
export function recogniseFormat(sample: string, complete: boolean): RecognisedFormat | undefined {
  if ((sample.match(BINARY)?.length ?? 0) > sample.length / 1000) return undefined;
  const markup = recogniseMarkup(sample, complete);
  return (
    recogniseJson(sample, complete) ??
    (markup === "html" || markup === "xml" ? { format: markup } : undefined) ??
    recogniseTable(sample, complete, DELIMITERS) ??
    (markup === undefined ? { format: "text" } : { format: markup })
  );
}

/** The delimiter of a text that is a table by declaration, and whether its first row names the columns. */
export function recogniseDeclaredTable(
  sample: string,
  complete: boolean,
  format: "csv" | "tsv",
): RecognisedFormat {
  const delimiters = format === "tsv" ? (["\t"] as const) : DELIMITERS;
  const found = recogniseTable(sample, complete, delimiters);
  if (found !== undefined) return { ...found, format };
  const [widest = delimiters[0]] = delimiters
    .map((delimiter) => ({ delimiter, cells: firstRows(sample, complete, delimiter)[0]?.length ?? 0 }))
    .sort((a, b) => b.cells - a.cells)
    .map(({ delimiter }) => delimiter);
  const first = firstRows(sample, complete, widest)[0] ?? [];
  return { format, delimiter: widest, header: isHeader(first) };
}

/**
 * One JSON value per line is JSON Lines, also where some lines are broken; else what starts like an array of texts or
 * objects or like an object is JSON, which the reader may still find broken. `[1] a footnote` is text.
 */
function recogniseJson(sample: string, complete: boolean): RecognisedFormat | undefined {
  const start = sample.trimStart();
  if (!/^(\{\s*["}]|\[\s*[[{"\]])/.test(start)) {
    return complete && isJsonText(start) ? { format: "json" } : undefined;
  }
  const lines = start.split("\n").filter((line) => line.trim() !== "");
  const areSeveral = lines.length > 1;
  if (!complete && areSeveral) lines.pop();
  const judged = lines.slice(0, SAMPLE_ROWS);
  const whole = judged.filter((line) => /^\s*[{["]/.test(line) && isJson(line)).length;
  return { format: areSeveral && whole >= judged.length / 2 ? "jsonl" : "json" };
}

function isJson(text: string): boolean {
  try {
    JSON.parse(text);
    return true;
  } catch {
    return false;
  }
}

const isJsonText = (text: string) => text.startsWith('"') && isJson(text);

/** A table has a row of column names and rows of as many cells; one column alone needs a well-known name. */
function recogniseTable(
  sample: string,
  complete: boolean,
  delimiters: readonly string[],
): (RecognisedFormat & { format: "csv" | "tsv" }) | undefined {
  const candidates = delimiters.flatMap((delimiter) => {
    const [header = [], ...rows] = firstRows(sample, complete, delimiter);
    const known = header.some(namesTextField);
    if (!isHeader(header) || (!known && (header.length < 2 || rows.length === 0))) return [];
    const agreeing = rows.filter((row) => row?.length === header.length).length;
    if (agreeing < rows.length * AGREEING[known ? "withTextField" : "otherwise"]) return [];
    return [{ delimiter, rank: (known ? 1000 : 0) + header.length }];
  });
  const best = candidates.sort((a, b) => b.rank - a.rank)[0];
  if (best === undefined) return undefined;
  return { format: best.delimiter === "\t" ? "tsv" : "csv", delimiter: best.delimiter, header: true };
}

/** Cells of the first rows; undefined stands for a broken one. */
function firstRows(sample: string, complete: boolean, delimiter: string): (readonly string[] | undefined)[] {
  const rows: (readonly string[] | undefined)[] = [];
  const scanner = new CsvRowScanner({ delimiter, maxRowLength: sample.length });
  for (const row of scanner.push(sample, complete)) {
    if (rows.push("cells" in row ? row.cells : undefined) === SAMPLE_ROWS) break;
  }
  return rows;
}
