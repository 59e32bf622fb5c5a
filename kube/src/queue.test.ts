import { AutoglmError } from "@autoglm/api";
import * as fc from "fast-check";
import { describe, expect, it } from "vitest";
import { FakeClock } from "./fake-clock.ts";
import { type ReconcileOutcome, WorkQueue, type WorkQueueOptions } from "./queue.ts";

/** A queue whose reconciliations the test ends one by one, in any order. */
class Harness {
  readonly clock = new FakeClock();
  readonly started: string[] = [];
  readonly running = new Map<string, PromiseWithResolvers<ReconcileOutcome>>();
  overlaps = 0;
  mostAtOnce = 0;
  readonly stopping = new AbortController();
  readonly queue: WorkQueue;
  readonly done: Promise<void>;

  constructor(options: Partial<WorkQueueOptions> = {}) {
    this.queue = new WorkQueue({
      name: "test",
      clock: this.clock,
      random: () => 1,
      reconcile: async (key) => {
        this.started.push(key);
        if (this.running.has(key)) this.overlaps += 1;
        const turn = Promise.withResolvers<ReconcileOutcome>();
        this.running.set(key, turn);
        this.mostAtOnce = Math.max(this.mostAtOnce, this.running.size);
        return turn.promise;
      },
      ...options,
    });
    this.done = this.queue.run(this.stopping.signal);
  }

  async succeed(key: string, outcome: ReconcileOutcome = {}): Promise<void> {
    const turn = this.running.get(key);
    this.running.delete(key);
    turn?.resolve(outcome);
    await settle();
  }

  async fail(key: string, error: unknown): Promise<void> {
    const turn = this.running.get(key);
    this.running.delete(key);
    turn?.reject(error);
    await settle();
  }

  async advance(ms: number): Promise<void> {
    this.clock.advance(ms);
    await settle();
  }
}

/** Lets every promise that can go on go on. */
async function settle(): Promise<void> {
  await new Promise((resolve) => setImmediate(resolve));
}

const unavailable = new AutoglmError("ApiUnavailable", "down");
const wrong = new AutoglmError("TypeNotResolved", "the user has to act");

describe("a work queue", () => {
  it("runs a key once for many adds, and again for an add while it runs", async () => {
    const test = new Harness();
    for (let index = 0; index < 5; index += 1) test.queue.add("a");
    expect(test.started).toEqual(["a"]);
    test.queue.add("a");
    test.queue.add("a");
    expect(test.started).toEqual(["a"]);
    await test.succeed("a");
    expect(test.started).toEqual(["a", "a"]);
    await test.succeed("a");
    expect(test.started).toEqual(["a", "a"]);
    expect(test.queue.isIdle).toBe(true);
  });

  it("works on as many keys at once as it may, in the order they came", async () => {
    const test = new Harness({ concurrency: 2 });
    for (const key of ["a", "b", "c", "d"]) test.queue.add(key);
    expect(test.started).toEqual(["a", "b"]);
    expect(test.queue.depth).toBe(2);
    await test.succeed("b");
    expect(test.started).toEqual(["a", "b", "c"]);
  });

  it("doubles the wait after each failure up to the limit, and forgets after a success", async () => {
    const test = new Harness({ backoff: { baseMs: 5, maxMs: 20 } });
    test.queue.add("a");
    for (const delayMs of [5, 10, 20, 20]) {
      await test.fail("a", unavailable);
      const runs = test.started.length;
      await test.advance(delayMs - 1);
      expect(test.started).toHaveLength(runs);
      await test.advance(1);
      expect(test.started).toHaveLength(runs + 1);
    }
    await test.succeed("a");
    test.queue.add("a");
    await test.fail("a", unavailable);
    await test.advance(5);
    expect(test.running.has("a")).toBe(true);
  });

  it("waits as long as the server asked for", async () => {
    const test = new Harness({ random: () => 0 });
    test.queue.add("a");
    await test.fail("a", new AutoglmError("TooManyRequests", "later", { retry: { afterMs: 3000 } }));
    await test.advance(2999);
    expect(test.started).toHaveLength(1);
    await test.advance(1);
    expect(test.started).toHaveLength(2);
  });

  it("retries what was thrown by mistake, since the next state may not trip over it", async () => {
    const test = new Harness();
    test.queue.add("a");
    await test.fail("a", new TypeError("undefined is not a function"));
    await test.advance(5);
    expect(test.started).toHaveLength(2);
  });

  it("parks a key that failed for good until it is added with another version, or without one", async () => {
    const test = new Harness();
    test.queue.add("a", { version: "1" });
    test.queue.addAfter("a", 1000);
    await test.fail("a", wrong);
    await test.advance(600_000);
    test.queue.add("a", { version: "1" });
    expect(test.started).toHaveLength(1);
    test.queue.add("a", { version: "2" });
    expect(test.started).toHaveLength(2);
    await test.fail("a", wrong);
    test.queue.add("a", { version: "2" });
    expect(test.started).toHaveLength(2);
    test.queue.add("a");
    expect(test.started).toHaveLength(3);
  });

  it("does not park a key that was changed while it failed", async () => {
    const test = new Harness();
    test.queue.add("a", { version: "1" });
    test.queue.add("a", { version: "2" });
    await test.fail("a", wrong);
    expect(test.started).toHaveLength(2);
    await test.fail("a", wrong);
    test.queue.add("a", { version: "2" });
    expect(test.started).toHaveLength(2);
  });

  it("keeps the earliest of several delays", async () => {
    const test = new Harness();
    test.queue.addAfter("a", 100);
    test.queue.addAfter("a", 50);
    test.queue.addAfter("a", 200);
    await test.advance(50);
    expect(test.started).toEqual(["a"]);
    await test.succeed("a", { requeueAfterMs: 30 });
    await test.advance(30);
    expect(test.started).toEqual(["a", "a"]);
    await test.succeed("a");
    await test.advance(1000);
    expect(test.started).toEqual(["a", "a"]);
  });

  it("lets running work finish when it stops, takes nothing new, and leaves no timer", async () => {
    const test = new Harness();
    test.queue.add("running");
    test.queue.add("waiting");
    test.queue.addAfter("later", 10);
    test.stopping.abort();
    await settle();
    test.queue.add("too late");
    let stopped = false;
    void test.done.then(() => (stopped = true));
    await settle();
    expect(stopped).toBe(false);
    await test.succeed("running");
    await test.done;
    expect(test.started).toEqual(["running"]);
    expect(test.clock.pending).toBe(0);
  });

  it("fires the signal of work that does not finish in time", async () => {
    let signalOfWork: AbortSignal | undefined;
    const test = new Harness({
      drainMs: 500,
      reconcile: async (_key, signal) => {
        signalOfWork = signal;
        return new Promise<ReconcileOutcome>(() => {});
      },
    });
    test.queue.add("stuck");
    test.stopping.abort();
    await settle();
    await test.advance(499);
    expect(signalOfWork?.aborted).toBe(false);
    await test.advance(1);
    await test.done;
    expect(signalOfWork?.aborted).toBe(true);
  });
});

/** One thing that can happen to a queue. */
const step = fc.oneof(
  fc.record({ do: fc.constant("add" as const), key: fc.constantFrom("a", "b", "c", "d") }),
  fc.record({
    do: fc.constant("addAfter" as const),
    key: fc.constantFrom("a", "b", "c", "d"),
    delayMs: fc.integer({ min: 0, max: 50 }),
  }),
  fc.record({ do: fc.constant("succeed" as const), which: fc.nat(3) }),
  fc.record({ do: fc.constant("fail" as const), which: fc.nat(3) }),
  fc.record({ do: fc.constant("advance" as const), ms: fc.integer({ min: 0, max: 50 }) }),
);

describe("whatever happens to a work queue", () => {
  it("works on no key twice at once, never on more than it may, and on every key after its last add", async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.array(step, { maxLength: 60 }),
        fc.integer({ min: 1, max: 3 }),
        async (steps, concurrency) => {
          const test = new Harness({ concurrency, backoff: { baseMs: 1, maxMs: 8 } });
          /** How many runs of a key had begun when it was last added. */
          const runsAtLastAdd = new Map<string, number>();
          const runsOf = (key: string): number => test.started.filter((one) => one === key).length;
          for (const one of steps) {
            if (one.do === "add" || one.do === "addAfter") {
              runsAtLastAdd.set(one.key, runsOf(one.key));
              if (one.do === "add") test.queue.add(one.key);
              else test.queue.addAfter(one.key, one.delayMs);
            } else if (one.do === "advance") {
              await test.advance(one.ms);
            } else {
              const key = [...test.running.keys()][one.which];
              if (key === undefined) continue;
              if (one.do === "succeed") await test.succeed(key);
              else await test.fail(key, unavailable);
            }
          }
          while (!test.queue.isIdle) {
            await test.advance(60);
            for (const key of test.running.keys()) await test.succeed(key);
          }
          expect(test.overlaps).toBe(0);
          expect(test.mostAtOnce).toBeLessThanOrEqual(concurrency);
          for (const [key, runs] of runsAtLastAdd) expect(runsOf(key)).toBeGreaterThan(runs);
          test.stopping.abort();
          await test.done;
        },
      ),
      { numRuns: 300 },
    );
  });
});
