/**
 * The one place where what the API server or the connection said becomes an `AutoglmError`.
 *
 * The server answers errors with a `Status` object whose `reason` is stable and whose `message` is not; only
 * `reason` and the HTTP status are read. `Retry-After` (seconds) becomes `retry: { afterMs }`.
 */
import { AutoglmError, type ErrorCode, type ErrorRetry, isAutoglmError } from "@autoglm/api";

/** What was asked, for the message and the details: `patch autoglmtasks.autoglm.io demo/reviews`. */
export interface RequestSubject {
  readonly method: string;
  readonly resource: string;
  readonly key?: string | undefined;
}

/** `metav1.Status`, as far as it is read. */
interface StatusBody {
  readonly kind?: string;
  readonly reason?: string;
  readonly message?: string;
  readonly code?: number;
  readonly details?: {
    readonly retryAfterSeconds?: number;
    readonly causes?: readonly { readonly reason?: string; readonly field?: string }[];
  };
}

function parseStatus(body: string): StatusBody {
  try {
    const parsed: unknown = JSON.parse(body);
    return typeof parsed === "object" && parsed !== null ? parsed : {};
  } catch {
    // A proxy in between answers with HTML or plain text: the HTTP status is all there is.
    return {};
  }
}

function codeOf(httpStatus: number, reason: string | undefined): ErrorCode {
  if (reason === "AlreadyExists") return "AlreadyExists";
  switch (httpStatus) {
    case 401:
    case 403:
      return "Forbidden";
    case 404:
      return "NotFound";
    case 408:
      return "Timeout";
    case 409:
      return "Conflict";
    case 410:
      return "WatchExpired";
    case 400:
    case 413:
    case 422:
      return "Invalid";
    case 429:
      return "TooManyRequests";
    default:
      // The rest of 4xx (405, 406, 415) is a request that this code should never have built.
      return httpStatus < 500 ? "Internal" : "ApiUnavailable";
  }
}

function describe(subject: RequestSubject): string {
  const target = subject.key === undefined ? subject.resource : `${subject.resource} ${subject.key}`;
  return `${subject.method} ${target}`;
}

function retryOf(seconds: number): { readonly retry?: ErrorRetry } {
  return Number.isFinite(seconds) && seconds > 0 ? { retry: { afterMs: seconds * 1000 } } : {};
}

/** An answer of status ≥ 400. `retryAfter` is the header of that name. */
export function errorFromResponse(
  subject: RequestSubject,
  httpStatus: number,
  body: string,
  retryAfter?: string,
): AutoglmError {
  return errorFromStatus(subject, httpStatus, parseStatus(body), retryAfter);
}

/** An `ERROR` event of a watch, whose object is a `Status`. */
export function errorFromWatchEvent(subject: RequestSubject, object: unknown): AutoglmError {
  const status: StatusBody = typeof object === "object" && object !== null ? object : {};
  return errorFromStatus(subject, status.code ?? 500, status);
}

function errorFromStatus(
  subject: RequestSubject,
  httpStatus: number,
  status: StatusBody,
  retryAfter?: string,
): AutoglmError {
  const causes = status.details?.causes;
  return new AutoglmError(
    codeOf(httpStatus, status.reason),
    `${describe(subject)}: ${status.message ?? `HTTP ${httpStatus}`}`,
    {
      details: {
        ...subject,
        httpStatus,
        ...(status.reason === undefined ? {} : { reason: status.reason }),
        ...(causes === undefined ? {} : { fields: causes.map((cause) => cause.field) }),
      },
      ...retryOf(Number(retryAfter ?? status.details?.retryAfterSeconds)),
    },
  );
}

/** Names that undici and AbortSignal.timeout give to "it took too long". */
const TIMEOUT_NAMES = new Set([
  "TimeoutError",
  "HeadersTimeoutError",
  "BodyTimeoutError",
  "ConnectTimeoutError",
]);

/** Whatever the connection threw. `aborted`: the caller's own signal fired, which is nobody's fault. */
export function errorFromConnection(subject: RequestSubject, cause: unknown, aborted: boolean): AutoglmError {
  if (isAutoglmError(cause)) return cause;
  const name = cause instanceof Error ? cause.name : "";
  const code = aborted ? "Aborted" : TIMEOUT_NAMES.has(name) ? "Timeout" : "ApiUnavailable";
  const message = cause instanceof Error ? cause.message : String(cause);
  return new AutoglmError(code, `${describe(subject)}: ${message}`, { details: { ...subject }, cause });
}
