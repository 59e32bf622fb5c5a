import { connectBus, NodeKey, signNodeUser } from "@autoglm/bus";
import { connect, jwtAuthenticator } from "@nats-io/transport-node";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { connectRaw, enrol, type Fleet, publish, sealChunk, startAgent, startFleet } from "./fleet.ts";

let fleet: Fleet;
beforeEach(async () => {
  fleet = await startFleet();
});
afterEach(() => fleet.stop());

describe("revocation", () => {
  it("closes the node's live connection, refuses it from then on, and touches nobody else", async () => {
    const { nats, operator, a, b } = fleet;
    await publish(a, sealChunk(nats, a, 0));
    await operator.revokeNode([a.key.publicKey], new Date());
    await expect.poll(() => a.connection.isConnected()).toBe(false);
    await expect(connectRaw(nats, a)).rejects.toThrow("Authorization Violation");
    expect(b.connection.isConnected()).toBe(true);
    await expect(publish(b, sealChunk(nats, b, 0))).resolves.toBe("stored");

    // The same node with a new key is welcome at once.
    const again = await startAgent(nats, "node-a");
    await expect(publish(again, sealChunk(nats, again, 1))).resolves.toBe("stored");
    await again.connection.close();
    expect(a.connection.isConnected()).toBe(false);
  });

  it("adds to those before it, and outlives a restart of the server", async () => {
    const { nats, operator, operatorConnection, a, b } = fleet;
    await operator.revokeNode([a.key.publicKey], new Date());
    await operator.revokeNode([b.key.publicKey], new Date());
    await nats.restart();
    await expect.poll(() => operatorConnection.isConnected(), { timeout: 20_000 }).toBe(true);
    for (const agent of [a, b])
      await expect(connectRaw(nats, agent)).rejects.toThrow("Authorization Violation");
    const other = await startAgent(nats, "node-c");
    await other.connection.close();
  });

  it("leaves a token alone that was signed for the same key later", async () => {
    const { nats, operator, a } = fleet;
    await operator.revokeNode([a.key.publicKey], new Date(Date.now() - 60_000));
    const raw = await connectRaw(nats, a);
    await raw.close();
    await expect(publish(a, sealChunk(nats, a, 0))).resolves.toBe("stored");
  });
});

describe("tokens", () => {
  it("end in time, and a renewed one is used without a new connection object", async () => {
    const { nats } = fleet;
    const key = NodeKey.generate();
    const sign = (lifeMs: number) =>
      signNodeUser(nats.keys, {
        nodeId: "node-c",
        publicKey: key.publicKey,
        expiresAt: new Date(Date.now() + lifeMs),
      });
    let jwt = sign(2_000);
    const connection = await connectBus({ urls: [nats.url], name: "short", jwt: () => jwt, seed: key.seed });
    await expect.poll(() => connection.isConnected(), { timeout: 10_000 }).toBe(false);
    jwt = sign(60_000);
    await expect.poll(() => connection.isConnected(), { timeout: 10_000 }).toBe(true);
    await connection.close();
  });

  it("do not work with another key", async () => {
    const { nats } = fleet;
    const { jwt } = enrol(nats, "node-c");
    const { seed } = NodeKey.generate();
    await expect(connectBus({ urls: [nats.url], name: "mixed", jwt, seed })).rejects.toMatchObject({
      code: "InvalidMessage",
    });
    const authenticator = jwtAuthenticator(jwt, new TextEncoder().encode(seed));
    await expect(connect({ servers: nats.url, authenticator, reconnect: false })).rejects.toThrow(
      "Authorization Violation",
    );
  });

  it("can't be made for a node id that would widen the template", () => {
    const options = { publicKey: NodeKey.generate().publicKey, expiresAt: new Date() };
    for (const nodeId of [">", "*", "a.b", "node-a ", ""]) {
      expect(() => signNodeUser(fleet.nats.keys, { nodeId, ...options })).toThrow("is not a node id");
    }
  });
});

describe("services", () => {
  it.each([
    ["operator", "res.node-a.task-1.0.1.0.0"],
    ["operator", "ledger.task-1"],
    ["operator", "$JS.API.STREAM.DELETE.RESULTS"],
    ["operator", "$JS.API.STREAM.PURGE.RESULTS"],
    ["operator", "$JS.API.CONSUMER.CREATE.RESULTS.reader"],
    ["ingester", "res.node-a.task-1.0.1.0.0"],
    ["ingester", "desired.node-a"],
    ["ingester", "spec.node-a.0"],
    ["ingester", "$JS.API.STREAM.UPDATE.RESULTS"],
    ["ingester", "$JS.API.STREAM.PURGE.LEDGER"],
    ["ingester", "$JS.API.DIRECT.GET.DESIRED.desired.node-a"],
  ] as const)("the %s may not ask %s", async (role, subject) => {
    const connection = role === "operator" ? fleet.operatorConnection : fleet.ingesterConnection;
    await expect(connection.request(subject)).rejects.toMatchObject({ code: "BusRefused" });
  });
});
