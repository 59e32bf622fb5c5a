import {
  assignmentKeySchema,
  encodeMessage,
  FORGET_SUBJECT,
  HEADER_GRANT,
  HEADER_SIGNATURE,
  type Ledger,
  ledgerSchema,
  ledgerSubject,
  parseChunkSubject,
  STREAM_LEDGER,
  STREAM_RESULTS,
} from "@autoglm/api";
import type { Msg, MsgHdrs } from "@nats-io/nats-core";
import type { BusConnection, BusLog } from "./connection.ts";
import { forgetErrorHeaders } from "./forget.ts";
import type { ReceivedChunk } from "./grants.ts";
import { purgeStream, storeMessage } from "./jetstream.ts";
import { readStream, type StreamMessage } from "./stream-reader.ts";
import { ensureStreams, streamConfigs, type StreamOptions } from "./streams.ts";

export interface IngesterBusOptions {
  /** What RESULTS and LEDGER are made with where the operator has not made them yet; it has the last word. */
  readonly streams?: StreamOptions;
  readonly log?: BusLog;
}

export interface ConsumeOptions {
  readonly signal: AbortSignal;
  /** Most chunks fetched at once, default 256; a batch may hold twice as many. */
  readonly maxMessages?: number;
  /** Most bytes fetched at once, default 16 MiB; not under 2 MiB. */
  readonly maxBytes?: number;
}

const MAX_MESSAGES = 256;
const MAX_BYTES = 16 * 1024 * 1024;
const LEAST_MAX_BYTES = 2 * 1024 * 1024;

/** The ingester's side of the bus: results in, ledgers out. */
export class IngesterBus {
  readonly #connection: BusConnection;
  readonly #streams: StreamOptions;
  readonly #log: BusLog | undefined;

  constructor(connection: BusConnection, { streams = {}, log }: IngesterBusOptions = {}) {
    this.#connection = connection;
    this.#streams = streams;
    this.#log = log;
  }

  /** Makes RESULTS and LEDGER if they are not there; changes nothing that is. */
  ensureStreams(): Promise<void> {
    const own = streamConfigs(this.#streams).filter(
      ({ name }) => name === STREAM_RESULTS || name === STREAM_LEDGER,
    );
    return ensureStreams(this.#connection, own, { update: false });
  }

  /**
   * Hands over all chunks in stream order, whatever has arrived at a time, and deletes from the stream what the handler
   * resolved for. When it rejects, the same chunks come again after a pause that grows to 5 s. A chunk may come twice:
   * after a crash, a rebuilt bus, a lost answer. Resolves after the signal, when the batch under way is done.
   */
  async consumeChunks(
    handler: (batch: readonly ReceivedChunk[]) => Promise<void>,
    { signal, maxMessages = MAX_MESSAGES, maxBytes = MAX_BYTES }: ConsumeOptions,
  ): Promise<void> {
    await readStream(this.#connection, {
      stream: STREAM_RESULTS,
      subjects: "res.>",
      deliver: "all",
      maxMessages,
      maxBytes: Math.max(LEAST_MAX_BYTES, maxBytes),
      signal,
      ...(this.#log ? { log: this.#log } : {}),
      prepare: () => this.ensureStreams(),
      onBatch: async (batch) => {
        const chunks = batch.map(toReceivedChunk).filter((chunk) => chunk !== undefined);
        if (chunks.length < batch.length) {
          this.#log?.warn(
            { count: batch.length - chunks.length },
            "results under malformed subjects or with malformed headers were dropped",
          );
        }
        if (chunks.length > 0) await handler(chunks);
        const throughSequence = batch.at(-1)?.sequence ?? 0;
        await purgeStream(this.#connection, STREAM_RESULTS, { throughSequence });
      },
    });
  }

  /** Replaces the ledger of its task. */
  async publishLedger(ledger: Ledger): Promise<void> {
    await storeMessage(this.#connection, ledgerSubject(ledger.task), encodeMessage(ledgerSchema, ledger));
  }

  /** Answers the operator's requests to forget a task, after the callback resolved. */
  onForget(forget: (task: string) => Promise<void>): () => void {
    return this.#connection.subscribe(FORGET_SUBJECT, (message) => void this.#answerForget(message, forget));
  }

  async #answerForget(message: Msg, forget: (task: string) => Promise<void>): Promise<void> {
    try {
      await forget(assignmentKeySchema.shape.task.parse(message.string()));
      message.respond();
    } catch (error) {
      this.#log?.warn({ error }, "a task could not be forgotten");
      message.respond("", { headers: forgetErrorHeaders(error) });
    }
  }
}

/** undefined: subject or headers are not those of a chunk, which an agent may have sent below its own prefix. */
function toReceivedChunk({ subject, sequence, message }: StreamMessage): ReceivedChunk | undefined {
  const address = parseChunkSubject(subject);
  const headers = headersOf(message);
  if (!address || !headers) return undefined;
  return {
    subject,
    address,
    body: message.data,
    grant: headers.get(HEADER_GRANT),
    signature: Buffer.from(headers.get(HEADER_SIGNATURE), "base64"),
    sequence,
  };
}

/** The server stores whatever bytes an agent sent as headers; the client parses them late, and throws then. */
function headersOf(message: Msg): MsgHdrs | undefined {
  try {
    return message.headers;
  } catch {
    return undefined;
  }
}
