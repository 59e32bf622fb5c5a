/** Gold files of `autoglm gate eval`: JSON lines with a text and the label that a person gave it. */
import { readFile } from "node:fs/promises";
import path from "node:path";
import { seededRandom } from "@autoglm/core";
import { z } from "zod";
import { usageError } from "../exit-codes.ts";

const rowSchema = z.object({
  text: z.string(),
  label: z.string(),
  /** Absent: the command splits the rows, once for each seed. */
  split: z.enum(["calibration", "test"]).optional(),
});
export type GoldRow = z.infer<typeof rowSchema>;

export interface GoldFile {
  readonly path: string;
  readonly rows: readonly GoldRow[];
  /** Rows that said again what an earlier one said: they would be in both halves. */
  readonly duplicates: number;
}

/** @throws AutoglmError `InvalidOption` that names file, line and mend */
export async function readGold(file: string): Promise<GoldFile> {
  let content: string;
  try {
    content = await readFile(file, "utf8");
  } catch {
    throw usageError(
      `${file} can't be read`,
      "--gold takes files of JSON lines: models/build gate makes some",
    );
  }
  const rows = new Map<string, GoldRow>();
  let count = 0;
  for (const [index, line] of content.split("\n").entries()) {
    if (line.trim() === "") continue;
    count++;
    const row = parseRow(line);
    if (row === undefined) {
      throw usageError(
        `${path.basename(file)}, line ${index + 1}, is no gold row`,
        'a row is {"text": "…", "label": "…"}, with "split": "calibration" or "test" if it is to stay there',
      );
    }
    const key = keyOf(row.text);
    if (!rows.has(key)) rows.set(key, row);
  }
  return { path: file, rows: [...rows.values()], duplicates: count - rows.size };
}

function parseRow(line: string): GoldRow | undefined {
  try {
    return rowSchema.safeParse(JSON.parse(line)).data;
  } catch {
    return undefined;
  }
}

/** Texts that differ in width, case, spacing or punctuation alone are one; one of nothing else is itself. */
function keyOf(text: string): string {
  const normalized = text.normalize("NFKC").toLowerCase();
  return normalized.replaceAll(/[^\p{L}\p{N}]+/gu, "") || normalized;
}

export interface SplitRows<Row> {
  readonly calibration: readonly Row[];
  readonly test: readonly Row[];
}

/** As the rows say, or in halves drawn anew for each seed. @throws AutoglmError `InvalidOption` for a mixture */
export function splitsOf<Row extends Pick<GoldRow, "split">>(
  rows: readonly Row[],
  seeds: number,
  file: string,
): readonly SplitRows<Row>[] {
  const declared = rows.filter(({ split }) => split !== undefined).length;
  if (declared > 0 && declared < rows.length) {
    throw usageError(
      `${file}: ${rows.length - declared} of ${rows.length} rows name no split`,
      "all do, or none",
    );
  }
  if (rows.length < 2)
    throw usageError(`${file} has ${rows.length} rows; a gate can't be measured on so few`);
  if (declared > 0) {
    const of = (wanted: GoldRow["split"]) => rows.filter(({ split }) => split === wanted);
    return [{ calibration: of("calibration"), test: of("test") }];
  }
  return Array.from({ length: seeds }, (_, seed) => {
    const shuffled = shuffle(rows, seed + 1);
    const half = shuffled.length >> 1;
    return { calibration: shuffled.slice(0, half), test: shuffled.slice(half) };
  });
}

/** Fisher and Yates: the same order for the same seed on every machine. */
function shuffle<Row>(rows: readonly Row[], seed: number): Row[] {
  const shuffled = [...rows];
  const random = seededRandom(seed);
  for (let last = shuffled.length - 1; last > 0; last--) {
    const at = Math.floor(random() * (last + 1));
    const [one, other] = [shuffled[last], shuffled[at]];
    if (one !== undefined && other !== undefined) [shuffled[last], shuffled[at]] = [other, one];
  }
  return shuffled;
}
