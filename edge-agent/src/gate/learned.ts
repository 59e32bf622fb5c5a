/**
 * What audits teach about one edge model: shared by all gates that use it at the same time, so that none writes over what
 * another learned. Each of them hears of every outcome, to write it into its own log: a replay learns in the same order.
 */
import { learnOutcome, type CalibrationState } from "@autoglm/core";
import type { Log } from "@autoglm/telemetry";

export type LearnableOutcome = Parameters<typeof learnOutcome>[1];

/** Called before the outcome counts. */
export type OutcomeListener = (outcome: LearnableOutcome) => void;

export interface LearnedOptions {
  readonly known: CalibrationState;
  readonly save: (state: CalibrationState) => Promise<void>;
  readonly log: Log;
}

export class Learned {
  readonly #options: LearnedOptions;
  readonly #listeners = new Set<OutcomeListener>();
  #calibration: CalibrationState;
  /** What need not be written again: what the file says, or what a new one begins with. */
  #written: CalibrationState;
  #saving: Promise<void> | undefined;

  constructor(options: LearnedOptions) {
    this.#options = options;
    this.#calibration = options.known;
    this.#written = options.known;
  }

  get calibration(): CalibrationState {
    return this.#calibration;
  }

  follow(listener: OutcomeListener): void {
    this.#listeners.add(listener);
  }

  unfollow(listener: OutcomeListener): void {
    this.#listeners.delete(listener);
  }

  learn(outcome: LearnableOutcome): void {
    for (const listener of this.#listeners) listener(outcome);
    this.#calibration = learnOutcome(this.#calibration, outcome);
    void this.#save();
  }

  /** Resolves when what was learned so far is on the disk; where that fails again, the log says so. */
  async saved(): Promise<void> {
    await this.#saving;
    // A write failed, and the next outcome, which would bring another one, may never come.
    if (this.#written !== this.#calibration) await this.#save();
  }

  /** The newest, one write at a time. */
  #save(): Promise<void> {
    this.#saving ??= this.#write().finally(() => {
      this.#saving = undefined;
    });
    return this.#saving;
  }

  /** Never rejects: what was learned counts without a file. */
  async #write(): Promise<void> {
    const { save, log } = this.#options;
    while (this.#written !== this.#calibration) {
      const calibration = this.#calibration;
      try {
        await save(calibration);
        this.#written = calibration;
      } catch (error) {
        log.warn({ error }, "what the gate learned could not be written down");
        return;
      }
    }
  }
}
