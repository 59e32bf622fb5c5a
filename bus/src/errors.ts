/** The one place where what the NATS client threw or JetStream answered becomes an `AutoglmError`. */
import { AutoglmError, isAutoglmError } from "@autoglm/api";
import { errors } from "@nats-io/nats-core";

/** Codes of JetStream's errors, from nats-server's server/errors.json. */
export const JETSTREAM_ERROR = {
  streamNameExists: 10058,
  streamNotFound: 10059,
  /** The expected last sequence of the subject is another one. */
  wrongLastSequence: 10071,
  /** The same while another copy is under way in a cluster: stored or not, nobody knows yet. */
  wrongLastSequenceUnknown: 10164,
} as const;

/**
 * No room: stream limit reached (10077; it says the same for other limits, so it never means "stored"), the server's
 * or the account's storage used up, the reservation of a new stream refused.
 */
const FULL_CODES: ReadonlySet<number> = new Set([10077, 10047, 10023, 10002]);

/** Gone with time: a wiped disk whose streams are about to be made anew, a copy that is about to be stored. */
const PASSING_CODES: ReadonlySet<number> = new Set([
  JETSTREAM_ERROR.streamNotFound,
  JETSTREAM_ERROR.wrongLastSequenceUnknown,
]);

/** Error part of a JetStream reply. */
export interface JetStreamErrorBody {
  readonly code?: number;
  readonly err_code?: number;
  readonly description?: string;
}

export function errorFromJetStream(subject: string, error: JetStreamErrorBody): AutoglmError {
  const { code = 500, err_code: errCode = 0, description = "no description" } = error;
  const details = { subject, status: code, jetStreamCode: errCode };
  if (FULL_CODES.has(errCode)) {
    return new AutoglmError("ResultStoreFull", `the bus has no room: ${description}`, { details });
  }
  const isPassing = code >= 500 || PASSING_CODES.has(errCode);
  return new AutoglmError(isPassing ? "BusUnavailable" : "BusRefused", `${subject}: ${description}`, {
    details,
  });
}

/** Whatever the client threw while something was asked of `subject`. */
export function errorFromNats(subject: string, cause: unknown): AutoglmError {
  if (isAutoglmError(cause)) return cause;
  const reasons = [cause, cause instanceof Error ? cause.cause : undefined];
  const is = (...types: readonly (abstract new (...args: never[]) => Error)[]) =>
    reasons.some((reason) => types.some((type) => reason instanceof type));
  const options = { details: { subject }, cause };
  if (is(errors.PermissionViolationError, errors.AuthorizationError)) {
    return new AutoglmError("BusRefused", `${subject}: the bus does not permit this`, options);
  }
  if (is(errors.InvalidArgumentError, errors.InvalidSubjectError, errors.InvalidOperationError)) {
    return new AutoglmError("Internal", `${subject}: the request can't be sent`, options);
  }
  if (is(errors.NoRespondersError)) return busUnavailable(subject, "nobody answers", cause);
  if (is(errors.TimeoutError)) return busUnavailable(subject, "no answer in time", cause);
  return busUnavailable(subject, "the connection failed", cause);
}

export function busUnavailable(subject: string, why: string, cause?: unknown): AutoglmError {
  return new AutoglmError("BusUnavailable", `${subject}: ${why}`, {
    details: { subject },
    ...(cause === undefined ? {} : { cause }),
  });
}
