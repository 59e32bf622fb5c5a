import { AutoglmError } from "@autoglm/api";

/** A model whose processes end by themselves so often in this time is set aside. */
const CRASHES = 3;
const CRASH_WINDOW_MS = 600_000;

/** When the processes of a model ended by themselves. */
export class Crashes {
  readonly #times: number[] = [];

  /** @returns why the model gets no process any more, when it was one time too many */
  note(model: string, error: AutoglmError): AutoglmError | undefined {
    const now = performance.now();
    while ((this.#times[0] ?? now) < now - CRASH_WINDOW_MS) this.#times.shift();
    if (this.#times.push(now) < CRASHES) return undefined;
    return new AutoglmError(
      "ModelSetAside",
      `model ${model} is set aside: its process ended by itself ${CRASHES} times in ${CRASH_WINDOW_MS / 60_000} minutes, ${howItEnded(error)}; ` +
        `look for its reason in the log of the agent, then POST /v2/repository/models/${model}/load, or give it other files`,
      { cause: error, details: { crashes: this.#times.length } },
    );
  }

  forget(): void {
    this.#times.length = 0;
  }
}

function howItEnded({ details }: AutoglmError): string {
  const { code, signal } = details;
  if (typeof signal === "string")
    return `the last time by ${signal}${signal === "SIGKILL" ? " (out of memory?)" : ""}`;
  return typeof code === "number" ? `the last time with exit code ${code}` : "the last time without a word";
}
