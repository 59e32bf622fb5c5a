/** Items whose latency the median is taken over. */
const RECENT_ITEMS = 100;

/** How long the last runs of a model took. */
export class RunTimes {
  readonly #itemMs: number[] = [];
  /** Of the last runs, on average; 0 before the first. */
  msPerUnit = 0;

  /** @returns milliseconds for each item */
  note(runMs: number, run: { readonly items: number; readonly units: number }): number {
    const perUnit = runMs / run.units;
    this.msPerUnit = this.msPerUnit === 0 ? perUnit : this.msPerUnit * 0.9 + 0.1 * perUnit;
    const ms = roundMs(runMs / run.items);
    if (this.#itemMs.push(ms) > RECENT_ITEMS) this.#itemMs.shift();
    return ms;
  }

  /** Median milliseconds of the last items; undefined before the first. */
  get itemMs(): number | undefined {
    return this.#itemMs.toSorted((a, b) => a - b)[this.#itemMs.length >> 1];
  }
}

export const roundMs = (ms: number) => Math.round(ms * 1000) / 1000;
