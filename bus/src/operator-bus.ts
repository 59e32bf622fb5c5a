import { createHash } from "node:crypto";
import {
  AutoglmError,
  decodeMessage,
  desiredDocumentSchema,
  type DesiredDocument,
  desiredSubject,
  encodeMessage,
  FORGET_SUBJECT,
  type Heartbeat,
  heartbeatSchema,
  type Ledger,
  ledgerSchema,
  ledgerSubject,
  MAX_BODY_BYTES,
  specSubject,
  STREAM_DESIRED,
  STREAM_LEDGER,
  STREAM_SPECS,
} from "@autoglm/api";
import { edgeClaims, MAX_PAYLOAD_BYTES, seconds } from "./accounts.ts";
import { coalesced } from "./coalesced.ts";
import { type BusConnection, type BusLog, connectBus } from "./connection.ts";
import { busUnavailable } from "./errors.ts";
import { errorFromForgetReply } from "./forget.ts";
import { directGet, purgeStream, storeMessage, streamInfo } from "./jetstream.ts";
import { decodeJwt } from "./jwt.ts";
import { type BusKeys, publicKeysOf } from "./keys.ts";
import { readStream } from "./stream-reader.ts";
import { ensureStreams, streamConfigs, type StreamOptions } from "./streams.ts";
import { signRevoker } from "./users.ts";

/** Most ledgers handed over at once, and their bytes: one ledger may be large. */
const LEDGER_BATCH = { maxMessages: 256, maxBytes: 8 * 1024 * 1024 };

const RATE_WINDOW_MS = 1000;
/** Of one node in a window: agents send at most ten. */
const HEARTBEATS_AT_ONCE = 20;

interface HeartbeatSender {
  newest: Uint8Array;
  windowBeganAt: number;
  inWindow: number;
  readonly slowly: ReturnType<typeof coalesced>;
}

export interface OperatorBusOptions {
  /** Needed by `revokeNode` alone. */
  readonly keys?: BusKeys;
  readonly log?: BusLog;
}

/** The operator's side of the bus: documents and specifications down, heartbeats and ledgers up. */
export class OperatorBus {
  readonly #connection: BusConnection;
  readonly #keys: BusKeys | undefined;
  readonly #log: BusLog | undefined;

  constructor(connection: BusConnection, { keys, log }: OperatorBusOptions = {}) {
    this.#connection = connection;
    this.#keys = keys;
    this.#log = log;
  }

  /** Makes the streams as they should be. Idempotent: call it on start, on reconnect and now and then, for wipes. */
  ensureStreams(options: StreamOptions = {}): Promise<void> {
    return ensureStreams(this.#connection, streamConfigs(options), { update: true });
  }

  /**
   * Replaces the node's document; storing it pokes the node.
   * @throws AutoglmError `InvalidMessage` for one over the server's limit of 1 MiB
   */
  async writeDesired(document: DesiredDocument): Promise<void> {
    const body = encodeMessage(desiredDocumentSchema, document);
    if (body.byteLength >= MAX_PAYLOAD_BYTES) {
      throw new AutoglmError("InvalidMessage", `the desired document of ${document.node} is too large`, {
        details: { node: document.node, bytes: body.byteLength, assignments: document.assignments.length },
      });
    }
    await storeMessage(this.#connection, desiredSubject(document.node), body);
  }

  /** The document as the node would fetch it; undefined: there is none. */
  async readDesired(node: string): Promise<DesiredDocument | undefined> {
    const subject = `$JS.API.DIRECT.GET.${STREAM_DESIRED}.${desiredSubject(node)}`;
    const message = await directGet(this.#connection, subject);
    return message && decodeMessage(desiredDocumentSchema, message.data);
  }

  /**
   * Puts a specification or a part of its input where the node can fetch it; at most 512 KiB. Nothing is sent twice.
   * @returns its sha256, hex
   */
  async writeSpec(node: string, bytes: Uint8Array): Promise<string> {
    if (bytes.byteLength > MAX_BODY_BYTES) {
      throw new AutoglmError(
        "InvalidMessage",
        `a part of ${bytes.byteLength} bytes is over ${MAX_BODY_BYTES}`,
      );
    }
    const sha256 = createHash("sha256").update(bytes).digest("hex");
    await storeMessage(this.#connection, specSubject(node, sha256), bytes, { onlyOnce: true });
    return sha256;
  }

  /** Digests of what lies there for the node. */
  async listSpecs(node: string): Promise<readonly string[]> {
    const prefix = specSubject(node, "x").slice(0, -1);
    const info = await streamInfo(this.#connection, STREAM_SPECS, `${prefix}*`);
    return Object.keys(info?.state?.subjects ?? {}).map((subject) => subject.slice(prefix.length));
  }

  async deleteSpecs(node: string, digests: readonly string[]): Promise<void> {
    for (const sha256 of digests) {
      await purgeStream(this.#connection, STREAM_SPECS, { subject: specSubject(node, sha256) });
    }
  }

  /**
   * Calls for valid heartbeats whose node is the one that the server let send them. Of a node that sends more than 20 a
   * second, with the newest once a second, so that none can keep the operator busy.
   */
  onHeartbeat(listener: (heartbeat: Heartbeat) => void): () => void {
    const senders = new Map<string, HeartbeatSender>();
    const decode = (subject: string, bytes: Uint8Array): void => {
      const heartbeat = this.#decoded(subject, () => decodeMessage(heartbeatSchema, bytes));
      if (!heartbeat) return;
      if (subject === `hb.${heartbeat.node}`) listener(heartbeat);
      else this.#log?.warn({ subject }, "a heartbeat names another node than its sender: dropped");
    };
    const newSender = (subject: string): HeartbeatSender => {
      const slowly = coalesced(() => decode(subject, sender.newest), RATE_WINDOW_MS);
      const sender = { newest: new Uint8Array(), windowBeganAt: -Infinity, inWindow: 0, slowly };
      senders.set(subject, sender);
      return sender;
    };
    const unsubscribe = this.#connection.subscribe("hb.*", ({ subject, data }) => {
      const sender = senders.get(subject) ?? newSender(subject);
      const now = performance.now();
      if (now - sender.windowBeganAt >= RATE_WINDOW_MS)
        Object.assign(sender, { windowBeganAt: now, inWindow: 0 });
      sender.inWindow++;
      sender.newest = data;
      if (sender.inWindow <= HEARTBEATS_AT_ONCE) decode(subject, data);
      else sender.slowly.call();
    });
    return () => {
      unsubscribe();
      for (const { slowly } of senders.values()) slowly.stop();
    };
  }

  /** Calls with the last ledger of each task, then with each new one; all again whenever the link or the stream is new. */
  onLedger(listener: (ledger: Ledger) => void): () => void {
    const stop = new AbortController();
    const reading = readStream(this.#connection, {
      stream: STREAM_LEDGER,
      subjects: "ledger.*",
      deliver: "last_per_subject",
      ...LEDGER_BATCH,
      signal: stop.signal,
      ...(this.#log ? { log: this.#log } : {}),
      onBatch: async (batch) => {
        for (const { subject, message } of batch) {
          const ledger = this.#decoded(subject, () => decodeMessage(ledgerSchema, message.data));
          if (ledger) listener(ledger);
        }
      },
    });
    // It ends with the signal or the connection and never throws.
    void reading;
    return () => stop.abort();
  }

  async deleteLedger(task: string): Promise<void> {
    await purgeStream(this.#connection, STREAM_LEDGER, { subject: ledgerSubject(task) });
  }

  /**
   * Has the ingester delete the results of a task.
   * @throws AutoglmError `BusUnavailable` without an ingester or an answer in time; else the code that it reported
   */
  async forget(task: string, { timeoutMs }: { readonly timeoutMs: number }): Promise<void> {
    const answer = await this.#connection.request(FORGET_SUBJECT, task, { timeoutMs });
    const error = errorFromForgetReply(task, answer);
    if (error) throw error;
  }

  /**
   * Voids every token of these keys that was signed up to that time: live connections are closed, reconnects refused.
   * A token signed for the same key in a later second is valid. Idempotent; call it again after the server's folder of
   * claims was lost.
   * @throws AutoglmError `BusUnavailable`, `BusRefused`
   */
  async revokeNode(publicKeys: readonly string[], at: Date): Promise<void> {
    const keys = this.#keys;
    if (!keys) throw new AutoglmError("Internal", "revocation needs the keys of the bus");
    const { edge } = publicKeysOf(keys);
    const { urls } = this.#connection;
    const system = await connectBus({
      urls,
      name: "revoker",
      signal: this.#connection.closed,
      ...signRevoker(keys, edge),
    });
    try {
      const present = await system.request(`$SYS.REQ.ACCOUNT.${edge}.CLAIMS.LOOKUP`);
      const revocations = { ...revocationsIn(present.string()) };
      for (const key of publicKeys) revocations[key] = Math.max(revocations[key] ?? 0, seconds(at));
      const subject = "$SYS.REQ.CLAIMS.UPDATE";
      const answer = await system.request(subject, edgeClaims(keys, new Date(), revocations));
      const { data } = answer.json<{ readonly data?: { readonly code?: number } }>();
      if (data?.code !== 200) throw busUnavailable(subject, "the server did not take the claims");
    } finally {
      await system.close();
    }
  }

  #decoded<T>(subject: string, decode: () => T): T | undefined {
    try {
      return decode();
    } catch (error) {
      this.#log?.warn({ subject, error }, "a message that does not fit its schema was dropped");
      return undefined;
    }
  }
}

function revocationsIn(claims: string): Readonly<Record<string, number>> {
  const { revocations } = decodeJwt(claims).nats;
  // Written by `edgeClaims` alone: the server refuses claims that this operator did not sign.
  return (revocations ?? {}) as Readonly<Record<string, number>>;
}
