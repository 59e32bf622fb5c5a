import { fork, type ChildProcess } from "node:child_process";
import { fileURLToPath } from "node:url";
import { AutoglmError, assertNever, type AutoglmErrorOptions } from "@autoglm/api";
import { processMemoryBytes } from "./memory.ts";
import type { FailureMessage, FromWorker, RunCosts, ToWorker, WorkerAnswer } from "./protocol.ts";

type Answer = Exclude<WorkerAnswer, { kind: "failed" }>;

interface Pending {
  readonly resolve: (answer: Answer) => void;
  readonly reject: (error: AutoglmError) => void;
  readonly rearm: () => void;
  readonly listener: RunListener | undefined;
  isDropped: boolean;
}

export interface RunListener {
  /** Text of an item of the run, as it is decoded. */
  readonly onToken?: ((index: number, text: string) => void) | undefined;
  /** Nobody waits for the run any more. */
  readonly isOver?: (() => boolean) | undefined;
}

/** One inference process, seen from the agent. It answers one request after the other, or several whose runs overlap. */
export class InferenceChild {
  /** Settles when the process is gone, with how it ended. */
  readonly exited: Promise<AutoglmError>;
  /** Called when the process has found out what its runs cost. */
  onCalibrated: (costs: RunCosts) => void = () => undefined;
  readonly #process: ChildProcess;
  readonly #pending = new Map<number, Pending>();
  #calls = 0;
  #memoryBytes = 0;
  /** It did not end by itself. */
  wasKilled = false;

  constructor() {
    const entry = import.meta.url.endsWith(".ts") ? "./worker.ts" : "./worker.js";
    this.#process = fork(fileURLToPath(new URL(entry, import.meta.url)), {
      serialization: "advanced",
      execArgv: [],
      stdio: ["ignore", "ignore", "inherit", "ipc"],
    });
    this.exited = new Promise((resolve) => {
      this.#process.once("exit", (code, signal) => {
        const error = lost("ended", { details: { code, signal } });
        this.#failAll(error);
        resolve(error);
      });
      this.#process.on("error", (cause) => {
        const error = lost("can't be reached", { cause });
        this.#failAll(error);
        if (this.#process.pid === undefined) resolve(error);
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
   * @throws AutoglmError `InferenceTimedOut`, `InferenceWorkerLost`, or what the process answered
   */
  call<K extends Answer["kind"]>(
    message: ToWorker,
    silenceMs: number,
    listener?: RunListener,
  ): Promise<Extract<Answer, { kind: K }>> {
    const id = ++this.#calls;
    return new Promise((resolve, reject) => {
      const timer = setTimeout(() => {
        this.#fail(id, new AutoglmError("InferenceTimedOut", `no sign of progress within ${silenceMs} ms`));
        void this.kill();
      }, silenceMs);
      const settle = <T>(outcome: (value: T) => void) => {
        return (value: T) => {
          clearTimeout(timer);
          this.#pending.delete(id);
          outcome(value);
        };
      };
      this.#pending.set(id, {
        // The process answers `load` with `loaded` and `run` with `done`, or `doneTensors`.
        resolve: settle(resolve as (answer: Answer) => void),
        reject: settle(reject),
        rearm: () => timer.refresh(),
        listener,
        isDropped: false,
      });
      this.#process.send({ id, ...message }, (cause) => {
        if (cause !== null) this.#fail(id, lost("can't be reached", { cause }));
      });
    });
  }

  /** Ends the process, whatever it is doing. */
  async kill(): Promise<void> {
    this.wasKilled = true;
    this.#process.kill("SIGKILL");
    await this.exited;
  }

  #receive(message: FromWorker): void {
    switch (message.kind) {
      case "progress":
        for (const [id, pending] of this.#pending) this.#noteProgress(id, pending);
        return;
      case "token": {
        const pending = this.#pending.get(message.id);
        if (pending === undefined) return;
        pending.listener?.onToken?.(message.index, message.text);
        this.#noteProgress(message.id, pending);
        return;
      }
      case "calibrated":
        this.onCalibrated(message.costs);
        return;
      case "failed":
        this.#fail(message.id, asError(message.failure));
        return;
      case "loaded":
      case "done":
      case "doneTensors":
        this.#pending.get(message.id)?.resolve(message);
        return;
      default:
        assertNever(message);
    }
  }

  /** A run that nobody waits for any more is told so, once. */
  #noteProgress(id: number, pending: Pending): void {
    pending.rearm();
    if (pending.isDropped || pending.listener?.isOver?.() !== true) return;
    pending.isDropped = true;
    this.#process.send({ id, kind: "drop" });
  }

  #fail(id: number, error: AutoglmError): void {
    this.#pending.get(id)?.reject(error);
  }

  #failAll(error: AutoglmError): void {
    for (const { reject } of Array.from(this.#pending.values())) reject(error);
  }
}

function lost(what: string, options: AutoglmErrorOptions): AutoglmError {
  return new AutoglmError("InferenceWorkerLost", `the inference process ${what}`, options);
}

function asError({ code, message, final }: FailureMessage): AutoglmError {
  return new AutoglmError(code, message, final ? { retry: "never" } : {});
}
