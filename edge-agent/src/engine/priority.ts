import { readdirSync } from "node:fs";
import { setPriority } from "node:os";

/** A third of the agent's share where both want the same core. */
const NICENESS = 5;

/**
 * Lets the agent go first where all cores are busy: it has to read, answer and hand out work within milliseconds, a run
 * takes many. Called once the model is loaded, since a process that replaces a lost one is waited for.
 */
export function giveWayToAgent(): void {
  try {
    // On Linux each thread has a priority of its own, those of the runtime's pool too.
    for (const thread of readdirSync("/proc/self/task")) setPriority(Number(thread), NICENESS);
  } catch {
    // No /proc, or a thread that has just ended: the priority is a matter of latency, not of results.
  }
}
