/** Gold files: items with what is right, as jsonl, csv or tsv. Pure. */
import { TASK_TYPES, type TaskType } from "@autoglm/api";
import type { Gold } from "@autoglm/core";
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
  const items = content.trimStart().startsWith("{") ? jsonLines(content) : delimited(content);
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

function jsonLines(content: string) {
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

/** Columns by their names; quotes as in RFC 4180, lines within quotes are not taken. */
function delimited(content: string) {
  const [header = "", ...lines] = content.replace(/^\uFEFF/, "").split(/\r?\n/);
  const delimiter = header.includes("\t") ? "\t" : ",";
  const names = cellsOf(header, delimiter);
  return lines
    .map((text, index) => ({ text, line: index + 2 }))
    .filter(({ text }) => text.trim() !== "")
    .map(({ text, line }) => {
      const cells = cellsOf(text, delimiter);
      return { value: Object.fromEntries(names.map((name, index) => [name, cells[index]])), line };
    });
}

function cellsOf(line: string, delimiter: string): readonly string[] {
  const cells = line.match(new RegExp(`("([^"]|"")*"|[^${delimiter}]*)(${delimiter}|$)`, "g")) ?? [];
  return cells
    .slice(0, line.endsWith(delimiter) ? undefined : -1)
    .map((cell) => cell.replace(new RegExp(`${delimiter}$`), ""))
    .map((cell) => (cell.startsWith('"') ? cell.slice(1, -1).replaceAll('""', '"') : cell));
}
