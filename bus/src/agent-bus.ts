import { createHash } from "node:crypto";
import {
  AutoglmError,
  type ChunkAddress,
  chunkSubject,
  decodeMessage,
  desiredDocumentSchema,
  type DesiredDocument,
  encodeMessage,
  fetchDesiredSubject,
  fetchSpecSubject,
  HEADER_GRANT,
  HEADER_SIGNATURE,
  type Heartbeat,
  heartbeatSchema,
  heartbeatSubject,
  MAX_BODY_BYTES,
  pokeSubject,
} from "@autoglm/api";
import { coalesced } from "./coalesced.ts";
import type { BusConnection } from "./connection.ts";
import { chunkSigningInput } from "./grants.ts";
import { directGet, storeMessage, type StoreOutcome } from "./jetstream.ts";
import type { NodeKey } from "./nkeys.ts";

/** Between two fetches that pokes cause: others can make the server send one. */
const POKE_INTERVAL_MS = 50;

export interface AgentBusOptions {
  readonly nodeId: string;
  readonly key: NodeKey;
}

/** The agent's side of the bus: what it should do, and its results. */
export class AgentBus {
  readonly #connection: BusConnection;
  readonly #node: string;
  readonly #key: NodeKey;

  constructor(connection: BusConnection, { nodeId, key }: AgentBusOptions) {
    this.#connection = connection;
    this.#node = nodeId;
    this.#key = key;
  }

  /**
   * The node's desired document. undefined: there is none, because none was written yet or the bus lost its disk; that
   * is no news about any assignment.
   * @throws AutoglmError `InvalidMessage` for one that is malformed or names another node; `BusUnavailable`
   */
  async fetchDesired(): Promise<DesiredDocument | undefined> {
    const message = await directGet(this.#connection, fetchDesiredSubject(this.#node));
    const document = message && decodeMessage(desiredDocumentSchema, message.data);
    if (document && document.node !== this.#node) {
      throw new AutoglmError("InvalidMessage", "the desired document is another node's", {
        details: { node: document.node },
      });
    }
    return document;
  }

  /**
   * A specification or a part of its input; undefined: not there (any more).
   * @throws AutoglmError `InvalidMessage` when the bytes do not have that digest; `BusUnavailable`
   */
  async fetchSpec(sha256: string): Promise<Uint8Array | undefined> {
    const message = await directGet(this.#connection, fetchSpecSubject(this.#node, sha256));
    if (!message) return undefined;
    if (createHash("sha256").update(message.data).digest("hex") !== sha256) {
      throw new AutoglmError("InvalidMessage", "the specification does not have its digest", {
        details: { sha256 },
      });
    }
    return message.data;
  }

  /** Calls at once on the first poke, then at most every 50 ms. Says nothing after a reconnect: watch the status. */
  onPoke(listener: () => void): () => void {
    const poke = coalesced(listener, POKE_INTERVAL_MS);
    const unsubscribe = this.#connection.subscribe(pokeSubject(this.#node), poke.call);
    return () => {
      unsubscribe();
      poke.stop();
    };
  }

  /**
   * Stores a chunk once; "duplicate": it is there already. Many may be under way at a time; at most 512 KiB each.
   * @throws AutoglmError `ResultStoreFull` keep it and stop intake; `BusUnavailable` stored or not, send it again;
   *   `BusRefused` no right to do so
   */
  async publishChunk(address: ChunkAddress, body: Uint8Array, grant: string): Promise<StoreOutcome> {
    if (body.byteLength > MAX_BODY_BYTES) {
      throw new AutoglmError(
        "InvalidMessage",
        `a chunk of ${body.byteLength} bytes is over ${MAX_BODY_BYTES}`,
      );
    }
    const subject = chunkSubject(address);
    const signature = Buffer.from(this.#key.sign(chunkSigningInput(subject, body))).toString("base64");
    const headers = { [HEADER_SIGNATURE]: signature, [HEADER_GRANT]: grant };
    return storeMessage(this.#connection, subject, body, { onlyOnce: true, headers });
  }

  /** Sends and forgets: the next one says it all again. */
  publishHeartbeat(heartbeat: Heartbeat): void {
    this.#connection.publish(heartbeatSubject(this.#node), encodeMessage(heartbeatSchema, heartbeat));
  }
}
