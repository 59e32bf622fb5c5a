/** Plain Node processes with onnxruntime-node: the other side of every comparison. */
import { type ChildProcess, fork } from "node:child_process";
import { once } from "node:events";
import { join } from "node:path";
import type { RawAnswer, RawRequest } from "./raw-process.ts";

export class RawProcess {
  readonly #child: ChildProcess;

  private constructor(child: ChildProcess) {
    this.#child = child;
  }

  static async start(): Promise<RawProcess> {
    const child = fork(join(import.meta.dirname, "raw-process.ts"), {
      serialization: "advanced",
      execArgv: [],
    });
    await once(child, "spawn");
    return new RawProcess(child);
  }

  get pid(): number {
    return this.#child.pid ?? 0;
  }

  /** Rejects when the process ends; what was wrong is on its stderr. */
  ask(request: RawRequest): Promise<RawAnswer> {
    return new Promise((resolve, reject) => {
      const end = () => reject(new Error(`the plain onnxruntime-node process failed at ${request.kind}`));
      this.#child.once("exit", end);
      this.#child.once("message", (answer: RawAnswer) => {
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
    this.#child.kill("SIGKILL");
    await exit;
  }
}
