/** What decides which model gives memory back. */
export interface EvictionView {
  readonly processes: number;
  readonly idleProcesses: number;
  /** Nothing runs, waits or starts. */
  readonly isIdle: boolean;
  /** Loads and requests that are open for it. */
  readonly users: number;
  /** Counts up with every use. */
  readonly lastUsed: number;
}

/**
 * Whose idle process goes first: a further one of a model that keeps another, then the only one of an idle model; among
 * these a model without users before one with, then the one used longest ago. Undefined when everything is busy.
 */
export function chooseVictim<T extends EvictionView>(models: readonly T[]): T | undefined {
  const [first] = models
    .filter((model) => model.idleProcesses > 0 && (model.processes > 1 || model.isIdle))
    .sort(
      (a, b) =>
        Number(b.processes > 1) - Number(a.processes > 1) ||
        Number(a.users > 0) - Number(b.users > 0) ||
        a.lastUsed - b.lastUsed,
    );
  return first;
}
