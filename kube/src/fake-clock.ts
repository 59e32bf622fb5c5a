import type { Clock } from "./ports.ts";

/** A clock that a test moves; timers run in the order of their due times. */
export class FakeClock implements Clock {
  #nowMs: number;
  readonly #timers = new Set<{ readonly dueAtMs: number; readonly run: () => void }>();

  constructor(startMs = 0) {
    this.#nowMs = startMs;
  }

  /** Timers that have not run and were not cancelled. */
  get pending(): number {
    return this.#timers.size;
  }

  now(): number {
    return this.#nowMs;
  }

  after(delayMs: number, run: () => void): () => void {
    const timer = { dueAtMs: this.#nowMs + delayMs, run };
    this.#timers.add(timer);
    return () => this.#timers.delete(timer);
  }

  advance(ms: number): void {
    const untilMs = this.#nowMs + ms;
    for (;;) {
      const [next] = [...this.#timers]
        .filter((timer) => timer.dueAtMs <= untilMs)
        .toSorted((a, b) => a.dueAtMs - b.dueAtMs);
      if (next === undefined) break;
      this.#timers.delete(next);
      this.#nowMs = next.dueAtMs;
      next.run();
    }
    this.#nowMs = untilMs;
  }
}
