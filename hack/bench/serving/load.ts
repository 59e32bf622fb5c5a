/** The process that makes the load, seen from the benchmark; and what it can do at most. */
import { type ChildProcess, fork } from "node:child_process";
import { once } from "node:events";
import { join } from "node:path";
import type { LoadAnswer, LoadRequest } from "./load-process.ts";

export class LoadGenerator {
  readonly #child: ChildProcess;

  private constructor(child: ChildProcess) {
    this.#child = child;
  }

  static async start(): Promise<LoadGenerator> {
    const child = fork(join(import.meta.dirname, "load-process.ts"), {
      serialization: "advanced",
      execArgv: [],
    });
    await once(child, "spawn");
    return new LoadGenerator(child);
  }

  /** Rejects when the process ends; what was wrong is on its stderr. */
  run(request: LoadRequest): Promise<LoadAnswer> {
    return new Promise((resolve, reject) => {
      const end = () => reject(new Error("the process that makes the load has ended"));
      this.#child.once("exit", end);
      this.#child.once("message", (answer: LoadAnswer) => {
        this.#child.off("exit", end);
        resolve(answer);
      });
      this.#child.send(request);
    });
  }

  async stop(): Promise<void> {
    const { exitCode, signalCode } = this.#child;
    if (exitCode !== null || signalCode !== null) return;
    const exit = once(this.#child, "exit");
    this.#child.disconnect();
    await exit;
  }
}

/** Requests per second against a server that does nothing: what no server can exceed here. */
export async function measureCeiling(
  load: LoadGenerator,
  bodies: readonly string[],
  seconds: number,
): Promise<{ readonly perSecond: number; readonly loadCpuMs: number }> {
  const echo = fork(join(import.meta.dirname, "echo-process.ts"), { execArgv: [] });
  try {
    const [port] = (await once(echo, "message")) as [number];
    const {
      answered,
      seconds: took,
      cpuMs,
    } = await load.run({
      port,
      path: "/",
      headers: {},
      bodies,
      concurrency: 64,
      seconds,
    });
    return { perSecond: answered / took, loadCpuMs: cpuMs / answered };
  } finally {
    echo.kill();
  }
}
