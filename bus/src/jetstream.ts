/**
 * The few requests of JetStream's API that the bus makes, on the wire as ADR-1 and ADR-31 of
 * nats-io/nats-architecture-and-design describe them, so that each passes through `BusConnection.request`: fails at
 * once on disconnect and is translated once.
 */
import { isAutoglmError } from "@autoglm/api";
import { headers, type Msg } from "@nats-io/nats-core";
import type { StreamConfig } from "@nats-io/jetstream";
import type { BusConnection } from "./connection.ts";
import { busUnavailable, errorFromJetStream, type JetStreamErrorBody, JETSTREAM_ERROR } from "./errors.ts";

/** What is read of the server's replies: every kind of them, so every field is optional. */
export interface JetStreamReply {
  readonly error?: JetStreamErrorBody;
  /** Of a PubAck. */
  readonly stream?: string;
  /** Of STREAM.INFO. */
  readonly config?: Partial<StreamConfig>;
  readonly state?: { readonly subjects?: Readonly<Record<string, number>> };
}

export type StoreOutcome = "stored" | "duplicate";

export interface StoreOptions {
  /** Refuses, as "duplicate", a second message on the same subject. */
  readonly onlyOnce?: boolean;
  readonly headers?: Readonly<Record<string, string>>;
}

/**
 * Stores a message and waits for the server's PubAck.
 * @throws AutoglmError `ResultStoreFull`, `BusRefused`, `BusUnavailable`; after the last it may have been stored or not
 */
export async function storeMessage(
  connection: BusConnection,
  subject: string,
  body: Uint8Array,
  { onlyOnce = false, headers: fields = {} }: StoreOptions = {},
): Promise<StoreOutcome> {
  const sent = headers();
  for (const [name, value] of Object.entries(fields)) sent.set(name, value);
  if (onlyOnce) sent.set("Nats-Expected-Last-Subject-Sequence", "0");
  const answer = await connection.request(subject, body, { headers: sent });
  const { stream, error } = parseReply(subject, answer);
  if (onlyOnce && error?.err_code === JETSTREAM_ERROR.wrongLastSequence) return "duplicate";
  if (error) throw errorFromJetStream(subject, error);
  // Anybody may subscribe beside a stream that is gone for the moment; only a PubAck counts.
  if (stream === undefined) throw busUnavailable(subject, "the answer is no PubAck");
  return "stored";
}

/** The stored message that the subject of a direct get names; undefined: there is none. */
export async function directGet(connection: BusConnection, subject: string): Promise<Msg | undefined> {
  const answer = await connection.request(subject);
  const status = answer.headers?.code ?? 0;
  if (status === 404) return undefined;
  if (status >= 300) throw errorFromJetStream(subject, { code: status, description: "direct get refused" });
  return answer;
}

/** Config and, with a filter, the subjects of a stream; undefined: no such stream. */
export async function streamInfo(
  connection: BusConnection,
  stream: string,
  subjectsFilter?: string,
): Promise<JetStreamReply | undefined> {
  try {
    const body = subjectsFilter === undefined ? {} : { subjects_filter: subjectsFilter };
    return await jetStreamRequest(connection, `STREAM.INFO.${stream}`, body);
  } catch (error) {
    if (jetStreamCodeOf(error) === JETSTREAM_ERROR.streamNotFound) return undefined;
    throw error;
  }
}

export async function createStream(connection: BusConnection, config: Partial<StreamConfig>): Promise<void> {
  try {
    await jetStreamRequest(connection, `STREAM.CREATE.${config.name}`, config);
  } catch (error) {
    // Another process was faster, with options of its own.
    if (jetStreamCodeOf(error) !== JETSTREAM_ERROR.streamNameExists) throw error;
  }
}

export async function updateStream(connection: BusConnection, config: Partial<StreamConfig>): Promise<void> {
  await jetStreamRequest(connection, `STREAM.UPDATE.${config.name}`, config);
}

/** Deletes the messages of one subject, or all up to and including a sequence. */
export async function purgeStream(
  connection: BusConnection,
  stream: string,
  what: { readonly subject: string } | { readonly throughSequence: number },
): Promise<void> {
  const body = "subject" in what ? { filter: what.subject } : { seq: what.throughSequence + 1 };
  await jetStreamRequest(connection, `STREAM.PURGE.${stream}`, body);
}

/** Asks `$JS.API.<name>` and throws what the server says in `error`. */
export async function jetStreamRequest(
  connection: BusConnection,
  name: string,
  body: object,
): Promise<JetStreamReply> {
  const subject = `$JS.API.${name}`;
  const reply = parseReply(subject, await connection.request(subject, JSON.stringify(body)));
  if (reply.error) throw errorFromJetStream(subject, reply.error);
  return reply;
}

function parseReply(subject: string, answer: Msg): JetStreamReply {
  try {
    return answer.json<JetStreamReply>();
  } catch (cause) {
    throw busUnavailable(subject, "the answer is not JSON", cause);
  }
}

function jetStreamCodeOf(error: unknown): unknown {
  return isAutoglmError(error) ? error.details["jetStreamCode"] : undefined;
}
