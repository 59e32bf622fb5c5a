/**
 * One error class for the whole project. A foreign error (Kubernetes client, NATS, ONNX Runtime, fetch) is
 * translated into it once, at its adapter, with the original kept as `cause`; after that code decides on
 * `code`, `family` and `retry`, never on message text.
 */

/** Who has to act: the author of the object, the person who runs the system, or us. */
export type ErrorFamily = "user" | "operational" | "bug";

/** What the queue does next: back off and try again, stop until the object changes, or try at a given time. */
export type ErrorRetry = "backoff" | "never" | { readonly afterMs: number };

/**
 * Every code that can reach a user, with its family. docs/errors.md has one section for each, and a test
 * compares the two both ways.
 */
export const ERROR_FAMILIES = {
  // What a user wrote or named.
  TypeNotResolved: "user",
  ModelNotFound: "user",
  ModelDoesNotServeType: "user",
  NoVariantFitsTier: "user",
  PromptNotFound: "user",
  PromptInvalid: "user",
  PromptNeeded: "user",
  ParametersInvalid: "user",
  GateModelInvalid: "user",
  SiteOnlyForbidsEndpoint: "user",
  EndpointKeyMissing: "user",
  ConfigMapNotFound: "user",
  ConfigMapKeyNotFound: "user",
  InputFileNotFound: "user",
  InputFileOutsideDataRoot: "user",
  InputFormatNotRecognised: "user",
  InputFieldNotFound: "user",
  InputTooLarge: "user",
  InputEmpty: "user",
  InputHostNotAllowed: "user",
  ItemInvalid: "user",
  ItemTooLong: "user",
  InvalidOption: "user",
  ImportRefused: "user",
  InvalidQuantity: "user",
  InvalidMessage: "bug",
  EnrolmentRefused: "user",
  // What the surroundings did.
  NotFound: "operational",
  AlreadyExists: "operational",
  Conflict: "operational",
  Forbidden: "operational",
  Invalid: "user",
  TooManyRequests: "operational",
  ApiUnavailable: "operational",
  WatchExpired: "operational",
  BusUnavailable: "operational",
  BusRefused: "operational",
  ModelDigestMismatch: "operational",
  ModelUnavailable: "operational",
  ModelLoadFailed: "operational",
  ModelSetAside: "operational",
  InferenceFailed: "operational",
  InferenceTimedOut: "operational",
  InferenceWorkerLost: "operational",
  QueueFull: "operational",
  InputUnavailable: "operational",
  EndpointRefused: "user",
  EndpointUnavailable: "operational",
  AnswerInvalid: "operational",
  ResultStoreFull: "operational",
  OutboxFull: "operational",
  OutboxCorrupt: "operational",
  MissingTool: "operational",
  Timeout: "operational",
  Aborted: "operational",
  Internal: "bug",
} as const satisfies Record<string, ErrorFamily>;

/** Stable name of an error; what docs/errors.md explains and what exit codes and conditions are made from. */
export type ErrorCode = keyof typeof ERROR_FAMILIES;

const BRAND = Symbol.for("autoglm.io/error");

export interface AutoglmErrorOptions {
  /** Facts for logs and messages; never input or result text. */
  readonly details?: Readonly<Record<string, unknown>>;
  /** Overrides the family's default: user → never, operational → backoff, bug → backoff. */
  readonly retry?: ErrorRetry;
  readonly cause?: unknown;
}

export class AutoglmError extends Error {
  readonly code: ErrorCode;
  readonly family: ErrorFamily;
  readonly retry: ErrorRetry;
  readonly details: Readonly<Record<string, unknown>>;
  /** Survives worker boundaries and duplicate installs, where `instanceof` does not. */
  readonly [BRAND] = true;

  constructor(code: ErrorCode, message: string, options: AutoglmErrorOptions = {}) {
    super(message, options.cause === undefined ? {} : { cause: options.cause });
    this.name = code;
    this.code = code;
    this.family = ERROR_FAMILIES[code];
    this.retry = options.retry ?? (this.family === "user" ? "never" : "backoff");
    this.details = options.details ?? {};
  }
}

/** Tests the brand, so that it holds for an error from another copy of this module. */
export function isAutoglmError(error: unknown): error is AutoglmError {
  return typeof error === "object" && error !== null && BRAND in error;
}

/** True for an `AutoglmError` of this code. */
export function hasErrorCode(error: unknown, code: ErrorCode): error is AutoglmError {
  return isAutoglmError(error) && error.code === code;
}

/** Wraps whatever was thrown: an `AutoglmError` as it is, anything else as `Internal` with its cause kept. */
export function toAutoglmError(error: unknown): AutoglmError {
  if (isAutoglmError(error)) return error;
  const message = error instanceof Error ? error.message : String(error);
  return new AutoglmError("Internal", message, { cause: error });
}

/** For the default branch of an exhaustive switch. */
export function assertNever(value: never): never {
  throw new AutoglmError("Internal", `unreachable: ${JSON.stringify(value)}`);
}
