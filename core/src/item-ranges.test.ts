import fc from "fast-check";
import { describe, expect, it } from "vitest";
import {
  addItem,
  containsItem,
  contiguousFromZero,
  countItems,
  rangesOf,
  subtractRanges,
  unionOfRanges,
} from "./item-ranges.ts";

const items = fc.array(fc.nat(60), { maxLength: 60 });
const numbers = (list: Iterable<number>) => [...new Set(list)].sort((a, b) => a - b);

describe("item ranges are sets of numbers", () => {
  it("reads as ranges", () => {
    expect(rangesOf([3, 1, 2, 7, 7])).toEqual([
      [1, 3],
      [7, 7],
    ]);
  });

  it("adds, unites, subtracts, counts and finds as sets do", () => {
    fc.assert(
      fc.property(items, items, fc.nat(60), (left, right, item) => {
        const [a, b] = [rangesOf(left), rangesOf(right)];
        expect(unionOfRanges(a, b)).toEqual(rangesOf([...left, ...right]));
        expect(subtractRanges(a, b)).toEqual(rangesOf(left.filter((one) => !right.includes(one))));
        expect(addItem(a, item)).toEqual(rangesOf([...left, item]));
        expect(containsItem(a, item)).toBe(left.includes(item));
        expect(countItems(a)).toBe(numbers(left).length);
      }),
    );
  });

  it("knows how far they reach from 0 without a gap", () => {
    fc.assert(
      fc.property(items, (list) => {
        let expected = 0;
        while (list.includes(expected)) expected += 1;
        expect(contiguousFromZero(rangesOf(list))).toBe(expected);
      }),
    );
  });

  it("leaves what it is given as it is", () => {
    const a = rangesOf([1, 5]);
    unionOfRanges(a, [[2, 4]]);
    subtractRanges(a, [[1, 1]]);
    expect(a).toEqual([
      [1, 1],
      [5, 5],
    ]);
  });
});
