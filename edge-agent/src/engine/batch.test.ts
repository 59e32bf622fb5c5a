import * as fc from "fast-check";
import { expect, test } from "vitest";
import { pickBatch, type BatchLimits, type Waiting } from "./batch.ts";
import { DEFAULT_RANK, TASK_RANK } from "./queued-item.ts";

const waiting = (...lengths: number[]): Waiting[] =>
  lengths.map((length) => ({ length, rows: 1, rank: DEFAULT_RANK, alone: false }));
const many = (length: number, times: number): number[] => Array.from({ length: times }, () => length);
const ofTasks = (items: Waiting[]): Waiting[] => items.map((item) => ({ ...item, rank: TASK_RANK }));
const limits = (more: Partial<BatchLimits> = {}): BatchLimits => ({
  maxItems: 32,
  budget: 256,
  runUnits: 8,
  idleProcesses: 1,
  ...more,
});

test.each<[what: string, queue: Waiting[], limits: BatchLimits, picked: number[]]>([
  ["nothing of an empty queue", [], limits(), []],
  ["all that fits", waiting(10, 11, 12), limits(), [0, 1, 2]],
  [
    "those nearest in length to the oldest",
    waiting(50, 5, 52, 48, 200),
    limits({ budget: 160, runUnits: 16 }),
    [0, 2, 3],
  ],
  ["no more than padding pays for", waiting(10, 200), limits({ budget: 10_000 }), [0]],
  ["less padding where a run costs little", waiting(40, 32), limits({ runUnits: 8 }), [0]],
  ["more padding where it costs much", waiting(40, 32), limits({ runUnits: 30 }), [0, 1]],
  ["the older of two of one length", waiting(20, 20, 19, 19), limits({ budget: 60 }), [0, 1, 2]],
  ["no more items than the model takes", waiting(1, 1, 1, 1), limits({ maxItems: 2 }), [0, 1]],
  ["an item beyond the budget by itself", waiting(900, 10), limits(), [0]],
  [
    "requests of several rows by their rows",
    [{ length: 2, rows: 3, rank: DEFAULT_RANK, alone: false }, ...waiting(2, 2)],
    limits({ budget: 8 }),
    [0, 1],
  ],
  ["no item of a task beside an online request", [...waiting(5), ...ofTasks(waiting(5, 5))], limits(), [0]],
  ["no request that overtakes many", waiting(20, ...many(100, 32), 20), limits(), [0]],
  ["an item of a task from further behind", ofTasks(waiting(20, ...many(100, 32), 20)), limits(), [0, 33]],
  ["half of it where two processes are idle", waiting(10, 10, 10, 10), limits({ idleProcesses: 2 }), [0, 1]],
])("picks %s", (_, queue, given, picked) => {
  expect(pickBatch(queue, given)).toEqual(picked);
});

const anyItem = fc.record({
  length: fc.integer({ min: 1, max: 400 }),
  rows: fc.integer({ min: 1, max: 4 }),
  rank: fc.constantFrom(1, DEFAULT_RANK, TASK_RANK),
  alone: fc.boolean(),
});
const anyQueue = fc.array(anyItem, { maxLength: 100 });
const anyLimits = fc.record({
  maxItems: fc.integer({ min: 1, max: 40 }),
  budget: fc.integer({ min: 1, max: 2000 }),
  runUnits: fc.integer({ min: 0, max: 50 }),
  idleProcesses: fc.integer({ min: 1, max: 4 }),
});

test("takes the oldest, stays within its limits, and mixes nothing with an item that runs alone", () => {
  fc.assert(
    fc.property(anyQueue, anyLimits, (queue, given) => {
      const picked = pickBatch(queue, given).map((position) => ({ position, ...queue[position] }));
      expect(picked[0]?.position).toBe(queue.length === 0 ? undefined : 0);
      if (picked.length < 2) return;
      expect(picked.some(({ alone }) => alone)).toBe(false);
      expect(new Set(picked.map(({ rank = 0 }) => rank < TASK_RANK)).size).toBe(1);
      const rows = picked.reduce((sum, item) => sum + (item.rows ?? 0), 0);
      const units = picked.reduce((sum, item) => sum + (item.rows ?? 0) * (item.length ?? 0), 0);
      const padded = Math.max(...picked.map(({ length }) => length ?? 0)) * rows;
      expect(rows).toBeLessThanOrEqual(given.maxItems);
      expect(padded).toBeLessThanOrEqual(given.budget);
      // Padding costs no more than the runs that it saves.
      expect(padded - units).toBeLessThanOrEqual((given.runUnits / 2) * (picked.length - 1));
    }),
  );
});
