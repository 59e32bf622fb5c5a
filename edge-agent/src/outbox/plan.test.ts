import * as fc from "fast-check";
import { expect, test } from "vitest";
import { planReclaim, type SegmentView } from "./plan.ts";

const segment = (number: number, bytes: number, liveBytes: number, isPinned = false): SegmentView => ({
  number,
  bytes,
  liveBytes,
  isPinned,
});
const reclaim = (...segments: SegmentView[]) => planReclaim({ segments, segmentBytes: 100 });

test.each([
  ["nothing of nothing", [], undefined],
  ["an empty segment", [segment(1, 100, 0), segment(2, 100, 90)], { kind: "unlink", segment: 1 }],
  ["nothing that is written to", [segment(1, 100, 0, true)], undefined],
  ["nothing while little is dead", [segment(1, 100, 1), segment(2, 100, 1)], undefined],
  [
    "the emptiest when most is dead",
    [segment(1, 100, 30), segment(2, 100, 5), segment(3, 100, 30)],
    { kind: "copy", segment: 2 },
  ],
  ["nothing while more is alive", [segment(1, 500, 300), segment(2, 500, 300)], undefined],
])("reclaims %s", (_, segments, expected) => {
  expect(reclaim(...segments)).toEqual(expected);
});

test("comes to an end, with no more dead than live bytes or two segments' worth", () => {
  const views = fc.array(
    fc.record({ bytes: fc.integer({ min: 1, max: 400 }), live: fc.double({ min: 0, max: 1, noNaN: true }) }),
    { maxLength: 12 },
  );
  fc.assert(
    fc.property(views, (list) => {
      let segments = list.map(({ bytes, live }, index) => segment(index, bytes, Math.floor(bytes * live)));
      for (let round = 0; round <= list.length; round++) {
        const action = reclaim(...segments);
        if (!action) break;
        // Its live bytes go to the active segment, which is not among these.
        segments = segments.filter(({ number }) => number !== action.segment);
      }
      expect(reclaim(...segments)).toBeUndefined();
      const dead = segments.reduce((sum, { bytes, liveBytes }) => sum + bytes - liveBytes, 0);
      const live = segments.reduce((sum, { liveBytes }) => sum + liveBytes, 0);
      expect(dead).toBeLessThanOrEqual(Math.max(live, 200));
    }),
  );
});
