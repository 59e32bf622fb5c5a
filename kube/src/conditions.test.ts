import * as fc from "fast-check";
import { describe, expect, it } from "vitest";
import { type ConditionDraft, formatMicroTime, formatTime, mergeConditions } from "./conditions.ts";

const draft = (status: ConditionDraft["status"], message = ""): ConditionDraft => ({
  type: "Ready",
  status,
  reason: "Because",
  message,
});
const at = (nowMs: number) => ({ nowMs, observedGeneration: 3 });
const drafts = fc.uniqueArray(
  fc.record({
    type: fc.constantFrom("Accepted", "Placed", "Running", "Ready"),
    status: fc.constantFrom("True" as const, "False" as const, "Unknown" as const),
    reason: fc.constantFrom("One", "Two"),
    message: fc.string({ maxLength: 5 }),
  }),
  { selector: (one) => one.type },
);

describe("merging conditions", () => {
  it("keeps the time while the status stays and moves it when the status flips", () => {
    const first = mergeConditions([], [draft("False")], at(0));
    expect(first).toEqual([
      { ...draft("False"), lastTransitionTime: "1970-01-01T00:00:00Z", observedGeneration: 3 },
    ]);
    const sameStatus = mergeConditions(first, [draft("False", "still")], at(5000));
    expect(sameStatus[0]).toMatchObject({ message: "still", lastTransitionTime: "1970-01-01T00:00:00Z" });
    const flipped = mergeConditions(sameStatus, [draft("True")], at(5000));
    expect(flipped[0]?.lastTransitionTime).toBe("1970-01-01T00:00:05Z");
  });

  it("drops what is no longer said", () => {
    const before = mergeConditions([], [draft("True"), { ...draft("True"), type: "Placed" }], at(0));
    expect(mergeConditions(before, [draft("True")], at(1)).map((one) => one.type)).toEqual(["Ready"]);
  });

  it("is a fixpoint: merged again at a later time, nothing changes", () => {
    fc.assert(
      fc.property(drafts, drafts, (before, next) => {
        const previous = mergeConditions([], before, at(0));
        const merged = mergeConditions(previous, next, at(60_000));
        expect(mergeConditions(merged, next, at(120_000))).toEqual(merged);
      }),
    );
  });
});

describe("times", () => {
  it("are written as the API server wants them", () => {
    const moment = Date.UTC(2026, 10, 23, 4, 5, 6, 7);
    expect(formatTime(moment)).toBe("2026-11-23T04:05:06Z");
    expect(formatMicroTime(moment)).toBe("2026-11-23T04:05:06.007000Z");
  });
});
