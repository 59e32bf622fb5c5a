import type { InferenceChild } from "./child.ts";

/** A process of a model, with what it works on. */
export class Slot {
  readonly child: InferenceChild;
  /** Runs under way; more than one only for a pipeline whose runs overlap. */
  runs = 0;
  /** Of them, those of tasks. */
  taskRuns = 0;
  /** The run under way has it for itself. */
  isAlone = false;

  constructor(child: InferenceChild) {
    this.child = child;
  }

  get busy(): boolean {
    return this.runs > 0;
  }

  /** All that it is busy with came from tasks. */
  get isOnTask(): boolean {
    return this.runs > 0 && this.taskRuns === this.runs;
  }
}
