import { z } from "zod";

/** Tables of tens of thousands of entries: their digest vouches for them, a check of every entry costs start time. */
export const table = <T>() =>
  z.custom<Readonly<Record<string, T>>>((value) => typeof value === "object" && value !== null);
export const list = <T>() => z.custom<readonly T[]>(Array.isArray);

/** Entry of a table as it was parsed: a Map of it would cost more start time than its look-ups save. */
export function lookUp<T>(table: Readonly<Record<string, T>>, key: string): T | undefined {
  return Object.hasOwn(table, key) ? table[key] : undefined;
}
