/**
 * What an endpoint's error means. Decides on codes, never on words: HTTP 429 of the hosted API is a busy server as well as an
 * empty balance, and an error may arrive with status 200 inside a stream.
 *
 * | meaning | what follows |
 * |---|---|
 * | busy | the request was not taken: sent again after a pause |
 * | lost | nobody knows whether it was answered: sent again under the same request_id |
 * | duplicate | it was taken before and its answer is lost: sent again under a new request_id |
 * | spent | a quota is used up: the endpoint is unavailable until it resets |
 * | refused | key, balance, account, model: a person has to act |
 * | rejected | this request's fields or its length |
 * | content | this item's content |
 */
import { z } from "zod";

export type FailureMeaning = "busy" | "lost" | "duplicate" | "spent" | "refused" | "rejected" | "content";

export interface EndpointFailure {
  readonly meaning: FailureMeaning;
  /** What the server said, as codes alone: `HTTP 429, code 1302`. Its words may quote the text. */
  readonly what: string;
  /** Of Retry-After. */
  readonly retryAfterMs?: number | undefined;
  /** When a spent quota is there again. */
  readonly resetsAtMs?: number | undefined;
  /** A key or an account: another key may help. */
  readonly concernsKey?: boolean | undefined;
  /** There was no connection, so the request reached nobody. */
  readonly isUnsent?: boolean | undefined;
}

export interface ErrorReply {
  /** Undefined inside a stream. */
  readonly status?: number | undefined;
  readonly body: unknown;
  readonly retryAfter?: string | null | undefined;
  readonly nowMs: number;
}

const errorSchema = z.looseObject({
  code: z.union([z.string(), z.number()]).nullish(),
  type: z.string().nullish(),
  message: z.string().nullish(),
});
/** `{"error": {…}}` of nearly all, `{"object": "error", …}` of older vLLM, `{"error": "…"}` of a few. */
const bodySchema = z.union([z.looseObject({ error: errorSchema }), z.looseObject({ error: z.string() })]);

/** What a body says is wrong; undefined when it is no error. */
export function errorIn(body: unknown): z.infer<typeof errorSchema> | undefined {
  const parsed = bodySchema.safeParse(body);
  if (parsed.success) {
    const { error } = parsed.data;
    return typeof error === "string" ? { message: error } : error;
  }
  const flat = errorSchema.extend({ object: z.literal("error") }).safeParse(body);
  return flat.success ? flat.data : undefined;
}

const BUSY_CODES = new Set(["1302", "1303", "1305"]);
/** Used up for the day, or for a period that the message names. */
const DAILY_CAP = "1304";
const PERIOD_CAP = "1308";
const DUPLICATE = "1231";
const CONTENT = "1301";
const NO_SUCH_MODEL = "1211";
const DEFAULT_SPENT_MS = 3_600_000;
/** The hosted API counts days in China. */
const HOSTED_OFFSET_MS = 8 * 3_600_000;
const DAY_MS = 86_400_000;

export function meaningOf(reply: ErrorReply): EndpointFailure {
  const { status, body, nowMs } = reply;
  const error = errorIn(body);
  const code = error?.code === null || error?.code === undefined ? "" : String(error.code);
  const what = [
    status === undefined ? "inside the stream" : `HTTP ${status}`,
    ...(/^[\w.-]{1,64}$/.test(code) && code !== String(status) ? [`code ${code}`] : []),
  ].join(", ");
  const retryAfterMs = parseRetryAfter(reply.retryAfter, nowMs);
  const failure = (meaning: FailureMeaning, rest: Partial<EndpointFailure> = {}): EndpointFailure => ({
    meaning,
    what,
    ...(retryAfterMs !== undefined && { retryAfterMs }),
    ...rest,
  });
  if (BUSY_CODES.has(code)) return failure("busy");
  if (code === DUPLICATE) return failure("duplicate");
  if (code === CONTENT) return failure("content");
  if (code === NO_SUCH_MODEL) return failure("refused");
  if (code === DAILY_CAP || code === PERIOD_CAP) {
    const named = code === PERIOD_CAP ? timeNamedIn(error?.message ?? "") : nextHostedDay(nowMs);
    return failure("spent", { resetsAtMs: named ?? nowMs + (retryAfterMs ?? DEFAULT_SPENT_MS) });
  }
  if (/^(100\d|111\d|112[01])$/.test(code)) return failure("refused", { concernsKey: true });
  if (/^12\d\d$/.test(code)) return failure("rejected");
  if (code === "insufficient_quota") return failure("refused", { concernsKey: true });
  return failure(...meaningOfStatus(status));
}

function meaningOfStatus(status: number | undefined): readonly [FailureMeaning, Partial<EndpointFailure>?] {
  // An error inside a stream without a code that says more: the generation broke off.
  if (status === undefined) return ["lost"];
  if (status === 401 || status === 402 || status === 403) return ["refused", { concernsKey: true }];
  if (status === 408 || status === 409 || status === 425 || status === 429) return ["busy"];
  if (status === 400 || status === 413 || status === 422) return ["rejected"];
  if (status >= 500) return ["busy"];
  return ["refused"];
}

function parseRetryAfter(value: string | null | undefined, nowMs: number): number | undefined {
  if (value === null || value === undefined) return undefined;
  if (/^\d{1,6}(\.\d+)?$/.test(value)) return Number(value) * 1000;
  const at = Date.parse(value);
  return Number.isNaN(at) ? undefined : Math.max(0, at - nowMs);
}

/** `… 2026-11-26 09:00:00 …`, China time. */
function timeNamedIn(message: string): number | undefined {
  const [, date, time] = /(\d{4}-\d{2}-\d{2})[ T](\d{2}:\d{2}(?::\d{2})?)/.exec(message) ?? [];
  const at = date === undefined || time === undefined ? Number.NaN : Date.parse(`${date}T${time}+08:00`);
  return Number.isNaN(at) ? undefined : at;
}

function nextHostedDay(nowMs: number): number {
  return Math.ceil((nowMs + HOSTED_OFFSET_MS + 1) / DAY_MS) * DAY_MS - HOSTED_OFFSET_MS;
}

/** Of these it is sure that no connection was made. A missing route is not among them: it may be lost under way. */
const UNSENT_CODES = new Set(["ECONNREFUSED", "ENOTFOUND", "EAI_AGAIN", "UND_ERR_CONNECT_TIMEOUT"]);

/** Connection refused, reset, no name, no route, silent for too long: no answer came. */
export function lostAnswer(cause: unknown): EndpointFailure {
  const code = codeOf(cause) ?? "connection lost";
  return { meaning: "lost", what: code, ...(UNSENT_CODES.has(code) && { isUnsent: true }) };
}

/** The server may have answered the request, and count it, although no answer came. */
export function mayHaveAnswered({ meaning, isUnsent }: EndpointFailure): boolean {
  return meaning === "duplicate" || (meaning === "lost" && isUnsent !== true);
}

/** Errors of fetch hide the system's code in their causes. */
function codeOf(cause: unknown): string | undefined {
  if (typeof cause !== "object" || cause === null) return undefined;
  const code = "code" in cause && typeof cause.code === "string" ? cause.code : undefined;
  return code ?? ("cause" in cause ? codeOf(cause.cause) : undefined);
}
