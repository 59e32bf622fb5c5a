import { mkdir, mkdtemp, rm, writeFile } from "node:fs/promises";
import { createHash, randomBytes } from "node:crypto";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { encodeMessage, type Ledger, resultChunkSchema } from "@autoglm/api";
import {
  type BusConnection,
  connectBus,
  createBusKeys,
  NodeKey,
  OperatorBus,
  signServiceUser,
} from "@autoglm/bus";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { until } from "../../support/cluster.ts";
import { startTestNats, type TestNats } from "../../support/nats.ts";
import { addressOf, chunkOf, chunksOfRun, grantFor, resultOf, startAgent, type TestAgent } from "./agent.ts";
import { type IngesterProcess, ledgerOf, resultsOf, startIngesterProcess } from "./ingester.ts";

let dir: string;
let nats: TestNats;
let ingester: IngesterProcess;
let agent: TestAgent;
let operatorConnection: BusConnection;
let operator: OperatorBus;

beforeEach(async () => {
  dir = await mkdtemp(join(tmpdir(), "autoglm-ingester-"));
  nats = await startTestNats();
  operatorConnection = await connectBus({
    urls: [nats.url],
    ...signServiceUser(nats.keys, "operator"),
    name: "operator",
  });
  operator = new OperatorBus(operatorConnection);
  await operator.ensureStreams();
  agent = await startAgent(nats.url, nats.keys);
  ingester = await startIngesterProcess(nats, dir);
});
afterEach(async () => {
  await ingester.kill9();
  await agent.close();
  await operatorConnection.close();
  await nats.stop();
  await rm(dir, { recursive: true });
});

const isComplete = async (task: string) => (await ledgerOf(ingester.url, task))?.complete ?? false;
const numbers = (count: number) => Array.from({ length: count }, (_, index) => index);

/** Of every result that is served, in item order: with each item once, 0, 1, 2, … */
const itemsOf = async (task: string) => (await resultsOf(ingester.url, task)).map(({ item }) => item);

describe("faults", () => {
  it("has each item once after kill -9 in the middle of a stream of 5,000 chunks", async () => {
    const chunks = chunksOfRun("t-kill", 10_000, 2);
    const sending = agent.send(chunks, { inFlight: 32 });
    for (const part of [0.1, 0.4, 0.7]) {
      const ledger = await until(async () => {
        const seen = await ledgerOf(ingester.url, "t-kill");
        return seen !== undefined && seen.accepted > part * 10_000 && seen;
      });
      expect(ledger.complete).toBe(false);
      await ingester.kill9();
      ingester = await startIngesterProcess(nats, dir);
    }
    await sending;
    await until(() => isComplete("t-kill"));
    expect(await itemsOf("t-kill")).toEqual(numbers(10_000));
    expect((await ledgerOf(ingester.url, "t-kill"))?.assignments).toEqual([
      { task: "t-kill", run: 0, shard: 0, epoch: 1, acceptedThrough: 5000 },
    ]);
  });

  it("has each item once when the bus lost its disk and what is not accepted is sent again", async () => {
    const chunks = chunksOfRun("t-wipe", 1000, 2);
    await agent.send(chunks.slice(0, 300));
    await until(async () => (await ledgerOf(ingester.url, "t-wipe"))?.accepted === 600);
    const ledgers: Ledger[] = [];
    await nats.restart({ wipe: true });
    operator.onLedger((ledger) => ledgers.push(ledger));
    // The agent knows nothing of the wipe: from an older watermark it sends more than is missing.
    await agent.send(chunks.slice(200));
    await until(() => isComplete("t-wipe"));
    expect(await itemsOf("t-wipe")).toEqual(numbers(1000));
    expect(await ledgerOf(ingester.url, "t-wipe")).toMatchObject({ accepted: 1000, duplicatesDropped: 200 });
    await until(() => ledgers.some(({ task, complete }) => task === "t-wipe" && complete));
  });

  it("takes in all that waited on the bus while it was away", async () => {
    await ingester.kill9();
    await agent.send(chunksOfRun("t-away", 100, 5));
    ingester = await startIngesterProcess(nats, dir);
    await until(() => isComplete("t-away"));
    expect(await itemsOf("t-away")).toEqual(numbers(100));
  });

  it("stops intake while its volume is full, says so, and goes on when there is space", async () => {
    await ingester.kill9();
    ingester = await startIngesterProcess(nats, dir, { maxBytes: 300_000 });
    const ledgers: Ledger[] = [];
    operator.onLedger((ledger) => ledgers.push(ledger));
    await agent.send(chunksOfRun("t-big", 100, 20));
    await until(() => isComplete("t-big"));
    await agent.send([...chunksOfRun("t-big", 2000, 20, 2), ...chunksOfRun("t-small", 200, 20)]);
    await until(() => ledgers.some(({ task, storeFull }) => task === "t-big" && storeFull));
    expect(await ledgerOf(ingester.url, "t-small")).toBeUndefined();
    await operator.forget("t-big", { timeoutMs: 5000 });
    await until(() => isComplete("t-small"));
    expect(await itemsOf("t-small")).toEqual(numbers(200));
    await until(() => ledgers.at(-1)?.storeFull === false);
  });
});

describe("what is refused", () => {
  it("throws away chunks that are forged, and goes on", async () => {
    const { keys } = nats;
    const chunk = chunkOf("t-forged", 0, [resultOf(0)]);
    const body = encodeMessage(resultChunkSchema, chunk);
    const otherKey = NodeKey.generate();
    // Not the operator's grant; another node's key; a body that names another chunk; no chunk at all.
    const otherKeys = { ...keys, grant: createBusKeys().grant };
    await agent.bus.publishChunk(addressOf(chunk), body, grantFor(otherKeys, chunk.key, agent.key));
    await agent.bus.publishChunk(
      { ...addressOf(chunk), chunk: 1 },
      body,
      grantFor(keys, chunk.key, agent.key),
    );
    await agent.bus.publishChunk(
      { ...addressOf(chunk), chunk: 2 },
      body,
      grantFor(keys, chunk.key, otherKey),
    );
    const nonsense = new TextEncoder().encode("{]");
    await agent.bus.publishChunk(
      { ...addressOf(chunk), chunk: 3 },
      nonsense,
      grantFor(keys, chunk.key, agent.key),
    );
    await agent.bus.publishChunk({ ...addressOf(chunk), chunk: 4 }, body, "no grant");
    await agent.send(chunksOfRun("t-good", 3, 3));
    await until(() => isComplete("t-good"));
    expect(await ledgerOf(ingester.url, "t-forged")).toBeUndefined();
  });

  it("does not start on a store that another process has", async () => {
    await expect(startIngesterProcess(nats, dir)).rejects.toThrow("Conflict");
  });
});

describe("ledger", () => {
  it("reaches the operator at the first result and at completion, and never goes back", async () => {
    const ledgers: Ledger[] = [];
    operator.onLedger((ledger) => ledgers.push(ledger));
    const chunks = chunksOfRun("t-ledger", 500, 1);
    await agent.send(chunks.slice(0, 1));
    await until(() => ledgers.length > 0);
    await agent.send(chunks);
    await until(() => ledgers.at(-1)?.complete === true);
    expect(ledgers[0]).toMatchObject({ accepted: 1, complete: false, sample: [{ item: 0 }] });
    expect(ledgers.at(-1)).toMatchObject({ accepted: 500, total: 500, acceptedItems: [[0, 499]] });
    const revisions = ledgers.map(({ revision }) => revision);
    expect(revisions).toEqual([...new Set(revisions)].sort((a, b) => a - b));
  });

  it("is gone with the results when the operator says forget", async () => {
    await agent.send(chunksOfRun("t-gone", 10, 10));
    await until(() => isComplete("t-gone"));
    await operator.forget("t-gone", { timeoutMs: 5000 });
    expect(await ledgerOf(ingester.url, "t-gone")).toBeUndefined();
    await agent.send([chunkOf("t-gone", 7, [resultOf(99)])]);
    await agent.send(chunksOfRun("t-next", 1, 1));
    await until(() => isComplete("t-next"));
    expect(await ledgerOf(ingester.url, "t-gone")).toBeUndefined();
  });
});

it("serves a large model file whole and in parts, while it takes results", async () => {
  const content = randomBytes(20_000_000);
  const digest = createHash("sha256").update(content).digest("hex");
  const blobs = join(dir, "blobs");
  await mkdir(join(blobs, "sha256"), { recursive: true });
  await writeFile(join(blobs, "sha256", digest), content);
  await ingester.kill9();
  ingester = await startIngesterProcess(nats, join(dir, "store"), { modelBlobsDir: blobs });
  const sending = agent.send(chunksOfRun("t-busy", 500, 5));
  const model = (headers: Record<string, string>) =>
    fetch(`${ingester.url}/models/sha256/${digest}`, { headers });
  const part = await model({ range: "bytes=0-9999999" });
  const rest = await model({ range: "bytes=10000000-" });
  expect([part.status, rest.status]).toEqual([206, 206]);
  const joined = Buffer.concat([
    Buffer.from(await part.arrayBuffer()),
    Buffer.from(await rest.arrayBuffer()),
  ]);
  expect(createHash("sha256").update(joined).digest("hex")).toBe(digest);
  expect(Buffer.from(await (await model({})).arrayBuffer()).equals(content)).toBe(true);
  await sending;
  await until(() => isComplete("t-busy"));
});
