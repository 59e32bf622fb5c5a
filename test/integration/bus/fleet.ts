import { type ChunkAddress, encodeMessage, type Grant, resultChunkSchema } from "@autoglm/api";
import {
  AgentBus,
  type BusConnection,
  type BusCredentials,
  connectBus,
  IngesterBus,
  NodeKey,
  OperatorBus,
  publicKeysOf,
  signGrant,
  signNodeUser,
  signServiceUser,
} from "@autoglm/bus";
import { jetstreamManager, type JetStreamManager } from "@nats-io/jetstream";
import { encodeUser, fromPublic, fromSeed } from "@nats-io/jwt";
import { connect, jwtAuthenticator, type NatsConnection } from "@nats-io/transport-node";
import { startTestNats, type TestNats, type TestNatsOptions } from "../../support/nats.ts";

/** A node with everything that it holds in production, and its connection in the raw for attacks. */
export interface TestAgent {
  readonly node: string;
  readonly key: NodeKey;
  readonly credentials: BusCredentials;
  readonly connection: BusConnection;
  readonly bus: AgentBus;
}

/** A nats-server with an operator, an ingester, two agents and an eye that sees everything. */
export interface Fleet {
  readonly nats: TestNats;
  readonly operatorConnection: BusConnection;
  readonly operator: OperatorBus;
  readonly ingesterConnection: BusConnection;
  readonly ingester: IngesterBus;
  readonly a: TestAgent;
  readonly b: TestAgent;
  /** JetStream as an unrestricted user of CLOUD sees it, through the client's own library. */
  readonly eye: JetStreamManager;
  readonly eyeConnection: NatsConnection;
  stop(): Promise<void>;
}

export async function startFleet(options: TestNatsOptions = {}): Promise<Fleet> {
  const nats = await startTestNats(options);
  const service = (role: "operator" | "ingester") =>
    connectBus({ urls: [nats.url], name: role, ...signServiceUser(nats.keys, role) });
  const operatorConnection = await service("operator");
  const operator = new OperatorBus(operatorConnection, { keys: nats.keys });
  await operator.ensureStreams();
  const ingesterConnection = await service("ingester");
  const a = await startAgent(nats, "node-a");
  const b = await startAgent(nats, "node-b");
  const eyeConnection = await connectEye(nats);
  return {
    nats,
    operatorConnection,
    operator,
    ingesterConnection,
    ingester: new IngesterBus(ingesterConnection),
    a,
    b,
    eyeConnection,
    eye: await jetstreamManager(eyeConnection, { checkAPI: false }),
    stop: async () => {
      const connections = [operatorConnection, ingesterConnection, a.connection, b.connection];
      await Promise.all(connections.map((connection) => connection.close()));
      await eyeConnection.close();
      await nats.stop();
    },
  };
}

export function enrol(nats: TestNats, node: string, key = NodeKey.generate()): BusCredentials {
  const expiresAt = new Date(Date.now() + 3_600_000);
  return {
    jwt: signNodeUser(nats.keys, { nodeId: node, publicKey: key.publicKey, expiresAt }),
    seed: key.seed,
  };
}

/** @param url where to dial, for an agent behind a proxy */
export async function startAgent(nats: TestNats, node: string, url = nats.url): Promise<TestAgent> {
  const key = NodeKey.generate();
  const credentials = enrol(nats, node, key);
  const connection = await connectBus({ urls: [url], name: node, ...credentials });
  return { node, key, credentials, connection, bus: new AgentBus(connection, { nodeId: node, key }) };
}

/** The agent's credentials in the plain client: what somebody who has broken into the node can send. */
export function connectRaw(nats: TestNats, agent: TestAgent): Promise<NatsConnection> {
  return connect({
    servers: nats.url,
    authenticator: jwtAuthenticator(agent.credentials.jwt, new TextEncoder().encode(agent.credentials.seed)),
    inboxPrefix: `_INBOX_${agent.node}`,
    reconnect: false,
  });
}

async function connectEye(nats: TestNats): Promise<NatsConnection> {
  const user = NodeKey.generate();
  const account = fromPublic(publicKeysOf(nats.keys).cloud);
  const signer = fromSeed(new TextEncoder().encode(nats.keys.cloudSigning));
  const jwt = await encodeUser("eye", fromPublic(user.publicKey), account, {}, { signer });
  return connect({
    servers: nats.url,
    authenticator: jwtAuthenticator(jwt, new TextEncoder().encode(user.seed)),
    maxReconnectAttempts: -1,
    reconnectTimeWait: 100,
  });
}

export interface TestChunk {
  readonly address: ChunkAddress;
  readonly body: Uint8Array;
  readonly grant: string;
}

/** A chunk as the agent would seal it. */
export function sealChunk(nats: TestNats, agent: TestAgent, chunk: number, task = "task-1"): TestChunk {
  const key = { task, run: 0, epoch: 1, shard: 0 };
  const { node } = agent;
  const grant: Grant = { ...key, node, nodeKey: agent.key.publicKey, namespace: "demo", name: task };
  const sealed = { v: 1 as const, node, key, chunk, producedAt: "2026-01-01T00:00:00Z", items: [] };
  return {
    address: { ...key, node, chunk },
    body: encodeMessage(resultChunkSchema, sealed),
    grant: signGrant(nats.keys, grant),
  };
}

export function publish(
  agent: TestAgent,
  { address, body, grant }: TestChunk,
): Promise<"stored" | "duplicate"> {
  return agent.bus.publishChunk(address, body, grant);
}

/** Subjects that a stream holds. */
export async function subjectsIn(eye: JetStreamManager, stream: string): Promise<readonly string[]> {
  const info = await eye.streams.info(stream, { subjects_filter: ">" });
  return Object.keys(info.state.subjects ?? {}).sort();
}
