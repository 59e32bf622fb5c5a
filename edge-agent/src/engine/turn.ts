/** Where only one of two models has room, each keeps it so long, and longer by how long loading takes. */
const TURN_MS = 5000;
const TURN_PER_LOAD = 4;
/** Between a load and the first run of whoever asked for it. */
const FIRST_RUN_MS = 1000;

/** A model's hold of the memory that it was loaded into; see {@link Residency}. */
export class Turn {
  /** On the clock of `performance.now()`: until then the model is not asked for its room. */
  ends = 0;
  /** An online request waits for the room: items of tasks wait until it was given back and taken again. */
  isYielding = false;
  hasRun = false;
  #firstRunBy = 0;

  /** @param loadMs that loading took */
  begin(loadMs: number): void {
    const now = performance.now();
    this.ends = now + Math.max(TURN_MS, TURN_PER_LOAD * loadMs);
    this.hasRun = false;
    this.#firstRunBy = now + FIRST_RUN_MS;
  }

  /** Its first run is to come, though nobody is there who waits for it. */
  expectsFirstRun(now: number): boolean {
    return !this.hasRun && now < this.#firstRunBy;
  }

  /** When something of it is over next; Infinity for never. */
  nextEnd(now: number): number {
    if (this.expectsFirstRun(now)) return Math.min(this.#firstRunBy, this.ends);
    return this.ends > now ? this.ends : Infinity;
  }
}
