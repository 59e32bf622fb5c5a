export interface Peeked<T> {
  /** Empty once `all` has gone past it: it may be large. */
  readonly head: readonly T[];
  /** The head is all of it. */
  readonly complete: boolean;
  /** What was read already, and the rest. */
  readonly all: AsyncGenerator<T, void, undefined>;
  /** For a reader that does not want the rest: leaving `all` unread closes nothing. */
  readonly close: () => Promise<void>;
}

/** Reads on until an element is enough or there are no more. */
export async function peek<T>(
  source: AsyncGenerator<T, void, undefined>,
  enough: (element: T) => boolean,
): Promise<Peeked<T>> {
  const head: T[] = [];
  let complete = false;
  for (let done = false; !done;) {
    const next = await source.next();
    if (next.done === true) complete = done = true;
    else {
      head.push(next.value);
      done = enough(next.value);
    }
  }
  async function* replay(): AsyncGenerator<T, void, undefined> {
    try {
      while (head.length > 0) yield head.shift() as T;
      yield* source;
    } finally {
      // Ended early by the reader, the source below still has a file to close.
      await source.return();
    }
  }
  return { head, complete, all: replay(), close: async () => void (await source.return()) };
}
