import * as fc from "fast-check";
import { expect, test } from "vitest";
import { downloadEtaSeconds, planCollection } from "./plan.ts";

const blob = fc.record({
  sizeBytes: fc.integer({ min: 1, max: 100 }),
  usedAtMs: fc.nat(50),
  isWanted: fc.boolean(),
});

test("never deletes what is wanted, deletes the longest unused first and no more than it must", () => {
  const bytes = fc.integer({ min: 0, max: 500 });
  fc.assert(
    fc.property(
      fc.array(blob, { maxLength: 10 }),
      bytes,
      bytes,
      bytes,
      (list, limitBytes, freeBytes, neededBytes) => {
        const blobs = list.map((view, index) => ({ ...view, sha256: `blob-${index}` }));
        const wanted = new Set(blobs.filter(({ isWanted }) => isWanted).map(({ sha256 }) => sha256));
        const removed = planCollection({ blobs, wanted, limitBytes, freeBytes, neededBytes });
        expect(removed.filter(({ sha256 }) => wanted.has(sha256))).toEqual([]);
        const kept = blobs.filter((view) => !wanted.has(view.sha256) && !removed.includes(view));
        const youngestRemoved = Math.max(-1, ...removed.map(({ usedAtMs }) => usedAtMs));
        expect(kept.every(({ usedAtMs }) => usedAtMs >= youngestRemoved)).toBe(true);
        const sum = (views: readonly { sizeBytes: number }[]) =>
          views.reduce((total, view) => total + view.sizeBytes, 0);
        const fits = (gone: number) =>
          sum(blobs) - gone + neededBytes <= limitBytes && freeBytes + gone >= neededBytes;
        // Either it fits now, or nothing more can go; and without the last deletion it did not fit.
        expect(fits(sum(removed)) || kept.length === 0).toBe(true);
        expect(removed.length === 0 || !fits(sum(removed.slice(0, -1)))).toBe(true);
      },
    ),
  );
});

test("tells the time left from the rate so far, and nothing before there is one", () => {
  expect(downloadEtaSeconds({ startedAtMs: 0, nowMs: 2000, receivedBytes: 100, remainingBytes: 250 })).toBe(
    5,
  );
  expect(
    downloadEtaSeconds({ startedAtMs: 0, nowMs: 2000, receivedBytes: 0, remainingBytes: 250 }),
  ).toBeUndefined();
  expect(
    downloadEtaSeconds({ startedAtMs: 5, nowMs: 5, receivedBytes: 1, remainingBytes: 250 }),
  ).toBeUndefined();
});
