import { type ChildProcess, spawn } from "node:child_process";
import { fileURLToPath } from "node:url";

const MAIN = fileURLToPath(new URL("../../../cli/src/main.ts", import.meta.url));

export interface CliRun {
  readonly child: ChildProcess;
  /** What was written so far. */
  stdout(): string;
  stderr(): string;
  readonly ended: Promise<CliOutcome>;
}
interface CliOutcome {
  readonly code: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

/** The CLI as a user starts it: a process, with nothing in its environment but what is given. */
export function startCli(args: readonly string[], env: Readonly<Record<string, string>>, input = ""): CliRun {
  const { PATH = "", HOME = "" } = process.env;
  const child = spawn(process.execPath, [MAIN, ...args], { env: { PATH, HOME, ...env } });
  const written = { stdout: "", stderr: "" };
  child.stdout.on("data", (bytes: Buffer) => (written.stdout += bytes.toString()));
  child.stderr.on("data", (bytes: Buffer) => (written.stderr += bytes.toString()));
  child.stdin.end(input);
  const ended = new Promise<CliOutcome>((resolve, reject) => {
    child.once("error", reject);
    child.once("close", (code) => resolve({ code, ...written }));
  });
  return { child, ended, stdout: () => written.stdout, stderr: () => written.stderr };
}
