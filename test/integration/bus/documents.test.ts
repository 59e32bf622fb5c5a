import { AutoglmError, type Ledger } from "@autoglm/api";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { type Fleet, startFleet, subjectsIn } from "./fleet.ts";

let fleet: Fleet;
beforeAll(async () => {
  fleet = await startFleet();
});
afterAll(() => fleet.stop());

const documentOf = (node: string, revision: number) => ({
  v: 1 as const,
  node,
  generation: 0,
  revision,
  assignments: [],
});
const ledgerOf = (task: string, revision: number): Ledger => ({
  v: 1,
  task,
  run: 0,
  revision,
  accepted: 0,
  failed: 0,
  complete: false,
  duplicatesDropped: 0,
  acceptedItems: [],
  assignments: [],
  sample: [],
  storeFull: false,
});

describe("documents", () => {
  it("are absent until written, and then the newest alone", async () => {
    const { a, operator, eye } = fleet;
    await expect(a.bus.fetchDesired()).resolves.toBeUndefined();
    await operator.writeDesired(documentOf("node-a", 1));
    await operator.writeDesired(documentOf("node-a", 2));
    await expect(a.bus.fetchDesired()).resolves.toEqual(documentOf("node-a", 2));
    expect(await subjectsIn(eye, "DESIRED")).toEqual(["desired.node-a"]);
    expect((await eye.streams.info("DESIRED")).state.messages).toBe(1);
  });

  it("poke their node alone, and fetching on the last poke gives the newest", async () => {
    const { a, b, operator } = fleet;
    const fetched: (number | undefined)[] = [];
    let pokesOfB = 0;
    const stop = a.bus.onPoke(
      () => void a.bus.fetchDesired().then((document) => fetched.push(document?.revision)),
    );
    b.bus.onPoke(() => pokesOfB++);
    // The subscriptions are in place when a later request of the same connections is answered.
    await Promise.all([a.bus.fetchDesired(), b.bus.fetchDesired()]);
    for (let revision = 10; revision <= 40; revision++)
      await operator.writeDesired(documentOf("node-a", revision));
    await expect.poll(() => fetched.at(-1)).toBe(40);
    stop();
    expect(fetched.length).toBeLessThan(31);
    expect(pokesOfB).toBe(0);
  });

  it("over the server's limit are refused before they are sent", async () => {
    const key = { task: "t", run: 0, shard: 0, epoch: 1 };
    const assignment = {
      ...key,
      spec: "0".repeat(64),
      grant: "g".repeat(2048),
      priority: 0,
      acceptedThrough: -1,
      acceptedItems: [],
      reservedBytes: 0,
    };
    const assignments = Array.from({ length: 512 }, () => assignment);
    await expect(
      fleet.operator.writeDesired({ ...documentOf("node-a", 1), assignments }),
    ).rejects.toMatchObject({
      code: "InvalidMessage",
    });
  });
});

describe("specifications", () => {
  it("are stored once, listed per node, fetched by digest and deleted", async () => {
    const { a, operator, eye } = fleet;
    const bytes = Buffer.alloc(512 * 1024, "x");
    const digest = await operator.writeSpec("node-a", bytes);
    await expect(operator.writeSpec("node-a", bytes)).resolves.toBe(digest);
    await operator.writeSpec("node-b", bytes);
    expect((await eye.streams.info("SPECS")).state.last_seq).toBe(2);
    expect(await operator.listSpecs("node-a")).toEqual([digest]);
    expect(Buffer.from((await a.bus.fetchSpec(digest)) ?? [])).toEqual(bytes);

    await operator.deleteSpecs("node-a", [digest]);
    await expect(a.bus.fetchSpec(digest)).resolves.toBeUndefined();
    expect(await operator.listSpecs("node-b")).toEqual([digest]);
  });

  it("over 512 KiB are refused", async () => {
    await expect(fleet.operator.writeSpec("node-a", Buffer.alloc(512 * 1024 + 1))).rejects.toMatchObject({
      code: "InvalidMessage",
    });
  });
});

describe("ledgers", () => {
  it("arrive as the last of each task, then live, and again after the disk was wiped", async () => {
    const { ingester, operator, ingesterConnection, nats } = fleet;
    for (const revision of [1, 2]) await ingester.publishLedger(ledgerOf("task-1", revision));
    await ingester.publishLedger(ledgerOf("task-2", 1));
    const seen: string[] = [];
    const stop = operator.onLedger(({ task, revision }) => seen.push(`${task} ${revision}`));
    await expect.poll(() => seen.toSorted()).toEqual(["task-1 2", "task-2 1"]);
    await ingester.publishLedger(ledgerOf("task-1", 3));
    await expect.poll(() => seen.at(-1)).toBe("task-1 3");

    await nats.restart({ wipe: true });
    await expect.poll(() => ingesterConnection.isConnected(), { timeout: 10_000 }).toBe(true);
    await ingester.ensureStreams();
    await ingester.publishLedger(ledgerOf("task-1", 4));
    await expect.poll(() => seen.at(-1), { timeout: 15_000 }).toBe("task-1 4");
    stop();
  });

  it("are gone when deleted", async () => {
    const { ingester, operator, eye } = fleet;
    await ingester.ensureStreams();
    await ingester.publishLedger(ledgerOf("task-9", 1));
    await operator.deleteLedger("task-9");
    expect(await subjectsIn(eye, "LEDGER")).not.toContain("ledger.task-9");
  });
});

describe("forgetting", () => {
  it("fails at once without an ingester, and else with the code that it reports", async () => {
    const { ingester, operator } = fleet;
    await expect(operator.forget("task-1", { timeoutMs: 60_000 })).rejects.toMatchObject({
      code: "BusUnavailable",
    });
    const forgotten: string[] = [];
    const stop = ingester.onForget(async (task) => {
      if (task === "task-2") throw new AutoglmError("ResultStoreFull", "no room for the journal");
      forgotten.push(task);
    });
    await ingester.ensureStreams();
    await operator.forget("task-1", { timeoutMs: 2_000 });
    expect(forgotten).toEqual(["task-1"]);
    await expect(operator.forget("task-2", { timeoutMs: 2_000 })).rejects.toMatchObject({
      code: "ResultStoreFull",
    });
    stop();
  });
});

describe("streams", () => {
  it("are made anew, changed where they differ, and left alone where they do not", async () => {
    const { operator, eye } = fleet;
    await operator.ensureStreams();
    await eye.streams.delete("SPECS");
    await operator.ensureStreams({ resultsMaxBytes: 1_000_000 });
    const config = async () => (await eye.streams.info("RESULTS")).config;
    expect(await config()).toMatchObject({ max_bytes: 1_000_000, discard: "new", max_msgs: -1, max_age: 0 });
    await operator.ensureStreams({ resultsMaxBytes: 2_000_000 });
    await fleet.ingester.ensureStreams();
    expect(await config()).toMatchObject({ max_bytes: 2_000_000 });
    expect(await subjectsIn(eye, "SPECS")).toEqual([]);
  });

  it("are made by whoever comes first when both ask at the same time", async () => {
    const { operator, ingester, eye } = fleet;
    await operator.ensureStreams();
    await eye.streams.delete("RESULTS");
    await Promise.all([operator.ensureStreams(), ingester.ensureStreams(), operator.ensureStreams()]);
    expect((await eye.streams.info("RESULTS")).config.name).toBe("RESULTS");
  });
});
