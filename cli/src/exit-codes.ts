import { AutoglmError, hasErrorCode } from "@autoglm/api";

/** What a script can rely on; printed by --help and tested. */
export const EXIT = { ok: 0, error: 1, usage: 2, taskFailed: 3, timedOut: 4, interrupted: 130 } as const;
export type ExitCode = (typeof EXIT)[keyof typeof EXIT];

export const EXIT_CODES_HELP = `
Exit codes:
  0    done; for run and results --follow: the task is complete
  1    error
  2    wrong usage, or a manifest that is not valid
  3    the task failed
  4    timed out; the task goes on
  130  interrupted; the task goes on`;

/** A command line or a manifest that can't work, whatever the cluster says. */
export function usageError(message: string, hint?: string): AutoglmError {
  return new AutoglmError("InvalidOption", message, { details: { isUsage: true, ...(hint && { hint }) } });
}

export function errorWithHint(
  code: ConstructorParameters<typeof AutoglmError>[0],
  message: string,
  hint: string,
  cause?: unknown,
): AutoglmError {
  return new AutoglmError(code, message, { details: { hint }, cause });
}

export function exitCodeOf(error: unknown): ExitCode {
  return hasErrorCode(error, "InvalidOption") && error.details["isUsage"] === true ? EXIT.usage : EXIT.error;
}
