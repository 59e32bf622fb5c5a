/** Where only one of two models has room, each keeps it so long, and longer by how long loading takes. */
const TURN_MS = 5000;
const TURN_PER_LOAD = 4;

/** A model's hold of the memory that it was loaded into; see {@link Residency}. */
export class Turn {
  /** On the clock of `performance.now()`: until then the model is not asked for its room. */
  ends = 0;
  /** An online request waits for the room: items of tasks wait until it was given back and taken again. */
  isYielding = false;
  hasRun = false;

  /** @param loadMs that loading took */
  begin(loadMs: number): void {
    this.ends = performance.now() + Math.max(TURN_MS, TURN_PER_LOAD * loadMs);
    this.hasRun = false;
  }
}
