/** A node as the ingester sees it: signed chunks under a grant, sent until the bus says that it holds them. */
import {
  type AssignmentKey,
  type ChunkAddress,
  encodeMessage,
  type ItemResult,
  type ResultChunk,
  resultChunkSchema,
} from "@autoglm/api";
import { AgentBus, type BusKeys, connectBus, NodeKey, signGrant, signNodeUser } from "@autoglm/bus";

const NODE = "edge-1";

export interface TestAgent {
  readonly bus: AgentBus;
  readonly key: NodeKey;
  /** Sends chunks, `inFlight` at a time and each until it is held, in whatever order that gives. */
  send(chunks: readonly ResultChunk[], options?: { readonly inFlight?: number }): Promise<void>;
  close(): Promise<void>;
}

export async function startAgent(
  url: string,
  keys: BusKeys,
  options: { readonly nodeId?: string; readonly key?: NodeKey } = {},
): Promise<TestAgent> {
  const { nodeId = NODE, key = NodeKey.generate() } = options;
  const expiresAt = new Date(Date.now() + 3_600_000);
  const connection = await connectBus({
    urls: [url],
    jwt: signNodeUser(keys, { nodeId, publicKey: key.publicKey, expiresAt }),
    seed: key.seed,
    name: nodeId,
  });
  const bus = new AgentBus(connection, { nodeId, key });
  return {
    bus,
    key,
    send: async (chunks, { inFlight = 64 } = {}) => {
      const waiting = [...chunks];
      const worker = async (): Promise<void> => {
        for (let chunk = waiting.shift(); chunk !== undefined; chunk = waiting.shift()) {
          const grant = grantFor(keys, chunk.key, key, nodeId);
          for (;;) {
            try {
              await bus.publishChunk(addressOf(chunk), encodeMessage(resultChunkSchema, chunk), grant);
              break;
            } catch {
              await new Promise((resolve) => setTimeout(resolve, 50));
            }
          }
        }
      };
      await Promise.all(Array.from({ length: inFlight }, worker));
    },
    close: () => connection.close(),
  };
}

export function grantFor(keys: BusKeys, assignment: AssignmentKey, nodeKey: NodeKey, node = NODE): string {
  return signGrant(keys, {
    ...assignment,
    node,
    nodeKey: nodeKey.publicKey,
    namespace: "default",
    name: `task-${assignment.task}`,
  });
}

export function addressOf({ node, key, chunk }: ResultChunk): ChunkAddress {
  return { node, task: key.task, run: key.run, epoch: key.epoch, shard: key.shard, chunk };
}

/** The chunks of a whole run, `perChunk` items in each, the last of them with the total. */
export function chunksOfRun(task: string, total: number, perChunk: number, epoch = 1): ResultChunk[] {
  const chunks: ResultChunk[] = [];
  for (let first = 0; first < total; first += perChunk) {
    const items = Array.from({ length: Math.min(perChunk, total - first) }, (_, index) =>
      resultOf(first + index),
    );
    chunks.push(chunkOf(task, chunks.length, items, epoch));
  }
  return [...chunks, { ...chunkOf(task, chunks.length, [], epoch), end: { total } }];
}

export function chunkOf(task: string, chunk: number, items: readonly ItemResult[], epoch = 1): ResultChunk {
  return {
    v: 1,
    node: NODE,
    key: { task, run: 0, shard: 0, epoch },
    chunk,
    producedAt: new Date().toISOString(),
    items: [...items],
  };
}

export function resultOf(item: number): ItemResult {
  return {
    item,
    stage: "final",
    ms: 2,
    output: {
      type: "text-classification",
      labels: [
        { label: "positive", score: 0.9 },
        { label: "negative", score: 0.1 },
      ],
      scoreSource: "probability",
    },
  };
}
