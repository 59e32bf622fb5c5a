import type { Ledger } from "@autoglm/api";
import { afterEach, beforeEach, expect, it, vi } from "vitest";
import { LedgerPublisher } from "./ledger-publisher.ts";

const START = Date.parse("2026-11-23T08:00:00Z");
let ledgers: Map<string, Ledger>;
let published: { readonly at: number; readonly ledger: Ledger }[];
let publisher: LedgerPublisher;
let errors: unknown[];
let fail: Error | undefined;

beforeEach(() => {
  vi.useFakeTimers({ now: START });
  ledgers = new Map();
  published = [];
  errors = [];
  fail = undefined;
  publisher = new LedgerPublisher({
    read: (task) => ledgers.get(task),
    publish: async (ledger) => {
      // As long as a publish takes on the bus.
      await new Promise((resolve) => setTimeout(resolve, 5));
      if (fail !== undefined) throw fail;
      published.push({ at: Date.now() - START, ledger });
    },
    onError: (error) => errors.push(error),
    now: Date.now,
  });
});
afterEach(() => {
  publisher.stop();
  vi.useRealTimers();
});

function accept(task: string, accepted: number, urgent = false, storeFull = false): void {
  ledgers.set(task, {
    v: 1,
    task,
    run: 0,
    revision: START + accepted,
    accepted,
    failed: 0,
    complete: false,
    duplicatesDropped: 0,
    acceptedItems: [],
    assignments: [],
    sample: [],
    storeFull,
  });
  publisher.touch(task, urgent);
}
const counts = () => published.map(({ ledger }) => ledger.accepted);

it("publishes a first result at once, what follows at most every 250 ms, and the last state in the end", async () => {
  for (let accepted = 1; accepted <= 100; accepted += 1) {
    accept("t-1", accepted);
    await vi.advanceTimersByTimeAsync(10);
  }
  await vi.advanceTimersByTimeAsync(1000);
  expect(published[0]).toMatchObject({ at: 5, ledger: { accepted: 1 } });
  expect(published.length).toBeLessThanOrEqual(5);
  expect(counts().at(-1)).toBe(100);
});

it("does not let completion wait, whether it rests or publishes", async () => {
  accept("t-1", 1);
  accept("t-1", 2, true);
  await vi.advanceTimersByTimeAsync(10);
  expect(counts()).toEqual([1, 2]);
  accept("t-1", 3);
  accept("t-1", 4, true);
  await vi.advanceTimersByTimeAsync(5);
  expect(counts()).toEqual([1, 2, 4]);
});

it("gives each task its own pace", async () => {
  accept("t-1", 1);
  await vi.advanceTimersByTimeAsync(10);
  accept("t-1", 2);
  accept("t-2", 7);
  await vi.advanceTimersByTimeAsync(10);
  expect(counts()).toEqual([1, 7]);
});

it("raises the revision when only storeFull changes, and above that of an earlier process", async () => {
  accept("t-1", -5000);
  await vi.advanceTimersByTimeAsync(300);
  accept("t-1", -5000, false, true);
  await vi.advanceTimersByTimeAsync(300);
  const [first, second] = published.map(({ ledger }) => ledger.revision);
  expect(first).toBe(START);
  expect(second).toBe(START + 1);
});

it("says nothing about a task once it is forgotten", async () => {
  accept("t-1", 1);
  accept("t-1", 2);
  ledgers.delete("t-1");
  let isForgotten = false;
  void publisher.forget("t-1").then(() => (isForgotten = true));
  await vi.advanceTimersByTimeAsync(0);
  // The first ledger is still on its way.
  expect([isForgotten, counts()]).toEqual([false, []]);
  await vi.advanceTimersByTimeAsync(1000);
  expect([isForgotten, counts()]).toEqual([true, [1]]);
});

it("goes on after a publish that failed", async () => {
  fail = new Error("no bus");
  accept("t-1", 1);
  await vi.advanceTimersByTimeAsync(1000);
  expect(errors).toEqual([fail]);
  fail = undefined;
  accept("t-1", 2);
  await vi.advanceTimersByTimeAsync(1000);
  expect(counts()).toEqual([2]);
});
