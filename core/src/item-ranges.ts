/**
 * Sets of item numbers as inclusive ranges: ascending, disjoint, and never adjacent, so that equal sets have equal
 * ranges. Every function takes and returns that form.
 */
import type { ItemRanges } from "@autoglm/api";

export const NO_ITEMS: ItemRanges = [];

/** The set of some numbers, in any order, with repetitions. */
export function rangesOf(items: Iterable<number>): ItemRanges {
  const ranges: ItemRanges = [];
  for (const item of [...items].sort((a, b) => a - b)) {
    const last = ranges.at(-1);
    if (last !== undefined && item <= last[1] + 1) last[1] = Math.max(last[1], item);
    else ranges.push([item, item]);
  }
  return ranges;
}

export function unionOfRanges(a: ItemRanges, b: ItemRanges): ItemRanges {
  const union: ItemRanges = [];
  for (const [first, last] of [...a, ...b].sort((x, y) => x[0] - y[0])) {
    const previous = union.at(-1);
    if (previous !== undefined && first <= previous[1] + 1) previous[1] = Math.max(previous[1], last);
    else union.push([first, last]);
  }
  return union;
}

/** Items of `a` that are not in `b`. */
export function subtractRanges(a: ItemRanges, b: ItemRanges): ItemRanges {
  const rest: ItemRanges = [];
  let next = 0;
  for (const [first, last] of a) {
    let from = first;
    while (next < b.length && (b[next]?.[1] ?? Infinity) < from) next += 1;
    for (let index = next; index < b.length && from <= last; index += 1) {
      const [holeFirst, holeLast] = b[index] ?? [Infinity, Infinity];
      if (holeFirst > last) break;
      if (holeFirst > from) rest.push([from, holeFirst - 1]);
      from = Math.max(from, holeLast + 1);
    }
    if (from <= last) rest.push([from, last]);
  }
  return rest;
}

export function addItem(ranges: ItemRanges, item: number): ItemRanges {
  return unionOfRanges(ranges, [[item, item]]);
}

export function containsItem(ranges: ItemRanges, item: number): boolean {
  let low = 0;
  let high = ranges.length - 1;
  while (low <= high) {
    const middle = (low + high) >> 1;
    const [first, last] = ranges[middle] ?? [0, -1];
    if (item < first) high = middle - 1;
    else if (item > last) low = middle + 1;
    else return true;
  }
  return false;
}

export function countItems(ranges: ItemRanges): number {
  return ranges.reduce((sum, [first, last]) => sum + last - first + 1, 0);
}

/** How many of 0, 1, 2, … are in the set before the first that is not. */
export function contiguousFromZero(ranges: ItemRanges): number {
  const [first] = ranges;
  return first?.[0] === 0 ? first[1] + 1 : 0;
}
