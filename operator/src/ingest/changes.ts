/** Lets readers wait until something about a task changes, without asking again and again. */
export class Changes {
  readonly #waiting = new Map<string, Set<() => void>>();

  /** Wakes whoever waits for this task. */
  announce(task: string): void {
    for (const wake of this.#waiting.get(task) ?? []) wake();
  }

  /** Resolves at the next change, after `timeoutMs`, or when the signal fires; never rejects. */
  async wait(task: string, timeoutMs: number, signal: AbortSignal): Promise<void> {
    const { promise, resolve } = Promise.withResolvers<void>();
    const wake = (): void => resolve();
    const waiting = this.#waiting.get(task) ?? new Set();
    this.#waiting.set(task, waiting.add(wake));
    const timer = setTimeout(wake, timeoutMs);
    signal.addEventListener("abort", wake, { once: true });
    if (signal.aborted) wake();
    await promise;
    clearTimeout(timer);
    signal.removeEventListener("abort", wake);
    waiting.delete(wake);
    if (waiting.size === 0) this.#waiting.delete(task);
  }
}
