/** Gold files: items with what is right, as jsonl, csv or tsv. Pure. */
import { TASK_TYPES, type TaskType } from "@autoglm/api";
import type { Gold } from "@autoglm/core";
import { CsvError, parse } from "csv-parse/sync";
import { z } from "zod";
import { usageError } from "./exit-codes.ts";

const goldLineSchema = z.looseObject({
  text: z.string().optional(),
  context: z.string().optional(),
  question: z.string().optional(),
  fields: z.record(z.string(), z.string()).optional(),
  file: z.string().optional(),
  label: z.union([z.string(), z.number(), z.boolean()]).transform(String).optional(),
  answer: z.string().optional(),
  summary: z.string().optional(),
  target: z.string().optional(),
  entities: z.array(z.object({ entity_group: z.string(), start: z.int(), end: z.int() })).optional(),
  relations: z.array(z.object({ head: z.string(), relation: z.string(), tail: z.string() })).optional(),
});

export interface GoldItem {
  readonly text: string;
  readonly fields?: Readonly<Record<string, string>> | undefined;
  readonly file?: string | undefined;
  readonly gold: Gold;
}

interface GoldLine {
  readonly value: unknown;
  readonly line: number;
}

/** What the gold of a type is called in a line. */
const GOLD_FIELD: Partial<Record<TaskType, string>> = {
  "text-classification": "label",
  "zero-shot-classification": "label",
  "image-classification": "label",
  "image-text-matching": "label",
  "token-classification": "entities",
  "relation-extraction": "relations",
  "question-answering": "answer",
  summarization: "summary",
  "text-generation": "target",
  "image-to-text": "target",
  "automatic-speech-recognition": "target",
};
const JUDGED_TYPES = TASK_TYPES.filter((type) => GOLD_FIELD[type] !== undefined);

/** @throws AutoglmError of usage, naming file and line */
export function parseGold(name: string, content: string, type: TaskType): readonly GoldItem[] {
  const field = GOLD_FIELD[type];
  if (field === undefined) {
    throw usageError(
      `answers of ${type} can't be judged by gold; types that can: ${JUDGED_TYPES.join(", ")}`,
    );
  }
  const items = content.trimStart().startsWith("{") ? jsonLines(content) : delimited(name, content);
  if (items.length === 0) throw usageError(`${name} holds no items`);
  return items.map(({ value, line }) => {
    const parsed = goldLineSchema.safeParse(value);
    if (!parsed.success) {
      const [issue] = parsed.error.issues;
      throw usageError(
        `${name}, line ${line}: ${issue?.path.join(".") ?? ""} ${issue?.message ?? "is no item"}`,
      );
    }
    const { text, context, question, fields, file, label, answer, summary, target, entities, relations } =
      parsed.data;
    if (parsed.data[field] === undefined)
      throw usageError(`${name}, line ${line}: has no ${field}, the gold of ${type}`);
    const own = { ...fields, ...(question !== undefined && { question }) };
    return {
      text: text ?? context ?? "",
      ...(Object.keys(own).length > 0 && { fields: own }),
      ...(file !== undefined && { file }),
      gold: { label, entities, relations, text: answer ?? summary ?? target },
    };
  });
}

function jsonLines(content: string): readonly GoldLine[] {
  return content
    .split(/\r?\n/)
    .map((text, index) => ({ text, line: index + 1 }))
    .filter(({ text }) => text.trim() !== "")
    .map(({ text, line }) => {
      try {
        return { value: JSON.parse(text) as unknown, line };
      } catch {
        return { value: undefined, line };
      }
    });
}

/** Columns by their names, quotes as in RFC 4180. @throws AutoglmError of usage, naming file and line */
function delimited(name: string, content: string): readonly GoldLine[] {
  const header = /^.*\S.*$/m.exec(content)?.[0] ?? "";
  const delimiter = header.includes("\t") ? "\t" : ",";
  let nextLine = 1;
  try {
    // csv-parse counts a \r\n within quotes as two lines.
    return parse<GoldLine, Readonly<Record<string, string>>>(content.replaceAll("\r\n", "\n"), {
      bom: true,
      delimiter,
      record_delimiter: "\n",
      columns: (names: readonly string[]) => {
        nextLine = 2;
        return [...names];
      },
      relax_quotes: true,
      relax_column_count_less: true,
      skip_empty_lines: true,
      skip_records_with_empty_values: true,
      on_record: (value, { lines }) => {
        nextLine = lines + 1;
        return { value, line: lines - Object.values(value).join("").split("\n").length + 1 };
      },
    });
  } catch (cause) {
    if (!(cause instanceof CsvError)) throw cause;
    if (cause.code === "CSV_RECORD_INCONSISTENT_COLUMNS") {
      const what = delimiter === "," ? "comma" : "tab";
      throw usageError(
        `${name}, line ${String(cause["lines"])}: has more cells than the header; put a cell that holds a ${what} in quotes`,
      );
    }
    // The parser names the line where it stopped; a quote left open takes it to the end of the file.
    const problem =
      cause.code === "CSV_QUOTE_NOT_CLOSED"
        ? "a quote that opens here is never closed; close it, and double the quotes inside"
        : cause.message;
    throw usageError(`${name}, line ${nextLine}: ${problem}`);
  }
}
