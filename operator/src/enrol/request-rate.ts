/** How many requests each address may make: a window of a minute, and a bounded memory of addresses. */
export class RequestRate {
  readonly #perMinute: number;
  readonly #nowMs: () => number;
  #window = 0;
  #counts = new Map<string, number>();

  constructor(perMinute: number, nowMs: () => number) {
    this.#perMinute = perMinute;
    this.#nowMs = nowMs;
  }

  /** Counts the request. */
  allows(address: string): boolean {
    const window = Math.floor(this.#nowMs() / 60_000);
    if (window !== this.#window) {
      this.#window = window;
      this.#counts = new Map();
    }
    const count = (this.#counts.get(address) ?? 0) + 1;
    this.#counts.set(address, count);
    return count <= this.#perMinute;
  }
}
