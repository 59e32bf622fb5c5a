import { type BusStatus, connectBus } from "@autoglm/bus";
import { afterEach, beforeEach, expect, it } from "vitest";
import { FaultProxy } from "../../support/fault-proxy.ts";
import { enrol, type Fleet, publish, sealChunk, startAgent, startFleet, type TestAgent } from "./fleet.ts";

let fleet: Fleet;
let proxy: FaultProxy;
let agent: TestAgent;

beforeEach(async () => {
  fleet = await startFleet();
  proxy = await FaultProxy.start(fleet.nats.port);
  agent = await startAgent(fleet.nats, "node-c", `nats://127.0.0.1:${proxy.port}`);
});
afterEach(async () => {
  await agent.connection.close();
  await proxy.stop();
  await fleet.stop();
});

const chunk = (number: number) => sealChunk(fleet.nats, agent, number);
const messages = async () => (await fleet.eye.streams.info("RESULTS")).state.messages;
const untilConnected = async () => {
  await expect.poll(() => agent.connection.isConnected(), { timeout: 20_000 }).toBe(true);
};

it("gives up on a chunk in a black hole, and stores it when the link is back", async () => {
  proxy.blackhole();
  await expect(publish(agent, chunk(0))).rejects.toMatchObject({ code: "BusUnavailable" });
  proxy.heal();
  // The first copy lay in the hole and may arrive now: either is right, once.
  await expect(publish(agent, chunk(0))).resolves.toMatch(/stored|duplicate/);
  expect(await messages()).toBe(1);
});

it("fails what is under way in the moment of a cut, and later publishes at once", async () => {
  proxy.loseAnswers();
  const underWay = Array.from({ length: 64 }, (_, number) => publish(agent, chunk(number)));
  const outcomes = Promise.allSettled(underWay);
  await expect.poll(messages).toBe(64);
  proxy.cut();
  const lost = expect.objectContaining({
    code: "BusUnavailable",
    message: expect.stringContaining("link was lost"),
  });
  expect(await outcomes).toEqual(underWay.map(() => ({ status: "rejected", reason: lost })));
  await expect(publish(agent, chunk(64))).rejects.toMatchObject({
    message: expect.stringContaining("not connected"),
  });

  proxy.heal();
  await untilConnected();
  const again = await Promise.all(Array.from({ length: 65 }, (_, number) => publish(agent, chunk(number))));
  expect(again.filter((outcome) => outcome === "duplicate")).toHaveLength(64);
  expect(await messages()).toBe(65);
});

it("does not send what was asked during an outage when the link is back", async () => {
  proxy.cut();
  await expect.poll(() => agent.connection.isConnected()).toBe(false);
  await expect(publish(agent, chunk(0))).rejects.toMatchObject({ code: "BusUnavailable" });
  proxy.heal();
  await untilConnected();
  await agent.bus.fetchDesired();
  expect(await messages()).toBe(0);
});

it("tells each change of the link once, and keeps its subscriptions over it", async () => {
  const { nats, operator } = fleet;
  const statuses: BusStatus[] = [];
  agent.connection.onStatus((status) => statuses.push(status));
  let pokes = 0;
  agent.bus.onPoke(() => pokes++);
  await nats.kill9();
  await expect.poll(() => agent.connection.isConnected()).toBe(false);
  await nats.restart();
  await untilConnected();
  await agent.bus.fetchDesired();
  await expect.poll(() => fleet.operatorConnection.isConnected(), { timeout: 20_000 }).toBe(true);
  await operator.writeDesired({ v: 1, node: "node-c", generation: 0, revision: 1, assignments: [] });
  await expect.poll(() => pokes).toBe(1);
  expect(statuses).toEqual(["disconnected", "connected"]);
});

it("notices a half-open link by its own pings", async () => {
  const url = `nats://127.0.0.1:${proxy.port}`;
  const connection = await connectBus({
    urls: [url],
    name: "pinging",
    pingIntervalMs: 200,
    ...enrol(fleet.nats, "node-d"),
  });
  proxy.blackhole();
  await expect.poll(() => connection.isConnected(), { timeout: 10_000 }).toBe(false);
  await connection.close();
});

it("starts without a server, and is there when the server is", async () => {
  const { nats } = fleet;
  await nats.kill9();
  const credentials = enrol(nats, "node-e");
  const connection = await connectBus({ urls: [nats.url], name: "early", background: true, ...credentials });
  expect(connection.isConnected()).toBe(false);
  const heard: string[] = [];
  connection.subscribe("live.desired.node-e", ({ subject }) => heard.push(subject));
  await nats.restart();
  await expect.poll(() => connection.isConnected(), { timeout: 20_000 }).toBe(true);
  await expect.poll(() => fleet.operatorConnection.isConnected(), { timeout: 20_000 }).toBe(true);
  await fleet.operator.writeDesired({ v: 1, node: "node-e", generation: 0, revision: 1, assignments: [] });
  await expect.poll(() => heard).toEqual(["live.desired.node-e"]);
  await connection.close();
});

it("ends on its signal while it still waits for its first server", async () => {
  const { nats } = fleet;
  await nats.kill9();
  const stop = new AbortController();
  const connecting = connectBus({
    urls: [nats.url],
    name: "never",
    signal: stop.signal,
    ...enrol(nats, "node-f"),
  });
  stop.abort();
  const connection = await connecting;
  expect(connection.isConnected()).toBe(false);
});

it("stays closed after a drain, and does not dial again", async () => {
  const before = proxy.accepted;
  await publish(agent, chunk(0));
  await agent.connection.drain();
  expect(agent.connection.isConnected()).toBe(false);
  await expect.poll(() => proxy.open).toBe(0);
  await expect(publish(agent, chunk(1))).rejects.toMatchObject({ code: "BusUnavailable" });
  expect(proxy.accepted).toBe(before);
});

it("brings 2,000 chunks over through cuts, lost answers, a kill -9 and a wiped disk", async () => {
  const { nats, ingester } = fleet;
  const accepted = new Set<number>();
  const stop = new AbortController();
  const consuming = ingester.consumeChunks(
    async (batch) => {
      for (const { address } of batch) accepted.add(address.chunk);
    },
    { signal: stop.signal },
  );
  const faults: readonly (() => unknown)[] = [
    () => proxy.cut(),
    () => proxy.loseAnswers(),
    () => nats.restart(),
    () => nats.restart({ wipe: true }),
    () => proxy.blackhole(),
  ];
  // As the agent does: whatever is not accepted is sent again, an answer of the server is no reason to stop.
  for (let round = 0; accepted.size < 2_000; round++) {
    const sealed = Array.from({ length: Math.min(2_000, 200 * (round + 1)) }, (_, number) => number);
    const pending = sealed.filter((number) => !accepted.has(number));
    const sending = Promise.allSettled(pending.map((number) => publish(agent, chunk(number))));
    if (round < 10) {
      await Promise.resolve(faults[round % faults.length]?.());
      proxy.heal();
    }
    await sending;
    await untilConnected();
  }
  stop.abort();
  await consuming;
  expect(accepted.size).toBe(2_000);
}, 120_000);
