import { AutoglmError } from "@autoglm/api";

/** Names under which the text of an item is looked for, in this order, when the task names none. */
const TEXT_FIELDS = [
  "text",
  "review",
  "content",
  "sentence",
  "prompt",
  "input",
  "question",
  "comment",
  "message",
  "文本",
  "内容",
  "正文",
  "评论",
  "评价",
  "句子",
] as const;
const COLUMN_NAME = /^[\p{L}_][\p{L}\p{M}\p{N}_ .#/()-]*$/u;
const MAX_NAME_LENGTH = 64;
/** Numbers, dates, times, percentages, truth values: no text to work on. */
const NOT_PROSE = /^([\d.,:/\s%+-]*|true|false|null)$/i;
/** Addresses, identifiers, paths: one long word. No part may match what the next one begins with: cells come from anyone. */
const ONE_WORD_CODE =
  /^(https?:\/\/\S+|[^\s@]+@[^\s@.]+(\.[^\s@.]+)+|[\w.-]+([/\\][\w.-]+)+|[0-9a-f]{8}-[0-9a-f-]{27}|[0-9a-f]{16,})$/i;
/** Longer than any address or path. */
const MAX_CODE_LENGTH = 8 * 1024;
/** How much more text-like the best column has to be than the next to be taken without being named. */
const CLEAR_LEAD = 2;

type Records = readonly Readonly<Record<string, unknown>>[];

const plainName = (name: string) => name.trim().toLowerCase();

/** True for one of the well-known names, in any case. */
export function namesTextField(name: string): boolean {
  return (TEXT_FIELDS as readonly string[]).includes(plainName(name));
}

/** True for a row that can only be names of columns: short, distinct words, none of them a number. */
export function isHeader(cells: readonly string[]): boolean {
  return (
    cells.length > 0 &&
    new Set(cells).size === cells.length &&
    cells.every((cell) => cell.length <= MAX_NAME_LENGTH && COLUMN_NAME.test(cell))
  );
}

/**
 * The field that holds the text: the one that the task names, else the first of the well-known names, else the one whose
 * values are most like prose, when no other comes near it.
 * @param records a sample
 * @param known names to look for before the well-known ones
 * @throws AutoglmError `InputFieldNotFound` with the fields that there are
 */
export function chooseField(records: Records, wanted?: string, known: readonly string[] = []): string {
  const names = [...new Set(records.flatMap((record) => Object.keys(record)))];
  if (wanted !== undefined) {
    if (names.includes(wanted)) return wanted;
    throw fieldNotFound(names, `the input has no field ${wanted}`);
  }
  const named = findName(names, [...known, ...TEXT_FIELDS]);
  if (named !== undefined) return named;
  const ranked = names
    .map((name) => ({ name, likeness: proseLikeness(records.map((record) => record[name])) }))
    .filter(({ likeness }) => likeness > 0)
    .sort((a, b) => b.likeness - a.likeness);
  const [best, next] = ranked;
  if (best !== undefined && best.likeness >= (next?.likeness ?? 0) * CLEAR_LEAD) return best.name;
  throw fieldNotFound(names, `${best === undefined ? "no" : "more than one"} field of the input holds text`);
}

/** The first of `wanted` that is among the names, in any case. */
export function findName(names: readonly string[], wanted: readonly string[]): string | undefined {
  for (const one of wanted) {
    const name = names.find((name) => plainName(name) === plainName(one));
    if (name !== undefined) return name;
  }
  return undefined;
}

/**
 * 0 for values that are mostly no prose. Else larger the longer and the more varied they are: labels are short and
 * repeat, titles are shorter than what they stand above. A Han character counts for three letters.
 */
function proseLikeness(values: readonly unknown[]): number {
  const filled = values.filter((value) => value !== undefined && value !== null && value !== "");
  const texts = filled.filter(
    (value) => typeof value === "string" && !NOT_PROSE.test(value.trim()) && !isOneWordCode(value.trim()),
  );
  if (texts.length === 0 || texts.length < filled.length / 2) return 0;
  const letters = texts.map(
    (text) => String(text).length + 2 * (String(text).match(/\p{Script=Han}/gu)?.length ?? 0),
  );
  const mean = letters.reduce((sum, length) => sum + length, 0) / texts.length;
  return mean * (new Set(texts).size / texts.length);
}

const isOneWordCode = (text: string) => text.length <= MAX_CODE_LENGTH && ONE_WORD_CODE.test(text);

function fieldNotFound(names: readonly string[], problem: string): AutoglmError {
  const fields = names.slice(0, 20).map((name) => name.slice(0, MAX_NAME_LENGTH));
  return new AutoglmError("InputFieldNotFound", `${problem}: set inputField to one of ${fields.join(", ")}`, {
    details: { fields },
  });
}
