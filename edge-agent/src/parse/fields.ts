import { AutoglmError } from "@autoglm/api";

/** Names under which the text of an item is looked for, in this order, when the task names none. */
const TEXT_FIELDS = ["text", "review", "content", "sentence", "prompt", "input", "question"] as const;
const COLUMN_NAME = /^[\p{L}_][\p{L}\p{M}\p{N}_ .#/()-]*$/u;
const MAX_NAME_LENGTH = 64;
/** Numbers, dates, times, percentages, truth values: no text to work on. */
const NOT_PROSE = /^([\d.,:/\s%+-]*|true|false|null)$/i;

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
 * The field that holds the text: the one that the task names, else the first of the well-known names, else the only one
 * whose values are mostly prose.
 * @param records a sample
 * @throws AutoglmError `InputFieldNotFound` with the fields that there are
 */
export function chooseField(records: readonly Readonly<Record<string, unknown>>[], wanted?: string): string {
  const names = [...new Set(records.flatMap((record) => Object.keys(record)))];
  if (wanted !== undefined) {
    if (names.includes(wanted)) return wanted;
    throw fieldNotFound(names, `the input has no field ${wanted}`);
  }
  for (const known of TEXT_FIELDS) {
    const name = names.find((name) => plainName(name) === known);
    if (name !== undefined) return name;
  }
  const prose = names.filter((name) => isProse(records.map((record) => record[name])));
  const [only] = prose;
  if (only !== undefined && prose.length === 1) return only;
  throw fieldNotFound(names, `${prose.length === 0 ? "no" : "more than one"} field of the input holds text`);
}

function isProse(values: readonly unknown[]): boolean {
  const filled = values.filter((value) => value !== undefined && value !== null && value !== "");
  const texts = filled.filter((value) => typeof value === "string" && !NOT_PROSE.test(value.trim()));
  return texts.length > 0 && texts.length >= filled.length / 2;
}

function fieldNotFound(names: readonly string[], problem: string): AutoglmError {
  const fields = names.slice(0, 20).map((name) => name.slice(0, MAX_NAME_LENGTH));
  return new AutoglmError("InputFieldNotFound", `${problem}: set inputField to one of ${fields.join(", ")}`, {
    details: { fields },
  });
}
