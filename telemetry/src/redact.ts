/**
 * What may leave the process in a log line. Two kinds of things never do: secrets (seeds, tokens, JWTs) and what
 * users work on (input and result text). Keys decide first, at any depth; then every string is searched for
 * secrets that got into a sentence, such as the message of a foreign error.
 */
import { isAutoglmError } from "@autoglm/api";

const SECRET_KEY = /(seed|token|jwt|creds|password|secret|authorization|cookie|api_?key|private_?key)$/i;
const CONTENT_KEY =
  /^(text|texts|input|inputs|inline|output|outputs|prompt|question|context|sample|word|generated_?text|body|payload)$/i;

const SECRETS_IN_TEXT: readonly (readonly [RegExp, string])[] = [
  [/\beyJ[\w-]+\.[\w-]+\.[\w-]+/g, "[jwt]"],
  // nkeys: prefix S, the kind of key, 56 characters of base32.
  [/\bS[ACNOUX][A-Z2-7]{56}\b/g, "[seed]"],
  [/\b(bearer|basic)\s+[\w.~+/=-]+/gi, "$1 [token]"],
  [/(\/\/)[^/\s@]+@/g, "$1[credentials]@"],
];

/** Deeper than any object that we log on purpose. */
const MAX_DEPTH = 8;

/** A pattern's time grows faster than its text, and texts come from others too. */
const MAX_TEXT_LENGTH = 8192;

/** The text without the secrets that can be recognised by their form, cut where it is too long for a log line. */
export function redactText(text: string): string {
  let clean = text;
  if (text.length > MAX_TEXT_LENGTH) {
    // Between words, so that half a secret is not left where no pattern knows it.
    const end = Math.max(text.lastIndexOf(" ", MAX_TEXT_LENGTH), 0);
    clean = `${text.slice(0, end)} …`;
  }
  for (const [pattern, replacement] of SECRETS_IN_TEXT) clean = clean.replace(pattern, replacement);
  return clean;
}

/** A copy that is safe to log and to serialise: see the top of the file. Numbers and booleans pass under any key. */
export function redactFields(fields: object): Record<string, unknown> {
  return redactEntries(Object.entries(fields), 0);
}

function redactEntries(
  entries: Iterable<readonly [string, unknown]>,
  depth: number,
): Record<string, unknown> {
  const clean: Record<string, unknown> = {};
  for (const [key, value] of entries) clean[key] = redactValue(key, value, depth);
  return clean;
}

function redactValue(key: string, value: unknown, depth: number): unknown {
  if (typeof value === "bigint") return value.toString();
  if (typeof value === "function" || typeof value === "symbol") return `[${typeof value}]`;
  if (value === null || value === undefined || typeof value === "number" || typeof value === "boolean") {
    return value;
  }
  if (SECRET_KEY.test(key)) return "[secret]";
  if (CONTENT_KEY.test(key)) return "[content]";
  if (typeof value === "string") return redactText(value);
  if (value instanceof Date) return value;
  if (ArrayBuffer.isView(value)) return `[${value.byteLength} bytes]`;
  if (depth >= MAX_DEPTH) return "[too deep]";
  if (value instanceof Error) return redactError(value, depth + 1);
  if (Array.isArray(value)) return value.map((element: unknown) => redactValue("", element, depth + 1));
  if (value instanceof Map) return redactEntries(mapEntries(value), depth + 1);
  if (value instanceof Set) return Array.from(value, (element) => redactValue("", element, depth + 1));
  return redactEntries(Object.entries(value), depth + 1);
}

function* mapEntries(map: ReadonlyMap<unknown, unknown>): Generator<readonly [string, unknown]> {
  for (const [key, value] of map) yield [String(key), value];
}

/** Stack traces only where they tell something: for bugs, not for a refused manifest or a lost connection. */
function redactError(error: Error, depth: number): Record<string, unknown> {
  const known = isAutoglmError(error) ? error : undefined;
  return {
    name: error.name,
    message: redactText(error.message),
    ...(known && { family: known.family, details: redactValue("details", known.details, depth) }),
    ...((!known || known.family === "bug") && error.stack && { stack: redactText(error.stack) }),
    ...(error.cause !== undefined && { cause: redactValue("cause", error.cause, depth) }),
  };
}
