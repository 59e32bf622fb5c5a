/**
 * Items on their way from one stage to the next. Unbounded: what bounds it is that a request reads no more items than it
 * may have open (gated-request.ts).
 */
export class Channel<Item> implements AsyncIterable<Item> {
  readonly #waiting: Item[] = [];
  #isClosed = false;
  #changed = Promise.withResolvers<void>();

  push(item: Item): void {
    this.#waiting.push(item);
    this.#wake();
  }

  /** No item comes any more; those that wait are still taken. */
  close(): void {
    this.#isClosed = true;
    this.#wake();
  }

  /** For one reader. */
  async *[Symbol.asyncIterator](): AsyncGenerator<Item> {
    for (;;) {
      const item = this.#waiting.shift();
      if (item !== undefined) yield item;
      else if (this.#isClosed) return;
      else await this.#changed.promise;
    }
  }

  #wake(): void {
    this.#changed.resolve();
    this.#changed = Promise.withResolvers();
  }
}
