import type { DesiredDocument } from "@autoglm/api";
import type { Clock } from "@autoglm/kube";
import { describe, expect, it } from "vitest";
import { DesiredDocuments } from "./desired-documents.ts";

class FakeClock implements Clock {
  #nowMs = 1_000_000;
  #timers: { readonly atMs: number; readonly run: () => void }[] = [];

  now(): number {
    return this.#nowMs;
  }

  after(delayMs: number, run: () => void): () => void {
    const timer = { atMs: this.#nowMs + delayMs, run };
    this.#timers.push(timer);
    return () => {
      this.#timers = this.#timers.filter((one) => one !== timer);
    };
  }

  async advance(ms: number): Promise<void> {
    const untilMs = this.#nowMs + ms;
    for (;;) {
      await settle();
      const [next] = this.#timers.toSorted((a, b) => a.atMs - b.atMs);
      if (next === undefined || next.atMs > untilMs) break;
      this.#timers = this.#timers.filter((one) => one !== next);
      this.#nowMs = next.atMs;
      next.run();
    }
    this.#nowMs = untilMs;
    await settle();
  }
}
const settle = () => new Promise<void>((resolve) => setImmediate(resolve));

function writer(held = 0) {
  const clock = new FakeClock();
  const written: (DesiredDocument & { readonly atMs: number })[] = [];
  const state = { fails: 0 };
  const documents = new DesiredDocuments({
    bus: {
      writeDesired: async (document) => {
        if (state.fails > 0) {
          state.fails -= 1;
          throw new Error("no link");
        }
        written.push({ ...document, atMs: clock.now() });
      },
    },
    generation: 2,
    clock,
    log: { debug: () => {}, info: () => {}, warn: () => {}, error: () => {} },
    assignmentsOf: () => [],
    heldRevision: () => held,
    onWritten: () => {},
  });
  return { clock, documents, written, state };
}

describe("DesiredDocuments", () => {
  it("writes nothing before it is opened, and then what was changed", async () => {
    const { clock, documents, written } = writer();
    documents.change("a", true);
    await clock.advance(5000);
    expect(written).toEqual([]);
    documents.open();
    await settle();
    expect(written).toMatchObject([{ node: "a", generation: 2 }]);
  });

  it("writes urgent changes at once and lazy ones a second after the last write", async () => {
    const { clock, documents, written } = writer();
    documents.open();
    documents.change("a", true);
    await settle();
    const start = clock.now();
    documents.change("a", false);
    await clock.advance(400);
    documents.change("a", true);
    await clock.advance(3000);
    expect(written.map(({ atMs }) => atMs - start)).toEqual([0, 400]);
    documents.change("a", false);
    await settle();
    documents.change("a", false);
    await clock.advance(3000);
    expect(written).toHaveLength(4);
    expect((written[3]?.atMs ?? 0) - (written[2]?.atMs ?? 0)).toBe(1000);
  });

  it("holds a node to five urgent writes a second once its burst is used up", async () => {
    const { clock, documents, written } = writer();
    documents.open();
    for (let step = 0; step < 1000; step += 1) {
      documents.change("a", true);
      await clock.advance(10);
    }
    expect(written.length).toBeGreaterThan(60);
    expect(written.length).toBeLessThanOrEqual(71);
  });

  it("counts revisions upwards, from the clock, and above what the node has and what was written before", async () => {
    const { clock, documents, written } = writer(5_000_000);
    documents.seed({ v: 1, node: "a", generation: 2, revision: 6_000_000, assignments: [] });
    documents.seed({ v: 1, node: "b", generation: 1, revision: 6_000_000, assignments: [] });
    documents.open();
    documents.change("a", true);
    documents.change("b", true);
    await settle();
    documents.change("a", true);
    await clock.advance(0);
    expect(written.map(({ node, revision }) => [node, revision])).toEqual([
      ["a", 6_000_001],
      ["b", 5_000_001],
      ["a", 6_000_002],
    ]);
  });

  it("tries again what could not be written, with whatever is true by then", async () => {
    const { clock, documents, written, state } = writer();
    documents.open();
    state.fails = 2;
    documents.change("a", true);
    await clock.advance(5000);
    expect(written).toHaveLength(1);
  });

  it("writes nothing more once it is stopped", async () => {
    const { clock, documents, written } = writer();
    documents.open();
    documents.change("a", true);
    await settle();
    documents.change("a", false);
    documents.stop();
    documents.change("a", true);
    await clock.advance(5000);
    expect(written).toHaveLength(1);
  });
});
