import type { RecordPlace } from "./contents.ts";

interface Waiting {
  readonly record: Buffer;
  readonly apply: (place: RecordPlace) => void;
  readonly done: PromiseWithResolvers<void> | undefined;
}

export interface CommitQueueOptions {
  /** Makes the bytes durable and says where they are. */
  readonly write: (bytes: Buffer) => Promise<{ readonly segment: number; readonly offset: number }>;
  /** Runs after each commit, alone. */
  readonly afterCommit: () => Promise<void>;
}

/**
 * Group commit: while one write is on its way to the disk, all others wait, and then go together with one fdatasync
 * for all. `apply` runs when a record is durable, in the order of the calls.
 */
export class CommitQueue {
  readonly #options: CommitQueueOptions;
  #waiting: Waiting[] = [];
  #running: Promise<void> | undefined;
  /** Of the last write; undefined when it succeeded. */
  lastError: unknown;

  constructor(options: CommitQueueOptions) {
    this.#options = options;
  }

  append(record: Buffer, apply: (place: RecordPlace) => void): Promise<void> {
    const done = Promise.withResolvers<void>();
    this.#push({ record, apply, done });
    return done.promise;
  }

  /**
   * For records that only spare work when they are there: what they say is known again after a restart, at worst
   * through a republished chunk. Tried again with the next commit when the disk refuses.
   */
  appendUnattended(record: Buffer, apply: (place: RecordPlace) => void): void {
    this.#push({ record, apply, done: undefined });
  }

  async idle(): Promise<void> {
    while (this.#running) await this.#running;
  }

  #push(waiting: Waiting): void {
    this.#waiting.push(waiting);
    this.#running ??= this.#run();
  }

  async #run(): Promise<void> {
    // Lets all appends of this turn of the event loop into the first commit.
    await Promise.resolve();
    while (this.#waiting.length > 0) {
      const batch = this.#waiting;
      this.#waiting = [];
      try {
        const { segment, offset } = await this.#options.write(
          Buffer.concat(batch.map(({ record }) => record)),
        );
        this.lastError = undefined;
        this.#apply(batch, segment, offset);
      } catch (error) {
        this.lastError = error;
        const unattended = batch.filter(({ done }) => done === undefined);
        for (const { done } of batch) done?.reject(error);
        this.#waiting = [...unattended, ...this.#waiting];
        // With nobody to tell, the next append tries again.
        if (this.#waiting.every(({ done }) => done === undefined)) break;
        continue;
      }
      await this.#options.afterCommit().catch((error: unknown) => {
        this.lastError = error;
      });
    }
    // In the same turn as the last look at what waits: a push in between would start nobody.
    this.#running = undefined;
  }

  #apply(batch: readonly Waiting[], segment: number, offset: number): void {
    let at = offset;
    for (const { record, apply, done } of batch) {
      apply({ segment, offset: at, length: record.length });
      at += record.length;
      done?.resolve();
    }
  }
}
