import type { ItemRanges } from "@autoglm/api";

/**
 * Item numbers as ascending ranges without overlap, made for being added to all the time: results come in nearly
 * ascending order, so a few ranges hold millions of items and an addition is a binary search.
 */
export class ItemSet {
  readonly #ranges: [first: number, last: number][] = [];
  #size = 0;

  constructor(ranges: ItemRanges = []) {
    for (const [first, last] of ranges) this.addRange(first, last);
  }

  /** How many items there are. */
  get size(): number {
    return this.#size;
  }

  has(item: number): boolean {
    const range = this.#ranges[this.#firstEndingAtOrAfter(item)];
    return range !== undefined && range[0] <= item;
  }

  add(item: number): void {
    this.addRange(item, item);
  }

  /** Adds first to last, both included; what is in it already stays. */
  addRange(first: number, last: number): void {
    if (last < first) return;
    // Ranges that touch [first - 1, last + 1] melt into one.
    const from = this.#firstEndingAtOrAfter(first - 1);
    let to = from;
    let merged: [number, number] = [first, last];
    for (; to < this.#ranges.length; to++) {
      const range = this.#ranges[to];
      if (range === undefined || range[0] > last + 1) break;
      merged = [Math.min(merged[0], range[0]), Math.max(merged[1], range[1])];
      this.#size -= range[1] - range[0] + 1;
    }
    this.#ranges.splice(from, to - from, merged);
    this.#size += merged[1] - merged[0] + 1;
  }

  addAll(ranges: ItemRanges): void {
    for (const [first, last] of ranges) this.addRange(first, last);
  }

  /** Every item from 0 to total - 1 is in it. */
  coversAll(total: number): boolean {
    if (total === 0) return true;
    const range = this.#ranges[0];
    return range !== undefined && range[0] === 0 && range[1] >= total - 1;
  }

  toRanges(): ItemRanges {
    return this.#ranges.map(([first, last]) => [first, last]);
  }

  #firstEndingAtOrAfter(item: number): number {
    let low = 0;
    let high = this.#ranges.length;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if ((this.#ranges[middle]?.[1] ?? Infinity) < item) low = middle + 1;
      else high = middle;
    }
    return low;
  }
}
