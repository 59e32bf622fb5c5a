import type { z } from "zod";
import { AutoglmError } from "../errors.ts";

const encoder = new TextEncoder();
const decoder = new TextDecoder("utf-8", { fatal: true });

/** UTF-8 JSON with the keys in the order of the schema, so that equal messages have equal bytes. */
export function encodeMessage<S extends z.ZodType>(schema: S, message: z.output<S>): Uint8Array {
  return encoder.encode(JSON.stringify(check(schema, message)));
}

/**
 * Reads and checks a message.
 * @throws AutoglmError `InvalidMessage` for bytes that are no JSON or do not fit the schema
 */
export function decodeMessage<S extends z.ZodType>(schema: S, bytes: Uint8Array): z.output<S> {
  let value: unknown;
  try {
    value = JSON.parse(decoder.decode(bytes));
  } catch (cause) {
    throw new AutoglmError("InvalidMessage", "message is not UTF-8 JSON", { cause, retry: "never" });
  }
  return check(schema, value);
}

function check<S extends z.ZodType>(schema: S, value: unknown): z.output<S> {
  const parsed = schema.safeParse(value);
  if (parsed.success) return parsed.data;
  const first = parsed.error.issues[0];
  throw new AutoglmError(
    "InvalidMessage",
    `message does not fit its schema at ${first?.path.join(".") || "the top"}: ${first?.message ?? "unknown"}`,
    { cause: parsed.error, retry: "never" },
  );
}
