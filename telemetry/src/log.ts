import {
  type DestinationStream,
  type Logger,
  destination as openDestination,
  pino,
  stdTimeFunctions,
} from "pino";
import { redactFields, redactText } from "./redact.ts";

export const LOG_LEVELS = ["debug", "info", "warn", "error", "silent"] as const;
export type LogLevel = (typeof LOG_LEVELS)[number];

export type LogFields = Readonly<Record<string, unknown>>;

/**
 * Facts as fields, then a sentence without them: `log.warn({ node, error }, "node is gone")`. Errors go in as they
 * are, under any key. Secrets and input or result text are removed whatever is passed (redact.ts).
 */
export interface Log {
  debug(fields: LogFields, message: string): void;
  info(fields: LogFields, message: string): void;
  warn(fields: LogFields, message: string): void;
  error(fields: LogFields, message: string): void;
  /** A log that adds these fields to each of its lines. */
  child(fields: LogFields): Log;
}

export interface LoggerOptions {
  /** Which process writes: `operator`, `edge-agent`. */
  readonly name: string;
  readonly level: LogLevel;
  /** Takes whole lines, newline included. Default: stderr, written at once, so that a crash loses none. */
  readonly destination?: DestinationStream;
}

/** JSON lines: level, time (ISO 8601, UTC), name, fields, msg. */
export function createLogger({ name, level, destination }: LoggerOptions): Log {
  const logger = pino(
    {
      level,
      base: { name },
      timestamp: stdTimeFunctions.isoTime,
      formatters: { level: (label) => ({ level: label }), log: redactFields },
      hooks: {
        logMethod([fields, message, ...rest], method) {
          method.call(this, fields, typeof message === "string" ? redactText(message) : message, ...rest);
        },
      },
    },
    destination ?? openDestination({ fd: 2, sync: true }),
  );
  return asLog(logger);
}

/** pino formats the fields of a line, but not those of a child, so those are redacted here. */
function asLog(logger: Logger): Log {
  return {
    debug: (fields, message) => logger.debug(fields, message),
    info: (fields, message) => logger.info(fields, message),
    warn: (fields, message) => logger.warn(fields, message),
    error: (fields, message) => logger.error(fields, message),
    child: (fields) => asLog(logger.child(redactFields(fields))),
  };
}
