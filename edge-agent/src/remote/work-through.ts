import { setImmediate } from "node:timers/promises";

/** What came of some items; a failure ends the work, after the results that came all the same. */
interface Worked<Result> {
  readonly results: readonly Result[];
  readonly failure?: { readonly error: unknown };
}

export interface WorkThroughOptions<Item, Result> {
  /** Items in work at once, and results that nobody has taken yet. */
  readonly workers: number;
  /** Most items that are given to `work` together; only what is there already is put together. */
  readonly batch: number;
  readonly work: (items: readonly Item[], signal: AbortSignal) => Promise<Worked<Result>>;
  readonly signal: AbortSignal;
}

/**
 * Works through items with some workers and gives the results as they come. No item is taken before there is room for its
 * result. After an error, of the work or of the source, nothing new is begun; what is under way is waited for and its
 * results given, then the error is thrown. When the caller leaves, what is under way is aborted.
 */
export async function* workThrough<Item, Result>(
  items: AsyncIterable<Item>,
  { workers, batch, work, signal }: WorkThroughOptions<Item, Result>,
): AsyncGenerator<Result> {
  const source = new Source(items);
  const leave = new AbortController();
  const stop = AbortSignal.any([signal, leave.signal]);
  const results: Result[] = [];
  let inWork = 0;
  let failure: { readonly error: unknown } | undefined;
  let news = Promise.withResolvers<void>();
  let room = Promise.withResolvers<void>();
  const tell = () => {
    news.resolve();
    news = Promise.withResolvers();
  };
  const makeRoom = () => {
    room.resolve();
    room = Promise.withResolvers();
  };
  const isOver = () => failure !== undefined || stop.aborted || source.ended;
  const onAbort = () => {
    makeRoom();
    tell();
  };
  stop.addEventListener("abort", onAbort, { once: true });

  const worker = async () => {
    while (!isOver()) {
      if (results.length >= workers) {
        await room.promise;
        continue;
      }
      let taken = 0;
      try {
        const items = await source.take(batch, () => {
          taken = 1;
          inWork++;
        });
        // Whatever ended it meanwhile: what was not begun is not begun.
        if (items.length > 0 && failure === undefined && !stop.aborted) {
          const worked = await work(items, stop);
          results.push(...worked.results);
          if (worked.failure !== undefined) throw worked.failure.error;
        }
      } catch (error) {
        failure ??= { error };
        makeRoom();
      } finally {
        inWork -= taken;
        tell();
      }
    }
  };
  for (let count = 0; count < workers; count++) void worker();
  try {
    for (;;) {
      const result = results.shift();
      if (result !== undefined) {
        makeRoom();
        yield result;
      } else if (isOver() && inWork === 0) {
        signal.throwIfAborted();
        if (failure !== undefined) throw failure.error;
        return;
      } else await news.promise;
    }
  } finally {
    stop.removeEventListener("abort", onAbort);
    leave.abort();
    makeRoom();
    source.close();
  }
}

/** Reads an iterator for several workers, one call of `next` at a time. */
class Source<Item> {
  readonly #iterator: AsyncIterator<Item>;
  #next: Promise<IteratorResult<Item>> | undefined;
  #turn: Promise<unknown> = Promise.resolve();
  #ended = false;

  constructor(items: AsyncIterable<Item>) {
    this.#iterator = items[Symbol.asyncIterator]();
  }

  /** No item comes any more. */
  get ended(): boolean {
    return this.#ended;
  }

  /**
   * Waits for one item, and takes more of them as long as they are there at once; none at the end.
   * @param onTaken called as the first is taken
   */
  take(most: number, onTaken: () => void): Promise<readonly Item[]> {
    const taken = this.#turn.then(() => this.#take(most, onTaken));
    this.#turn = taken.catch(() => undefined);
    return taken;
  }

  /** Not awaited: an iterator that waits for its next item does not hear it before that has come. */
  close(): void {
    this.#ended = true;
    Promise.resolve(this.#iterator.return?.()).catch(() => undefined);
  }

  async #take(most: number, onTaken: () => void): Promise<readonly Item[]> {
    const taken: Item[] = [];
    while (taken.length < most && !this.#ended) {
      this.#next ??= this.#iterator.next();
      const late = taken.length === 0 ? [] : [setImmediate("late" as const)];
      const next = await Promise.race([this.#next, ...late]);
      if (next === "late") break;
      this.#next = undefined;
      if (next.done === true) {
        this.#ended = true;
        break;
      }
      if (taken.length === 0) onTaken();
      taken.push(next.value);
    }
    return taken;
  }
}
