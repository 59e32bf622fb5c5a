#!/usr/bin/env node
/** `autoglm`, and as `kubectl-autoglm` the kubectl plugin: arguments in, exit code out. */
import { enableCompileCache } from "node:module";

// Most of the start is compiling the Kubernetes client; the second start finds it compiled.
enableCompileCache();
const { runCli } = await import("./program.ts");
const { readEnvironment } = await import("./options.ts");

const interrupt = new AbortController();
for (const signal of ["SIGINT", "SIGTERM"] as const) {
  process.once(signal, () => interrupt.abort());
}
// A reader that has enough (`| head`) is no error.
process.stdout.on("error", () => process.exit(0));

const exitCode = await runCli(process.argv.slice(2), {
  stdout: process.stdout,
  stderr: process.stderr,
  stdin: process.stdin,
  environment: readEnvironment(process),
  signal: interrupt.signal,
});
// Writes to a pipe are asynchronous, and what is still queued at the exit is lost.
for (const stream of [process.stdout, process.stderr]) {
  await new Promise<void>((resolve) => stream.write("", () => resolve()));
}
process.exit(exitCode);
