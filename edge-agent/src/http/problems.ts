/** Errors as HTTP answers. What is said to a client names the object, the cause and the mend, never input. */
import { toAutoglmError, type AutoglmError, type ErrorCode } from "@autoglm/api";

/** An answer that no error of ours stands for. */
export class HttpProblem extends Error {
  readonly status: number;
  /** The field that is wrong, where there is one. */
  readonly field: string | undefined;

  constructor(status: number, message: string, field?: string) {
    super(message);
    this.name = "HttpProblem";
    this.status = status;
    this.field = field;
  }
}

const STATUS: Partial<Record<ErrorCode, number>> = {
  ModelNotFound: 404,
  ModelDoesNotServeType: 400,
  ParametersInvalid: 400,
  ItemInvalid: 400,
  ItemTooLong: 400,
  QueueFull: 429,
  Timeout: 504,
  InferenceTimedOut: 504,
  ModelLoadFailed: 503,
  ModelUnavailable: 503,
  ModelSetAside: 503,
  InferenceWorkerLost: 503,
  Aborted: 503,
};

export interface ProblemAnswer {
  readonly status: number;
  readonly message: string;
  /** Stable name: a code of docs/errors.md, or none. */
  readonly code: string | undefined;
  readonly field: string | undefined;
  readonly retryAfterSeconds: number | undefined;
  /** A bug of ours: for the log. */
  readonly bug: AutoglmError | undefined;
}

export function problemAnswer(thrown: unknown): ProblemAnswer {
  if (thrown instanceof HttpProblem) {
    const { status, message, field } = thrown;
    return { status, message, code: undefined, field, retryAfterSeconds: undefined, bug: undefined };
  }
  const error = toAutoglmError(thrown);
  const { code, retry } = error;
  if (code === "Internal") {
    const message = "the agent failed; the log of the agent says why under this request's id";
    return { status: 500, message, code, field: undefined, retryAfterSeconds: undefined, bug: error };
  }
  const retryAfterSeconds = typeof retry === "object" ? Math.ceil(retry.afterMs / 1000) : undefined;
  const status = STATUS[code] ?? (error.family === "user" ? 400 : 500);
  return { status, message: error.message, code, field: undefined, retryAfterSeconds, bug: undefined };
}
