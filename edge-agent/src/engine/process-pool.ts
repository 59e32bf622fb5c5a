import { AutoglmError } from "@autoglm/api";
import { InferenceChild } from "./child.ts";

/** All inference processes, and one spare without a model, so that loading does not wait for a start. */
export class ProcessPool {
  readonly #children = new Set<InferenceChild>();
  readonly #onExit: () => void;
  #spare: InferenceChild | undefined;
  #closed = false;

  /** @param onExit called whenever a process has ended */
  constructor(onExit: () => void) {
    this.#onExit = onExit;
    this.keepSpare();
  }

  /** A process without a model. @throws AutoglmError `Aborted` once closed */
  take(): InferenceChild {
    const child = this.#spare?.alive === true ? this.#spare : this.#spawn();
    this.#spare = undefined;
    return child;
  }

  /** Called after a load rather than at `take`: two starts at once would only slow each other down. */
  keepSpare(): void {
    if (this.#spare?.alive === true || this.#closed) return;
    try {
      this.#spare = this.#spawn();
    } catch {
      // No memory for a process now: whoever needs one tries again, and gets to know it.
      this.#spare = undefined;
    }
  }

  /** As measured when it was last asked for. */
  usedBytes(): number {
    let bytes = 0;
    for (const { memoryBytes } of this.#children) bytes += memoryBytes;
    void this.measureMemory();
    return bytes;
  }

  async measureMemory(): Promise<void> {
    await Promise.all([...this.#children].map((child) => child.measureMemory()));
  }

  async close(): Promise<void> {
    this.#closed = true;
    await Promise.all([...this.#children].map((child) => child.kill()));
  }

  #spawn(): InferenceChild {
    if (this.#closed) throw new AutoglmError("Aborted", "the engine is closed", { retry: "never" });
    const child = new InferenceChild();
    this.#children.add(child);
    void child.exited.then(() => {
      this.#children.delete(child);
      this.#onExit();
    });
    return child;
  }
}
