import { fork, type ChildProcess } from "node:child_process";
import { fileURLToPath } from "node:url";
import { AutoglmError, type AutoglmErrorOptions } from "@autoglm/api";
import { processMemoryBytes } from "./memory.ts";
import type { FailureMessage, FromWorker, ToWorker } from "./protocol.ts";

type Answer = Exclude<FromWorker, { kind: "progress" | "token" | "failed" | "calibrated" }>;

interface Pending {
  readonly resolve: (answer: Answer) => void;
  readonly reject: (error: AutoglmError) => void;
  readonly rearm: () => void;
  readonly onToken: ((index: number, text: string) => void) | undefined;
}

/** One inference process, seen from the agent. It answers one request at a time. */
export class InferenceChild {
  /** Settles when the process is gone. */
  readonly exited: Promise<void>;
  /** Called when the process has found a better budget for its runs. */
  onCalibrated: (budget: number) => void = () => undefined;
  readonly #process: ChildProcess;
  #pending: Pending | undefined;
  #memoryBytes = 0;

  constructor() {
    const entry = import.meta.url.endsWith(".ts") ? "./worker.ts" : "./worker.js";
    this.#process = fork(fileURLToPath(new URL(entry, import.meta.url)), {
      serialization: "advanced",
      execArgv: [],
      stdio: ["ignore", "ignore", "inherit", "ipc"],
    });
    this.exited = new Promise((resolve) => {
      this.#process.once("exit", (code, signal) => {
        this.#fail(lost("ended", { details: { code, signal } }));
        resolve();
      });
      this.#process.on("error", (cause) => {
        this.#fail(lost("can't be reached", { cause }));
        if (this.#process.pid === undefined) resolve();
      });
    });
    this.#process.on("message", (message: FromWorker) => this.#receive(message));
  }

  get alive(): boolean {
    return (
      this.#process.pid !== undefined && this.#process.exitCode === null && this.#process.signalCode === null
    );
  }

  /** As last measured; 0 before the first time. */
  get memoryBytes(): number {
    return this.alive ? this.#memoryBytes : 0;
  }

  async measureMemory(): Promise<void> {
    const { pid } = this.#process;
    if (pid !== undefined) this.#memoryBytes = await processMemoryBytes(pid);
  }

  /**
   * Sends a request and waits for its answer.
   * @param silenceMs longest wait for the answer or the next sign of progress; then the process is killed
   * @param onToken text of an item of the run, as it is decoded
   * @throws AutoglmError `InferenceTimedOut`, `InferenceWorkerLost`, or what the process answered
   */
  call<K extends Answer["kind"]>(
    message: ToWorker,
    silenceMs: number,
    onToken?: (index: number, text: string) => void,
  ): Promise<Extract<Answer, { kind: K }>> {
    return new Promise((resolve, reject) => {
      const timeOut = () => {
        this.#fail(new AutoglmError("InferenceTimedOut", `no sign of progress within ${silenceMs} ms`));
        void this.kill();
      };
      const timer = setTimeout(timeOut, silenceMs);
      const settle = <T>(outcome: (value: T) => void) => {
        return (value: T) => {
          clearTimeout(timer);
          this.#pending = undefined;
          outcome(value);
        };
      };
      this.#pending = {
        // The process answers `load` with `loaded` and `run` with `done`, or `doneTensors`.
        resolve: settle(resolve as (answer: Answer) => void),
        reject: settle(reject),
        rearm: () => timer.refresh(),
        onToken,
      };
      this.#process.send(message, (cause) => {
        if (cause !== null) this.#fail(lost("can't be reached", { cause }));
      });
    });
  }

  /** Ends the process, whatever it is doing. */
  async kill(): Promise<void> {
    this.#process.kill("SIGKILL");
    await this.exited;
  }

  #receive(message: FromWorker): void {
    if (message.kind === "progress") this.#pending?.rearm();
    else if (message.kind === "token") {
      this.#pending?.rearm();
      this.#pending?.onToken?.(message.index, message.text);
    } else if (message.kind === "calibrated") this.onCalibrated(message.budget);
    else if (message.kind === "failed") this.#fail(asError(message.failure));
    else this.#pending?.resolve(message);
  }

  #fail(error: AutoglmError): void {
    this.#pending?.reject(error);
  }
}

function lost(what: string, options: AutoglmErrorOptions): AutoglmError {
  return new AutoglmError("InferenceWorkerLost", `the inference process ${what}`, options);
}

function asError({ code, message, final }: FailureMessage): AutoglmError {
  return new AutoglmError(code, message, final ? { retry: "never" } : {});
}
