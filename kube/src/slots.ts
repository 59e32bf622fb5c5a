/** A fixed number of slots, given out first come, first served. */
export class Slots {
  #free: number;
  readonly #waiting = new Set<() => void>();

  constructor(count: number) {
    this.#free = count;
  }

  /** Waits for a slot and returns what gives it back. Rejects with the signal's reason. */
  async take(signal: AbortSignal): Promise<() => void> {
    signal.throwIfAborted();
    if (this.#free > 0) {
      this.#free -= 1;
    } else {
      await new Promise<void>((resolve, reject) => {
        const granted = (): void => {
          signal.removeEventListener("abort", aborted);
          resolve();
        };
        const aborted = (): void => {
          this.#waiting.delete(granted);
          reject(signal.reason);
        };
        this.#waiting.add(granted);
        signal.addEventListener("abort", aborted, { once: true });
      });
    }
    return () => this.#release();
  }

  #release(): void {
    const [next] = this.#waiting;
    if (next === undefined) {
      this.#free += 1;
      return;
    }
    // The slot goes straight to the next in line: a newcomer can't slip in between.
    this.#waiting.delete(next);
    next();
  }
}
