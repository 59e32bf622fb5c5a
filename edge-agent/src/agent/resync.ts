import type { Log } from "@autoglm/telemetry";
import { pause } from "./backoff.ts";

export interface ResyncOptions {
  readonly intervalMs: number;
  readonly isConnected: () => boolean;
  /** Gets the document and acts on it. */
  readonly fetch: () => Promise<void>;
  readonly log: Log;
  readonly random?: () => number;
}

const RETRY_MS = 1000;

/**
 * Fetches at once when told to, and every now and then without being told, because a poke may be lost. Only one fetch
 * at a time; what is told meanwhile leads to exactly one more.
 */
export class Resync {
  readonly #options: ResyncOptions;
  #wake = new AbortController();

  constructor(options: ResyncOptions) {
    this.#options = options;
  }

  now(): void {
    this.#wake.abort();
  }

  async run(signal: AbortSignal): Promise<void> {
    const { intervalMs, isConnected, fetch, log, random = Math.random } = this.#options;
    while (!signal.aborted) {
      // Renewed before the fetch: a poke during it counts.
      this.#wake = new AbortController();
      let waitMs = intervalMs * (0.75 + random() / 2);
      if (isConnected()) {
        try {
          await fetch();
        } catch (error) {
          log.debug({ error }, "the desired document can't be fetched now");
          waitMs = Math.min(waitMs, RETRY_MS);
        }
      }
      await pause(waitMs, AbortSignal.any([signal, this.#wake.signal]));
    }
  }
}
