import { AutoglmError } from "@autoglm/api";
import { createColors } from "picocolors";
import type { Environment } from "./options.ts";
import { printable } from "./printable.ts";

/** What a command may touch. */
export interface CliIo {
  /** Data alone. */
  readonly stdout: { write(text: string): unknown };
  /** Progress, hints and errors. */
  readonly stderr: { write(text: string): unknown };
  readonly stdin: AsyncIterable<Buffer | string>;
  readonly environment: Environment;
  /** Fires on Ctrl-C. */
  readonly signal: AbortSignal;
}

/** One line on stderr, dim where there is colour. */
export function say({ stderr, environment }: CliIo, line: string): void {
  stderr.write(`${createColors(environment.hasColour).dim(printable(line))}\n`);
}

/** @throws AutoglmError `Aborted` on Ctrl-C: nobody may ever write to it */
export async function readAll({ stdin, signal }: CliIo): Promise<string> {
  const { promise: interrupted, reject } = Promise.withResolvers<never>();
  signal.addEventListener("abort", () => reject(new AutoglmError("Aborted", "stopped")), { once: true });
  return Promise.race([readStream(stdin), interrupted]);
}

async function readStream(stream: CliIo["stdin"]): Promise<string> {
  const parts: Buffer[] = [];
  for await (const part of stream) parts.push(Buffer.from(part));
  return Buffer.concat(parts).toString("utf8");
}
