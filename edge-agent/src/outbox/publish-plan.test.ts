import * as fc from "fast-check";
import { expect, test } from "vitest";
import { NEVER_SENT, planSends, sendDueAt, type SendGroup, type SendState } from "./publish-plan.ts";

const timing = {
  republishAfterMs: 5000,
  republishAtMostMs: 60_000,
  retryAfterMs: 500,
  retryAtMostMs: 10_000,
};
const sent = (more: Partial<SendState>): SendState => ({
  ...NEVER_SENT,
  sends: 1,
  lastSentAt: 1000,
  ...more,
});

test.each([
  ["never sent", NEVER_SENT, true, -Infinity],
  ["in flight", { ...NEVER_SENT, isInFlight: true }, true, Infinity],
  ["failed once", sent({}), true, 1500],
  ["failed often", sent({ sends: 30 }), true, 11_000],
  ["confirmed, not accepted", sent({ isConfirmed: true }), true, 6000],
  ["confirmed again and again", sent({ isConfirmed: true, sends: 4 }), true, 41_000],
  ["confirmed, unlisted", sent({ isConfirmed: true }), false, Infinity],
  ["failed, unlisted", sent({}), false, 1500],
])("a chunk that is %s is due when it should", (_, state, isListed, expected) => {
  expect(sendDueAt(state, isListed, timing)).toBe(expected);
});

const group = (
  name: string,
  more: Partial<SendGroup<{ id: string }>>,
  chunks: readonly number[],
): SendGroup<{ id: string }> => ({
  isListed: true,
  priority: 0,
  name,
  ...more,
  chunks: chunks.map((chunk) => ({ id: `${name}${chunk}`, chunk, bytes: 100, state: NEVER_SENT })),
});
const base = { nowMs: 1000, window: 100, bytes: 1e9, timing };
const ids = (chunks: readonly { readonly id: string }[]) => chunks.map(({ id }) => id).join(" ");

test("sends by priority, then by number, the unlisted last", () => {
  const groups = [
    group("old", { isListed: false, priority: 9 }, [0]),
    group("low", {}, [2, 1]),
    group("high", { priority: 5 }, [7]),
  ];
  expect(ids(planSends({ ...base, groups }).sends)).toBe("high7 low1 low2 old0");
});

test("keeps to the window and to the bytes, and says that more is due", () => {
  const groups = [group("a", {}, [0, 1, 2, 3])];
  expect(planSends({ ...base, groups, window: 2 })).toMatchObject({ sends: { length: 2 }, nextAtMs: 1000 });
  expect(planSends({ ...base, groups, bytes: 250 })).toMatchObject({ sends: { length: 3 }, nextAtMs: 1000 });
  expect(planSends({ ...base, groups })).toMatchObject({ sends: { length: 4 }, nextAtMs: Infinity });
});

test("the order of the groups changes nothing", () => {
  const anyGroup = fc
    .record({
      name: fc.string({ minLength: 1, maxLength: 3 }),
      isListed: fc.boolean(),
      priority: fc.integer({ min: 0, max: 2 }),
      chunks: fc.uniqueArray(fc.nat(5)),
    })
    .map(({ name, chunks, ...more }) => group(name, more, chunks));
  const groups = fc.uniqueArray(anyGroup, { selector: ({ name }) => name, maxLength: 6 });
  const permuted = groups.chain((list) =>
    fc.shuffledSubarray(list, { minLength: list.length }).map((other) => [list, other] as const),
  );
  fc.assert(
    fc.property(permuted, fc.nat(10), ([list, other], window) => {
      expect(planSends({ ...base, groups: other, window })).toEqual(
        planSends({ ...base, groups: list, window }),
      );
    }),
  );
});
