import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { hasErrorCode, type ItemResult } from "@autoglm/api";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { formatCursor, parseCursor } from "./cursor.ts";
import { ResultStore, type VerifiedChunk } from "./store.ts";

const START = Date.parse("2026-11-23T08:00:00Z");
let dir: string;
let stores: ResultStore[];

beforeEach(() => {
  dir = mkdtempSync(join(tmpdir(), "autoglm-store-"));
  stores = [];
});
afterEach(() => {
  for (const store of stores) store.close();
  rmSync(dir, { recursive: true });
});

type Options = Partial<ConstructorParameters<typeof ResultStore>[0]>;
function open(options: Options = {}): ResultStore {
  const store = new ResultStore({ dir, reserveBytes: 0, now: () => START, ...options });
  stores.push(store);
  return store;
}
function reopen(options: Options = {}): ResultStore {
  stores.pop()?.close();
  return open(options);
}

interface Fields {
  readonly uid?: string;
  readonly run?: number;
  readonly chunk?: number;
  readonly items?: readonly (number | ItemResult)[];
  readonly total?: number;
  readonly text?: string;
}
function verified({ uid = "t-1", run = 0, chunk = 0, items = [], total, text = "x" }: Fields): VerifiedChunk {
  return {
    task: { uid, namespace: "default", name: `task-${uid}` },
    chunk: {
      v: 1,
      node: "edge-1",
      key: { task: uid, run, shard: 0, epoch: 1 },
      chunk,
      producedAt: "2026-11-23T08:00:00Z",
      items: items.map((item) =>
        typeof item === "number"
          ? { item, stage: "final", ms: 1.5, error: { code: "ItemInvalid", message: text } }
          : item,
      ),
      ...(total !== undefined && { end: { total } }),
    },
  };
}

function itemsOf(store: ResultStore, uid = "t-1", run = 0, order: "item" | "accepted" = "item"): number[] {
  const task = store.taskKey(uid);
  if (task === undefined) return [];
  return store.reader.read({ task, run, order, from: 0, limit: 1000 }).records.map(({ item }) => item);
}

describe("ResultStore", () => {
  it("keeps results, ledger and watermark over a restart, and drops what comes again", () => {
    const batch = [verified({ items: [2, 0] }), verified({ chunk: 1, items: [1], total: 3 })];
    open().commit(batch);
    const store = reopen({ now: () => START + 5 });
    expect(store.commit(batch)).toMatchObject({ stored: 0, dropped: 3 });
    expect(itemsOf(store)).toEqual([0, 1, 2]);
    expect(itemsOf(store, "t-1", 0, "accepted")).toEqual([2, 0, 1]);
    expect(store.findTask("t-1")).toEqual({ uid: "t-1", namespace: "default", name: "task-t-1" });
    expect(store.ledger("t-1", { storeFull: false })).toMatchObject({
      accepted: 3,
      complete: true,
      duplicatesDropped: 3,
      assignments: [{ task: "t-1", run: 0, shard: 0, epoch: 1, acceptedThrough: 1 }],
    });
  });

  it("refuses chunks that only leave gaps, before the state of their run outgrows its results", () => {
    const everyOther = Array.from({ length: 20_000 }, (_, index) => 2 * index);
    const store = open();
    expect(store.commit([verified({ items: everyOther })])).toMatchObject({ stored: 0, dropped: 20_000 });
    const gapless = [verified({ items: everyOther.slice(0, 100) }), verified({ chunk: 1, items: [1, 3] })];
    expect(store.commit(gapless)).toMatchObject({ stored: 102, dropped: 0 });
  });

  it("gives each ledger a higher revision, also when the clock stands still or goes back", () => {
    const revision = (store: ResultStore) => store.ledger("t-1", { storeFull: false })?.revision ?? -1;
    const store = open();
    store.commit([verified({ items: [0] })]);
    const first = revision(store);
    store.commit([verified({ chunk: 1, items: [1] })]);
    const second = revision(store);
    const earlier = reopen({ now: () => START - 10_000 });
    earlier.commit([verified({ chunk: 2, items: [2] })]);
    expect(second).toBeGreaterThan(first);
    expect(revision(earlier)).toBeGreaterThan(second);
  });

  it("calls the first result and the last one urgent, nothing in between", () => {
    const store = open();
    const urgent = (fields: Fields) => store.commit([verified(fields)]).tasks.map((task) => task.urgent);
    expect(urgent({ items: [0] })).toEqual([true]);
    expect(urgent({ chunk: 1, items: [1] })).toEqual([false]);
    expect(urgent({ chunk: 2, items: [2], total: 3 })).toEqual([true]);
    expect(urgent({ chunk: 2, items: [2], total: 3 })).toEqual([false]);
  });

  it("keeps the newest runs of a continuous task and refuses late chunks of the others", () => {
    const store = open({ keepRuns: 2 });
    for (const run of [0, 1, 2]) store.commit([verified({ run, items: [0, 1] })]);
    expect(store.commit([verified({ run: 0, chunk: 1, items: [2] })])).toMatchObject({
      stored: 0,
      dropped: 1,
    });
    while (store.sweep(1));
    expect([0, 1, 2].map((run) => itemsOf(store, "t-1", run))).toEqual([[], [0, 1], [0, 1]]);
    expect(store.newestRun("t-1")).toBe(2);
    expect(store.ledger("t-1", { storeFull: false })?.assignments.map(({ run }) => run)).toEqual([2, 1]);
    expect(store.ledger("t-1", { run: 0, storeFull: false })).toBeUndefined();
  });

  it("forgets a task for good: late chunks don't bring it back, and its rows go", () => {
    const store = open();
    store.commit([verified({ items: [0, 1, 2] }), verified({ uid: "t-2", items: [0] })]);
    store.forget("t-1");
    store.forget("t-1");
    expect(store.commit([verified({ chunk: 1, items: [3] })])).toMatchObject({
      stored: 0,
      dropped: 1,
      tasks: [],
    });
    while (store.sweep(2));
    expect(store.findTask("t-1")).toBeUndefined();
    expect(store.taskUids()).toEqual(["t-2"]);
    reopen().close();
    stores = [];
    const db = new DatabaseSync(join(dir, "results.db"));
    expect(db.prepare("SELECT COUNT(*) AS rows FROM results").get()).toMatchObject({ rows: 1 });
    db.close();
  });

  it("lists complete tasks only while they are fresh, others always", () => {
    let now = START;
    const store = open({ now: () => now });
    store.commit([verified({ uid: "done", items: [0], total: 1 }), verified({ uid: "open", items: [0] })]);
    now += 60_000;
    expect(store.taskUids({ changedSince: START })).toEqual(["done", "open"]);
    expect(store.taskUids({ changedSince: now })).toEqual(["open"]);
  });

  it("pages without a gap or a repetition", () => {
    const store = open();
    store.commit([verified({ items: [4, 2, 0, 3, 1] })]);
    const task = store.taskKey("t-1") ?? -1;
    const seen: number[] = [];
    let from = 0;
    for (let hasMore = true; hasMore;) {
      const page = store.reader.read({ task, run: 0, order: "accepted", from, limit: 2 });
      seen.push(...page.records.map(({ item }) => item));
      ({ next: from, hasMore } = page);
      if (seen.length === 2) store.commit([verified({ chunk: 1, items: [5] })]);
    }
    expect(seen).toEqual([4, 2, 0, 3, 1, 5]);
  });

  it("shows the final result instead of the provisional one in item order, both in order of acceptance", () => {
    const store = open();
    const provisional: ItemResult = { item: 0, stage: "provisional", ms: 1 };
    store.commit([verified({ items: [provisional, { ...provisional, item: 1 }] })]);
    store.commit([verified({ chunk: 1, items: [0] })]);
    const task = store.taskKey("t-1") ?? -1;
    const stages = (order: "item" | "accepted") =>
      store.reader
        .read({ task, run: 0, order, from: 0, limit: 10 })
        .records.map(({ item, stage }) => `${item} ${stage}`);
    expect(stages("item")).toEqual(["0 final", "1 provisional"]);
    expect(stages("accepted")).toEqual(["0 provisional", "1 provisional", "0 final"]);
  });

  it("refuses a second process", () => {
    open();
    expect(() => new ResultStore({ dir })).toThrowError(expect.objectContaining({ code: "Conflict" }));
  });

  it("refuses a store that a newer version made", () => {
    open().close();
    stores = [];
    const db = new DatabaseSync(join(dir, "results.db"));
    db.exec("PRAGMA user_version = 99");
    db.close();
    expect(() => new ResultStore({ dir })).toThrowError(expect.objectContaining({ code: "InvalidOption" }));
  });

  it("stores nothing of a batch that does not fit, says ResultStoreFull, and goes on when space is back", () => {
    const store = open({ maxBytes: 400_000 });
    const text = "x".repeat(1000);
    const many = Array.from({ length: 100 }, (_, item) => item);
    let error: unknown;
    let chunk = 0;
    while (error === undefined && chunk < 100) {
      try {
        store.commit([verified({ uid: "big", chunk, items: many.map((item) => item + chunk * 100), text })]);
        chunk += 1;
      } catch (thrown) {
        error = thrown;
      }
    }
    expect(hasErrorCode(error, "ResultStoreFull")).toBe(true);
    expect(store.ledger("big", { storeFull: true })).toMatchObject({
      accepted: chunk * 100,
      storeFull: true,
    });
    store.commit([verified({ uid: "small", items: [0] })]);
    store.forget("big");
    while (store.sweep());
    expect(store.commit([verified({ uid: "next", items: many, text })])).toMatchObject({ stored: 100 });
  });

  it("goes on after tasks were deleted, though the file gives nothing back to the volume", () => {
    const many = Array.from({ length: 100 }, (_, item) => item);
    let free = 1_000_000;
    const store = open({ reserveBytes: 100_000, freeBytes: () => free });
    for (let chunk = 0; chunk < 10; chunk += 1) {
      store.commit([
        verified({
          uid: "big",
          chunk,
          items: many.map((item) => item + chunk * 100),
          text: "x".repeat(1000),
        }),
      ]);
    }
    free = 0;
    expect(store.isShortOfSpace()).toBe(true);
    store.forget("big");
    while (store.sweep());
    expect(store.isShortOfSpace()).toBe(false);
    expect(store.commit([verified({ uid: "next", items: [0] })])).toMatchObject({ stored: 1 });
  });

  it("refuses results while the volume is below its reserve", () => {
    const store = open({ reserveBytes: Number.MAX_SAFE_INTEGER });
    expect(() => store.commit([verified({ items: [0] })])).toThrowError(
      expect.objectContaining({ code: "ResultStoreFull" }),
    );
  });
});

describe("cursor", () => {
  it("survives its text form and refuses another", () => {
    const cursor = { order: "accepted", run: 3, next: 12_000 } as const;
    expect(parseCursor(formatCursor(cursor))).toEqual(cursor);
    for (const text of ["", "a1", "x1.2", "a1.2.3", "a-1.2", "a1.99999999999999999"]) {
      expect(() => parseCursor(text)).toThrowError(expect.objectContaining({ code: "InvalidOption" }));
    }
  });
});
