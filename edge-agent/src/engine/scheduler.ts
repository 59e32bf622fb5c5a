import type { ServedModel } from "./served-model.ts";

export interface SchedulerOptions {
  /** Cores for inference. */
  readonly threads: number;
  /** Longest time without a sign of progress in a run. */
  readonly silenceMs: number;
  /** A run has ended, or what waited is gone. */
  readonly onChange: () => void;
  /** Work waits and no process of the model is idle. */
  readonly addProcess: (served: ServedModel) => void;
}

/**
 * Gives waiting items to idle processes, once per turn of the event loop, so that items which arrive together run
 * together. Models take turns by their first item: the more urgent rank first, then the older.
 */
export class Scheduler {
  readonly #models: ReadonlyMap<string, ServedModel>;
  readonly #options: SchedulerOptions;
  /** Counts arrivals and uses: the order of both. */
  #sequence = 0;
  #isDue = false;

  constructor(models: ReadonlyMap<string, ServedModel>, options: SchedulerOptions) {
    this.#models = models;
    this.#options = options;
  }

  nextSequence(): number {
    return ++this.#sequence;
  }

  schedule(): void {
    if (this.#isDue) return;
    this.#isDue = true;
    setImmediate(() => {
      this.#isDue = false;
      this.#pump();
    });
  }

  hasFreeThreads(threads: number): boolean {
    return this.#freeThreads() >= threads;
  }

  #pump(): void {
    const now = performance.now();
    const waiting: ServedModel[] = [];
    let hasDropped = false;
    for (const served of this.#models.values()) {
      hasDropped = served.dropOver(now) || hasDropped;
      if (served.queue.length > 0) waiting.push(served);
    }
    waiting.sort((a, b) => a.firstRank - b.firstRank || a.firstSequence - b.firstSequence);
    for (const served of waiting) this.#serve(served);
    if (hasDropped) this.#options.onChange();
  }

  #serve(served: ServedModel): void {
    const { silenceMs, onChange, addProcess } = this.#options;
    while (served.queue.length > 0) {
      const slot = served.slotForFirst();
      if (slot === undefined) return addProcess(served);
      const free = Math.floor(this.#freeThreads() / served.threads);
      // One process may be busy whatever the others do, and one more with an online request behind tasks.
      if (!slot.busy && served.busyProcesses > 0 && free < 1 && !served.onlineRunsBesideTasks) return;
      served.lastUsed = this.nextSequence();
      const processes = Math.max(1, Math.min(served.idleProcesses, free));
      void served.dispatch(slot, { silenceMs, processes }).then(onChange);
    }
  }

  #freeThreads(): number {
    let busy = 0;
    for (const served of this.#models.values()) busy += served.busyProcesses * served.threads;
    return this.#options.threads - busy;
  }
}
