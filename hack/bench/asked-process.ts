/** Both ends of a program of the benchmark that runs in a process of its own and answers one request at a time. */
import { type ChildProcess, fork } from "node:child_process";
import { once } from "node:events";
import { basename } from "node:path";

export class AskedProcess<Request extends object, Answer> {
  readonly #program: string;
  readonly #child: ChildProcess;

  private constructor(program: string, child: ChildProcess) {
    this.#program = program;
    this.#child = child;
  }

  static async start<Request extends object, Answer>(
    program: string,
  ): Promise<AskedProcess<Request, Answer>> {
    const child = fork(program, { serialization: "advanced", execArgv: [] });
    await once(child, "spawn");
    return new AskedProcess(program, child);
  }

  get pid(): number {
    return this.#child.pid ?? 0;
  }

  /** Rejects when the process ends; what was wrong is on its stderr. */
  ask(request: Request): Promise<Answer> {
    return new Promise((resolve, reject) => {
      const end = () => reject(new Error(`the process of ${basename(this.#program)} has ended`));
      this.#child.once("exit", end);
      this.#child.once("message", (answer: Answer) => {
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

/** In the process itself, which ends with the one that asks, or with the first error. */
export function answerRequests(answer: (request: never) => Promise<unknown>): void {
  process.on("disconnect", () => process.exit(0));
  process.on("message", (request) => {
    // AskedProcess is typed to send what the program takes.
    answer(request as never).then(
      (reply) => process.send?.(reply),
      (error: unknown) => {
        console.error(error);
        process.exit(1);
      },
    );
  });
}
