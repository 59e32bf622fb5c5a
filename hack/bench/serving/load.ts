/** The process that makes the load, seen from the benchmark; and what it can do at most. */
import { fork } from "node:child_process";
import { once } from "node:events";
import { join } from "node:path";
import { AskedProcess } from "../asked-process.ts";
import type { LoadAnswer, LoadRequest } from "./load-process.ts";

export class LoadGenerator {
  readonly #process: AskedProcess<LoadRequest, LoadAnswer>;

  private constructor(process: AskedProcess<LoadRequest, LoadAnswer>) {
    this.#process = process;
  }

  static async start(): Promise<LoadGenerator> {
    return new LoadGenerator(await AskedProcess.start(join(import.meta.dirname, "load-process.ts")));
  }

  run(request: LoadRequest): Promise<LoadAnswer> {
    return this.#process.ask(request);
  }

  stop(): Promise<void> {
    return this.#process.stop();
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
