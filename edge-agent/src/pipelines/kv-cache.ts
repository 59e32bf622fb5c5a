import type { Session, Tensor } from "./pipeline.ts";

export interface KvShape {
  readonly layers: number;
  readonly kvHeads: number;
  readonly headDim: number;
}

/** Keys and values of some rows. */
export interface KvBlock {
  readonly rows: number;
  /** Positions of a row in the data; a row may use fewer of them. */
  readonly stride: number;
  /** [row][head][position][headDim] of buffer `index`: keys, values of layer 0, keys, values of layer 1, … */
  readonly part: (index: number) => Float32Array;
}

/** Positions by which the buffers grow. */
const GROWTH = 64;

/** Positions that a row of `length` occupies. */
export const positionsFor = (length: number): number => Math.ceil(length / GROWTH) * GROWTH;

/**
 * Keys and values of the rows of a batch.
 *
 *     one buffer per layer and kind: [row][head][position][headDim]; rows lie next to each other
 *
 * The graph reads the buffers where they are, and a step writes one token per row into them: the cache itself is copied
 * only when it grows, when it halves, or when a row leaves from the middle. Fetching the whole of it from the runtime at each
 * step, as loops usually do, costs as much as the step itself from about 500 tokens on.
 */
export class KvCache {
  readonly lengths: number[] = [];
  readonly #session: Session;
  readonly #shape: KvShape;
  #buffers: readonly Float32Array[] = [];
  #allocatedRows = 0;
  #capacity = 0;
  #feeds: Readonly<Record<string, Tensor>> | undefined;

  constructor(session: Session, shape: KvShape) {
    this.#session = session;
    this.#shape = shape;
  }

  get rows(): number {
    return this.lengths.length;
  }

  /** Positions of every row, used or not. */
  get capacity(): number {
    return this.#capacity;
  }

  /** `past_key_values.*` of all rows. The tensors stay valid until rows come, go or grow. */
  feeds(): Readonly<Record<string, Tensor>> {
    const { kvHeads, headDim } = this.#shape;
    const dims = [this.rows, kvHeads, this.#capacity, headDim];
    const used = this.rows * this.#rowSize();
    this.#feeds ??= this.#feedsOf((index) =>
      this.#session.float32(this.#buffers[index]?.subarray(0, used) ?? new Float32Array(0), dims),
    );
    return this.#feeds;
  }

  /** No past, for rows that begin. */
  emptyFeeds(rows: number): Readonly<Record<string, Tensor>> {
    const { kvHeads, headDim } = this.#shape;
    return this.#feedsOf(() => this.#session.float32(new Float32Array(0), [rows, kvHeads, 0, headDim]));
  }

  /** All rows, as another cache takes them in; good until this one changes. */
  block(): KvBlock {
    return {
      rows: this.rows,
      stride: this.#capacity,
      part: (index) => this.#buffers[index] ?? new Float32Array(0),
    };
  }

  /** Rows that join behind those that are there, with the tokens of each. */
  add(block: KvBlock, lengths: readonly number[]): void {
    const first = this.rows;
    this.reserve(first + lengths.length, Math.max(...lengths));
    this.lengths.push(...lengths.map(() => 0));
    this.#feeds = undefined;
    this.#write(block, first, lengths);
  }

  /** `tokens` more of every row. */
  append(block: KvBlock, tokens: number): void {
    this.reserve(this.rows, Math.max(0, ...this.lengths) + tokens);
    const counts = this.lengths.map(() => tokens);
    this.#write(block, 0, counts);
  }

  /** The last row takes the place of the one that leaves. */
  remove(row: number): void {
    const last = this.rows - 1;
    const size = this.#rowSize();
    if (row < last) {
      for (const buffer of this.#buffers) buffer.copyWithin(row * size, last * size, (last + 1) * size);
      this.lengths[row] = this.lengths[last] ?? 0;
    }
    this.lengths.length = last;
    this.#feeds = undefined;
    if (last === 0) this.#clear();
    else this.#shrink();
  }

  /** Room for so many rows of such a length, so that it does not grow on the way there. */
  reserve(rows: number, length: number): void {
    if (rows <= this.#allocatedRows && length <= this.#capacity) return;
    this.#reallocate(Math.max(rows, this.rows), Math.max(this.#capacity, positionsFor(length)));
  }

  /** A long row that has left is no burden for the short ones: the graph reads all positions, used or not. */
  #shrink(): void {
    const needed = positionsFor(Math.max(...this.lengths) + 1);
    if (2 * needed <= this.#capacity) this.#reallocate(this.rows, needed);
  }

  #reallocate(rows: number, capacity: number): void {
    const { layers, kvHeads, headDim } = this.#shape;
    const before = { buffers: this.#buffers, stride: this.#capacity * headDim };
    this.#allocatedRows = rows;
    this.#capacity = capacity;
    this.#feeds = undefined;
    const stride = capacity * headDim;
    this.#buffers = Array.from({ length: 2 * layers }, (_, index) => {
      const buffer = new Float32Array(rows * this.#rowSize());
      const old = before.buffers[index];
      for (const [row, held] of this.lengths.entries()) {
        for (let head = row * kvHeads; head < (row + 1) * kvHeads; head++) {
          const from = head * before.stride;
          if (old !== undefined) buffer.set(old.subarray(from, from + held * headDim), head * stride);
        }
      }
      return buffer;
    });
  }

  #write({ stride, part }: KvBlock, first: number, counts: readonly number[]): void {
    const { kvHeads, headDim } = this.#shape;
    for (const [index, buffer] of this.#buffers.entries()) {
      const from = part(index);
      for (const [row, count] of counts.entries()) {
        const length = this.lengths[first + row] ?? 0;
        for (let head = 0; head < kvHeads; head++) {
          const start = (row * kvHeads + head) * stride * headDim;
          const to = (((first + row) * kvHeads + head) * this.#capacity + length) * headDim;
          buffer.set(from.subarray(start, start + count * headDim), to);
        }
      }
    }
    for (const [row, count] of counts.entries()) {
      this.lengths[first + row] = (this.lengths[first + row] ?? 0) + count;
    }
  }

  #clear(): void {
    this.#buffers = [];
    this.#allocatedRows = 0;
    this.#capacity = 0;
  }

  #rowSize(): number {
    return this.#shape.kvHeads * this.#capacity * this.#shape.headDim;
  }

  #feedsOf(tensorOf: (index: number) => Tensor): Readonly<Record<string, Tensor>> {
    const feeds: Record<string, Tensor> = {};
    for (let layer = 0; layer < this.#shape.layers; layer++) {
      feeds[`past_key_values.${layer}.key`] = tensorOf(2 * layer);
      feeds[`past_key_values.${layer}.value`] = tensorOf(2 * layer + 1);
    }
    return feeds;
  }
}
