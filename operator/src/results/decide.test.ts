import { ledgerSchema, type ItemResult, type ResultChunk } from "@autoglm/api";
import * as fc from "fast-check";
import { describe, expect, it } from "vitest";
import { decideChunk, emptyRun, ledgerOf, runIsComplete, type RunState } from "./decide.ts";

const NOW = "2026-11-23T08:00:00.000Z";

function result(item: number, overrides: Partial<ItemResult> = {}): ItemResult {
  return {
    item,
    stage: "final",
    ms: 1,
    output: {
      type: "text-classification",
      labels: [{ label: "positive", score: 0.9 }],
      scoreSource: "probability",
    },
    ...overrides,
  };
}

interface ChunkFields {
  readonly epoch?: number;
  readonly shard?: number;
  readonly chunk?: number;
  readonly items?: readonly ItemResult[];
  readonly total?: number;
}

function chunkOf({ epoch = 1, shard = 0, chunk = 0, items = [], total }: ChunkFields): ResultChunk {
  return {
    v: 1,
    node: "edge-1",
    key: { task: "t-1", run: 0, shard, epoch },
    chunk,
    producedAt: NOW,
    items: [...items],
    ...(total !== undefined && { end: { total } }),
  };
}

function decideAll(chunks: readonly ResultChunk[], state: RunState = emptyRun(0)) {
  const rows: ItemResult[] = [];
  for (const chunk of chunks) {
    const decision = decideChunk({ state, chunk, now: NOW });
    rows.push(...decision.rows);
    state = decision.state;
  }
  return { rows, state };
}

const ledger = (state: RunState) =>
  ledgerOf({ task: "t-1", state, runs: [state], revision: 1, storeFull: false });

describe("decideChunk", () => {
  /** What a node would send for an assignment: some items in some order, cut into chunks, `end` in the last. */
  const assignment = (total: number) => (epoch: number) =>
    fc
      .record({
        items: fc.shuffledSubarray(
          Array.from({ length: total }, (_, item) => item),
          { minLength: epoch === 1 ? 0 : total },
        ),
        chunkSize: fc.integer({ min: 1, max: 5 }),
        isProvisionalFirst: fc.boolean(),
      })
      .map(({ items, chunkSize, isProvisionalFirst }) => {
        const results = items.flatMap((item) => [
          ...(isProvisionalFirst ? [result(item, { stage: "provisional" })] : []),
          result(item, { ms: epoch }),
        ]);
        const chunks: ResultChunk[] = [];
        for (let at = 0; at < results.length; at += chunkSize) {
          chunks.push(chunkOf({ epoch, chunk: chunks.length, items: results.slice(at, at + chunkSize) }));
        }
        return [...chunks, chunkOf({ epoch, chunk: chunks.length, total })];
      });

  /** The chunks of several epochs, interleaved, some of them more than once. */
  const stream = fc.integer({ min: 1, max: 12 }).chain((total) =>
    fc
      .tuple(...[1, 2, 3].map(assignment(total)))
      .map((epochs) => epochs.flat())
      .chain((all) =>
        fc
          .tuple(
            fc.shuffledSubarray(all, { minLength: all.length }),
            fc.array(fc.constantFrom(...all), { maxLength: 10 }),
            fc.infiniteStream(fc.nat(1000)),
          )
          .map(([chunks, repeats, at]) => {
            for (const repeat of repeats) {
              chunks.splice((at.next().value ?? 0) % (chunks.length + 1), 0, repeat);
            }
            return { total, chunks };
          }),
      ),
  );

  it("gives each item exactly one final result, whatever the order and the repetition", () => {
    fc.assert(
      fc.property(stream, ({ total, chunks }) => {
        const { rows, state } = decideAll(chunks);
        const finals = rows.filter(({ stage }) => stage === "final").map(({ item }) => item);
        expect(finals.sort((a, b) => a - b)).toEqual(Array.from({ length: total }, (_, item) => item));
        const keys = rows.map(({ item, stage }) => `${item} ${stage}`);
        expect(new Set(keys).size).toBe(keys.length);
        expect(runIsComplete(state)).toBe(true);
        const received = chunks.flatMap(({ items }) => items).length;
        expect(state.rows + state.duplicatesDropped).toBe(received);
        expect(state.rows).toBe(rows.length);
      }),
    );
  });

  it("never puts a watermark ahead of a gap, nor completeness ahead of the last item", () => {
    fc.assert(
      fc.property(stream, ({ total, chunks }) => {
        let state = emptyRun(0);
        const seen = new Map<number, Set<number>>();
        const items = new Set<number>();
        let wasComplete = false;
        for (const chunk of chunks) {
          state = decideChunk({ state, chunk, now: NOW }).state;
          seen.set(chunk.key.epoch, (seen.get(chunk.key.epoch) ?? new Set()).add(chunk.chunk));
          for (const { item, stage } of chunk.items) if (stage === "final") items.add(item);
          const { assignments, complete, accepted } = ledger(state);
          for (const { epoch, acceptedThrough } of assignments) {
            const chunksSeen = seen.get(epoch) ?? new Set();
            for (let n = 0; n <= acceptedThrough; n += 1) expect(chunksSeen).toContain(n);
            expect(chunksSeen).not.toContain(acceptedThrough + 1);
          }
          expect(accepted).toBe(items.size);
          expect(complete && items.size < total).toBe(false);
          expect(complete || !wasComplete).toBe(true);
          wasComplete = complete;
        }
      }),
    );
  });

  it("stores nothing when all chunks come again", () => {
    fc.assert(
      fc.property(stream, ({ chunks }) => {
        const first = decideAll(chunks);
        const again = decideAll(chunks, first.state);
        expect(again.rows).toEqual([]);
        expect(ledger(again.state)).toEqual({
          ...ledger(first.state),
          duplicatesDropped: again.state.duplicatesDropped,
        });
      }),
    );
  });

  it("refuses a provisional result once the item has a final one, and takes a final one after it", () => {
    const provisional = result(0, { stage: "provisional" });
    const { rows, state } = decideAll([
      chunkOf({ items: [provisional] }),
      chunkOf({ chunk: 1, items: [result(0)] }),
      chunkOf({ chunk: 2, items: [provisional] }),
    ]);
    expect(rows.map(({ stage }) => stage)).toEqual(["provisional", "final"]);
    expect(state).toMatchObject({ accepted: [[0, 0]], duplicatesDropped: 1 });
  });

  it("takes new items of a chunk number that was seen: the node lost its disk and counts anew", () => {
    const { rows } = decideAll([chunkOf({ items: [result(0)] }), chunkOf({ items: [result(1)] })]);
    expect(rows.map(({ item }) => item)).toEqual([0, 1]);
  });

  it("believes the highest epoch about the total, until the run is complete", () => {
    const items = [result(0), result(1)];
    const twice = decideAll([chunkOf({ epoch: 2, total: 2 }), chunkOf({ epoch: 1, total: 9, items })]);
    expect(ledger(twice.state)).toMatchObject({ total: 2, complete: true });
    expect(ledger(decideAll([chunkOf({ epoch: 3, total: 5 })], twice.state).state)).toMatchObject({
      total: 2,
    });
  });

  it("is complete at once for an input without items", () => {
    expect(ledger(decideAll([chunkOf({ total: 0 })]).state)).toMatchObject({ complete: true, accepted: 0 });
  });

  it("counts errors among the accepted and samples the first five items, cut between characters", () => {
    const long = result(3, {
      output: {
        type: "text-generation",
        generated_text: "🙂".repeat(600),
        finish_reason: "stop",
        prompt_tokens: 1,
        completion_tokens: 1,
        score: null,
        scoreSource: "none",
      },
    });
    const broken: ItemResult = {
      item: 1,
      stage: "final",
      ms: 0,
      error: { code: "ItemInvalid", message: "no text" },
    };
    const { state } = decideAll([
      chunkOf({ items: [result(9), long, result(7)] }),
      chunkOf({ chunk: 1, items: [result(5), broken, result(8)] }),
    ]);
    const message = ledger(state);
    expect(message).toMatchObject({ accepted: 6, failed: 1 });
    expect(message.sample.map(({ item }) => item)).toEqual([1, 3, 5, 7, 8]);
    expect(message.sample[0]?.output).toBe('{"error":{"code":"ItemInvalid","message":"no text"}}');
    expect(message.sample[1]?.output).toMatch(/🙂…$/u);
    expect(ledgerSchema.safeParse(message).error).toBeUndefined();
  });

  it("keeps the ledger within the bounds of its message", () => {
    const everySecond = Array.from({ length: 9000 }, (_, index) => result(index * 2));
    const epochs = Array.from({ length: 600 }, (_, index) => chunkOf({ epoch: index + 1 }));
    const { state } = decideAll([chunkOf({ items: everySecond }), ...epochs]);
    const message = ledger(state);
    expect(ledgerSchema.safeParse(message).error).toBeUndefined();
    expect(message.accepted).toBe(9000);
    expect(message.assignments[0]).toMatchObject({ epoch: 600, acceptedThrough: 0 });
  });
});
