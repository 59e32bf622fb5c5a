import { hasErrorCode } from "@autoglm/api";
import { publicKeysOf, type ReceivedChunk, verifyChunk } from "@autoglm/bus";
import { headers } from "@nats-io/transport-node";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { connectRaw, type Fleet, publish, sealChunk, startAgent, startFleet, subjectsIn } from "./fleet.ts";

let fleet: Fleet;
beforeEach(async () => {
  fleet = await startFleet();
});
afterEach(() => fleet.stop());

const range = (from: number, to: number) => Array.from({ length: to - from }, (_, index) => from + index);
const publishRange = (from: number, to: number) =>
  Promise.all(range(from, to).map((chunk) => publish(fleet.a, sealChunk(fleet.nats, fleet.a, chunk))));

/** Consumes in the background until `stop`; `seen` grows. */
function consume(
  handler: (batch: readonly ReceivedChunk[]) => Promise<void> = async () => undefined,
  limits: { readonly maxMessages?: number } = {},
) {
  const seen: number[] = [];
  const stopped = new AbortController();
  const done = fleet.ingester.consumeChunks(
    async (batch) => {
      await handler(batch);
      seen.push(...batch.map(({ address }) => address.chunk));
    },
    { signal: stopped.signal, ...limits },
  );
  return {
    seen,
    stop: async () => {
      stopped.abort();
      await done;
    },
  };
}

describe("publishing", () => {
  it("stores a chunk once, and says of the same chunk that it is there already", async () => {
    const { nats, a, eye } = fleet;
    const chunk = sealChunk(nats, a, 0);
    await expect(publish(a, chunk)).resolves.toBe("stored");
    await expect(publish(a, chunk)).resolves.toBe("duplicate");
    expect((await eye.streams.info("RESULTS")).state.messages).toBe(1);
  });

  it("stores one of two copies that are under way at the same time", async () => {
    const { nats, a, eye } = fleet;
    const copies = range(0, 64).flatMap((chunk) => [sealChunk(nats, a, chunk), sealChunk(nats, a, chunk)]);
    const outcomes = await Promise.all(copies.map((copy) => publish(a, copy)));
    expect(outcomes.filter((outcome) => outcome === "stored")).toHaveLength(64);
    expect((await eye.streams.info("RESULTS")).state.messages).toBe(64);
  });

  it("keeps 512 chunks under way on one connection", async () => {
    await expect(publishRange(0, 512)).resolves.toEqual(range(0, 512).map(() => "stored"));
  });

  it("calls a full stream full, never stored, and stores again when there is room", async () => {
    const { operator, eye } = fleet;
    await operator.ensureStreams({ resultsMaxBytes: 20_000 });
    const outcomes = await Promise.allSettled(
      range(0, 64).map((chunk) => publish(fleet.a, sealChunk(fleet.nats, fleet.a, chunk))),
    );
    const refusals = outcomes.filter((outcome) => outcome.status === "rejected");
    expect(refusals.length).toBeGreaterThan(0);
    expect(refusals.every(({ reason }) => hasErrorCode(reason, "ResultStoreFull"))).toBe(true);
    const { messages } = (await eye.streams.info("RESULTS")).state;
    expect(messages).toBe(outcomes.length - refusals.length);

    const consumer = consume();
    await expect.poll(() => consumer.seen.length).toBe(messages);
    await consumer.stop();
    await expect(publish(fleet.a, sealChunk(fleet.nats, fleet.a, 63))).resolves.toBe("stored");
  });

  it("is unavailable, not refused, without a stream", async () => {
    await fleet.eye.streams.delete("RESULTS");
    await expect(publishRange(0, 1)).rejects.toMatchObject({ code: "BusUnavailable" });
  });
});

describe("consuming", () => {
  it("hands over every chunk in order with what proves it, and leaves nothing in the stream", async () => {
    const { nats, a, eye } = fleet;
    const grantKey = publicKeysOf(nats.keys).grant;
    const consumer = consume(async (batch) => {
      for (const received of batch) {
        expect(verifyChunk(grantKey, received).chunk.chunk).toBe(received.address.chunk);
      }
    });
    for (let from = 0; from < 1000; from += 100) await publishRange(from, from + 100);
    await publish(a, sealChunk(nats, a, 1000));
    await expect.poll(() => consumer.seen.length).toBe(1001);
    expect(consumer.seen.toSorted((x, y) => x - y)).toEqual(range(0, 1001));
    await consumer.stop();
    expect((await eye.streams.info("RESULTS")).state.messages).toBe(0);
  });

  it("brings the chunks again that the handler did not take, without deleting any", async () => {
    let failures = 2;
    await publishRange(0, 10);
    const consumer = consume(async () => {
      expect((await fleet.eye.streams.info("RESULTS")).state.messages).toBe(10);
      if (failures-- > 0) throw new Error("the store is full");
    });
    await expect.poll(() => consumer.seen, { timeout: 10_000 }).toEqual(range(0, 10));
    expect(failures).toBe(-1);
    await consumer.stop();
  });

  it("goes on behind a chunk whose headers can't be read", async () => {
    const { nats, a, eye } = fleet;
    const raw = await connectRaw(nats, a);
    const bytes = new TextEncoder().encode("NATS/1.0\r\nnot a name: x\r\n\r\n");
    const unreadable = Object.assign(headers(), { encode: () => bytes });
    raw.publish("res.node-a.task-1.0.1.0.0", "x", { headers: unreadable });
    await raw.flush();
    await publishRange(1, 3);
    const consumer = consume();
    await expect.poll(() => consumer.seen).toEqual([1, 2]);
    await consumer.stop();
    expect((await eye.streams.info("RESULTS")).state.messages).toBe(0);
    await raw.close();
  });

  it("never holds more than two pulls in memory", async () => {
    await publishRange(0, 100);
    const sizes: number[] = [];
    const consumer = consume(async (batch) => void sizes.push(batch.length), { maxMessages: 8 });
    await expect.poll(() => consumer.seen.length).toBe(100);
    await consumer.stop();
    expect(Math.max(...sizes)).toBeLessThanOrEqual(16);
  });

  it("goes on after the server's disk was wiped, when sequences start again", async () => {
    const { nats, a, eye } = fleet;
    const consumer = consume();
    await publishRange(0, 50);
    await expect.poll(() => consumer.seen.length).toBe(50);
    await nats.restart({ wipe: true });
    // Nobody else makes the stream anew here: the ingester does, because it needs it.
    await expect
      .poll(() => publish(a, sealChunk(nats, a, 50)).catch(() => "not yet"), { timeout: 20_000 })
      .toBe("stored");
    await publishRange(51, 60);
    await expect.poll(() => consumer.seen.length, { timeout: 10_000 }).toBe(60);
    await consumer.stop();
    expect(consumer.seen).toEqual(range(0, 60));
    expect((await eye.streams.info("RESULTS")).state.messages).toBe(0);
  });

  it("goes on after a kill -9 of the server, and loses nothing that was stored", async () => {
    const { nats } = fleet;
    await publishRange(0, 50);
    await nats.kill9();
    await nats.restart();
    const consumer = consume();
    await expect.poll(() => new Set(consumer.seen).size, { timeout: 20_000 }).toBe(50);
    await consumer.stop();
  });

  it("goes on after its consumer was deleted under it", async () => {
    const { eye } = fleet;
    const consumer = consume();
    await publishRange(0, 5);
    await expect.poll(() => consumer.seen.length).toBe(5);
    for await (const { name } of eye.consumers.list("RESULTS")) await eye.consumers.delete("RESULTS", name);
    await publishRange(5, 10);
    await expect.poll(() => consumer.seen, { timeout: 20_000 }).toEqual(range(0, 10));
    await consumer.stop();
  });
});

describe("what is not a proper chunk", () => {
  it("is refused by its signatures, whoever sent it over whichever connection", async () => {
    const { nats, a, b } = fleet;
    const grantKey = publicKeysOf(nats.keys).grant;
    const received: ReceivedChunk[] = [];
    const consumer = consume(async (batch) => void received.push(...batch));
    const own = sealChunk(nats, a, 0);
    // B's grant under A's subject; a grant for another task; no grant; a body that names another chunk.
    await publish(a, { ...own, grant: sealChunk(nats, b, 0).grant });
    await publish(a, { ...sealChunk(nats, a, 1), grant: sealChunk(nats, a, 1, "task-2").grant });
    await publish(a, { ...sealChunk(nats, a, 2), grant: "" });
    await publish(a, { ...sealChunk(nats, a, 3), body: sealChunk(nats, a, 4).body });
    // The same node id with a newer key, and the grant of the old one.
    const again = await startAgent(nats, "node-a");
    await publish(again, { ...sealChunk(nats, again, 5), grant: own.grant });
    await expect.poll(() => received.length).toBe(5);
    await again.connection.close();
    await consumer.stop();
    for (const chunk of received) {
      expect(() => verifyChunk(grantKey, chunk)).toThrow(expect.objectContaining({ code: "InvalidMessage" }));
    }
  });

  it("is dropped when its subject is not one of a chunk, and blocks nothing", async () => {
    const { nats, a, eye } = fleet;
    const raw = await connectRaw(nats, a);
    await raw.request("res.node-a.nonsense", "x");
    await raw.close();
    const consumer = consume();
    await publishRange(0, 1);
    await expect.poll(() => consumer.seen).toEqual([0]);
    await consumer.stop();
    expect(await subjectsIn(eye, "RESULTS")).toEqual([]);
  });
});
