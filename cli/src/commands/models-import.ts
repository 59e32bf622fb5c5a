/** `autoglm models import CHECKPOINT`: runs the converter of models/importer, which is Python, and shows how far it is. */
import { existsSync } from "node:fs";
import path from "node:path";
import { AutoglmError } from "@autoglm/api";
import { execa } from "execa";
import { errorWithHint, EXIT, type ExitCode } from "../exit-codes.ts";
import { say, type CliIo } from "../io.ts";

export interface ImportOptions {
  readonly out: string;
  readonly precision: string;
  readonly provider: string;
  readonly name?: string;
  readonly contextLength?: number;
  readonly signal: AbortSignal;
}

/** In a folder above this file: of the bundle, or of the checkout. */
const CONVERTER = "models/build";
const REFUSED = 1;

export async function importModel(io: CliIo, source: string, options: ImportOptions): Promise<ExitCode> {
  const { out, precision, provider, name, contextLength, signal } = options;
  const flags = [
    ["--out", out],
    ["--precision", precision],
    ["--provider", provider],
    ...(name === undefined ? [] : [["--name", name]]),
    ...(contextLength === undefined ? [] : [["--context-length", String(contextLength)]]),
  ].flat();
  await convert(io, [findConverter(import.meta.dirname), "import", source, ...flags], signal);
  io.stdout.write(`${out}\n`);
  say(io, `next: ${io.environment.programName} models push ${out}`);
  return EXIT.ok;
}

/** @throws AutoglmError `ImportRefused` with the converter's own words, `MissingTool` without Python */
async function convert(io: CliIo, args: readonly string[], signal: AbortSignal): Promise<void> {
  const converter = execa("python3", args, {
    reject: false,
    cancelSignal: signal,
    // Pip is asked for packages once; what it says may be long.
    maxBuffer: 2 ** 24,
    stdin: "ignore",
  });
  for await (const line of converter.iterable({ from: "stdout" })) say(io, line);
  const result = await converter;
  signal.throwIfAborted();
  if (result.code === "ENOENT") {
    throw errorWithHint(
      "MissingTool",
      "python3 is needed to convert a checkpoint, and there is none in PATH",
      "your system's packages python3 and python3-venv (3.10 or newer), then again",
    );
  }
  if (result.exitCode === 0) return;
  const [, refusal] = /^error: (.*)$/m.exec(result.stderr) ?? [];
  if (result.exitCode === REFUSED && refusal !== undefined) throw new AutoglmError("ImportRefused", refusal);
  const said = result.stderr.trim().split("\n").slice(-5).join("\n");
  throw new AutoglmError("ImportRefused", `the converter failed: ${said || `exit code ${result.exitCode}`}`);
}

function findConverter(folder: string): string {
  for (let above = folder; above !== path.dirname(above); above = path.dirname(above)) {
    const file = path.join(above, CONVERTER);
    if (existsSync(file)) return file;
  }
  throw errorWithHint(
    "MissingTool",
    "this installation of the CLI has no converter beside it",
    "run it from a checkout, or from a release that has models/ in cli/",
  );
}
