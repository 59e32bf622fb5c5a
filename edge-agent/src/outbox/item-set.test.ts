import * as fc from "fast-check";
import { expect, test } from "vitest";
import { ItemSet } from "./item-set.ts";

test("holds what a plain set holds, as few ascending ranges", () => {
  const range = fc.tuple(fc.nat(60), fc.nat(8)).map(([first, more]) => [first, first + more] as const);
  fc.assert(
    fc.property(fc.array(range, { maxLength: 30 }), (added) => {
      const items = new ItemSet();
      const model = new Set<number>();
      for (const [first, last] of added) {
        items.addRange(first, last);
        for (let item = first; item <= last; item++) model.add(item);
      }
      expect(items.size).toBe(model.size);
      for (let item = 0; item <= 70; item++) expect(items.has(item)).toBe(model.has(item));
      const ranges = items.toRanges();
      for (let index = 1; index < ranges.length; index++) {
        // A gap of one at least, or the two would be one range.
        expect(ranges[index]?.[0]).toBeGreaterThan((ranges[index - 1]?.[1] ?? Infinity) + 1);
      }
      for (const total of [0, 1, 10, 69]) {
        const all = Array.from({ length: total }, (_, item) => model.has(item)).every(Boolean);
        expect(items.coversAll(total)).toBe(all);
      }
    }),
  );
});
