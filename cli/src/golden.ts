/** Golden answers of a model: items with what they must give, and how far an answer may differ. Pure. */
import { itemOutputSchema, type ItemOutput, type ItemResult } from "@autoglm/api";
import { z } from "zod";
import { usageError } from "./exit-codes.ts";

export const goldenLineSchema = z.strictObject({
  text: z.string().optional(),
  fields: z.record(z.string(), z.string()).optional(),
  /** File beside golden.jsonl. */
  file: z
    .string()
    .regex(/^[\w.-]+$/)
    .optional(),
  parameters: z.record(z.string(), z.unknown()).optional(),
  /** Absent: to be recorded. */
  output: itemOutputSchema.optional(),
});
export type GoldenLine = z.infer<typeof goldenLineSchema>;

export function parseGolden(name: string, text: string): readonly GoldenLine[] {
  return text
    .split(/\r?\n/)
    .map((line, index) => ({ line, number: index + 1 }))
    .filter(({ line }) => line.trim() !== "")
    .map(({ line, number }) => {
      const parsed = goldenLineSchema.safeParse(jsonOf(line));
      if (parsed.success) return parsed.data;
      const [issue] = parsed.error.issues;
      throw usageError(`${name}, line ${number}: ${issue?.path.join(".") ?? ""} ${issue?.message ?? ""}`);
    });
}

function jsonOf(line: string): unknown {
  try {
    return JSON.parse(line);
  } catch {
    return undefined;
  }
}

/** The first difference between an answer and its golden one; undefined when there is none beyond the tolerance. */
export function differenceOf(
  result: ItemResult | undefined,
  golden: ItemOutput,
  tolerance: number,
): string | undefined {
  if (result?.output === undefined) return `no answer: ${result?.error?.message ?? "nothing came"}`;
  return difference(result.output, golden, tolerance, "output");
}

function difference(found: unknown, wanted: unknown, tolerance: number, path: string): string | undefined {
  if (typeof found === "number" && typeof wanted === "number") {
    const isClose = Math.abs(found - wanted) <= tolerance * Math.max(1, Math.abs(wanted));
    return isClose ? undefined : `${path} is ${found}, not ${wanted}`;
  }
  if (typeof found !== "object" || typeof wanted !== "object" || found === null || wanted === null) {
    return Object.is(found, wanted)
      ? undefined
      : `${path} is ${JSON.stringify(found)}, not ${JSON.stringify(wanted)}`;
  }
  if (Array.isArray(found) && Array.isArray(wanted) && found.length !== wanted.length) {
    return `${path} has ${found.length} elements, not ${wanted.length}`;
  }
  const [left, right] = [new Map(Object.entries(found)), new Map(Object.entries(wanted))];
  for (const key of new Set([...left.keys(), ...right.keys()])) {
    const found = difference(left.get(key), right.get(key), tolerance, `${path}.${key}`);
    if (found !== undefined) return found;
  }
  return undefined;
}
