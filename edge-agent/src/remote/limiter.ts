/**
 * How many requests are open at an endpoint: up to the declared limit; halved when the server says that it is too many, one
 * more after a row of answers. After a pause that the server asked for, nobody starts before it is over.
 */
import { setTimeout as sleep } from "node:timers/promises";

/** Answers in a row before one more is tried. */
const ANSWERS_TO_GROW = 16;

export class Limiter {
  readonly #most: number;
  #limit: number;
  #open = 0;
  #answers = 0;
  #pausedUntil = 0;
  readonly #waiting: (() => void)[] = [];

  constructor(most: number) {
    this.#most = most;
    this.#limit = most;
  }

  /** Open at once at present. */
  get limit(): number {
    return this.#limit;
  }

  /** Runs one request when there is room. @throws the signal's reason when it is aborted while waiting */
  async run<T>(signal: AbortSignal, request: () => Promise<T>): Promise<T> {
    await this.#enter(signal);
    try {
      return await request();
    } finally {
      this.#open--;
      this.#admit();
    }
  }

  noteAnswer(): void {
    this.#answers++;
    if (this.#answers < ANSWERS_TO_GROW || this.#limit >= this.#most) return;
    this.#answers = 0;
    this.#limit++;
    this.#admit();
  }

  noteBusy(pauseMs: number): void {
    this.#answers = 0;
    this.#limit = Math.max(1, Math.floor(this.#limit / 2));
    this.#pausedUntil = Math.max(this.#pausedUntil, performance.now() + pauseMs);
  }

  async #enter(signal: AbortSignal): Promise<void> {
    signal.throwIfAborted();
    if (this.#open >= this.#limit) {
      await new Promise<void>((resolve, reject) => {
        const admit = () => {
          signal.removeEventListener("abort", leave);
          resolve();
        };
        const leave = () => {
          this.#waiting.splice(this.#waiting.indexOf(admit), 1);
          reject(signal.reason);
        };
        signal.addEventListener("abort", leave, { once: true });
        this.#waiting.push(admit);
      });
    } else this.#open++;
    try {
      for (
        let wait = this.#pausedUntil - performance.now();
        wait > 0;
        wait = this.#pausedUntil - performance.now()
      ) {
        await sleep(wait, undefined, { signal });
      }
    } catch (error) {
      this.#open--;
      this.#admit();
      throw error;
    }
  }

  /** Whoever is admitted is counted here, so that nobody slips in between. */
  #admit(): void {
    while (this.#open < this.#limit && this.#waiting.length > 0) {
      this.#open++;
      this.#waiting.shift()?.();
    }
  }
}
