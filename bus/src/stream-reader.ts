/**
 * Reads a stream in its order, for ever, and never acknowledges: the reader deletes what it has dealt with, so that
 * what is in the stream is what remains to be done.
 *
 *   session: create an ephemeral consumer (from the first message) ─► pull ─► batch ─► pull ─► …
 *
 * A session ends on anything odd: a gap in the consumer's count, a refused pull, silence, a disconnect, a batch that
 * was not taken. The next one starts at the first message of whatever stream is there then, a rebuilt one included.
 * So a batch may come twice, and never is one skipped. A durable consumer would remember a position that means nothing
 * in a rebuilt stream, and would hold back what a killed reader had not acknowledged until its timer ran out.
 */
import { randomBytes } from "node:crypto";
import type { Msg } from "@nats-io/nats-core";
import type { BusConnection, BusLog } from "./connection.ts";
import { delay } from "./delay.ts";
import { busUnavailable } from "./errors.ts";
import { jetStreamRequest } from "./jetstream.ts";

export interface StreamMessage {
  readonly subject: string;
  readonly sequence: number;
  readonly message: Msg;
}

export interface StreamReaderOptions {
  readonly stream: string;
  /** Which of its subjects; the server wants them for `last_per_subject`. */
  readonly subjects: string;
  /** `all` messages, or the `last_per_subject` and then all new ones. */
  readonly deliver: "all" | "last_per_subject";
  /** Of one pull; up to two pulls are held in memory. */
  readonly maxMessages: number;
  /** Of one pull; above the largest message, or that one would never come. */
  readonly maxBytes: number;
  /** Before each session; makes the stream if it is gone. */
  readonly prepare?: () => Promise<void>;
  /** Everything that has arrived, in stream order. When it throws, the messages come again after a pause. */
  readonly onBatch: (batch: readonly StreamMessage[]) => Promise<void>;
  readonly signal: AbortSignal;
  readonly log?: BusLog;
}

const PULL_EXPIRES_MS = 30_000;
const PULL_HEARTBEAT_MS = 5_000;
const SILENCE_LIMIT_MS = 3 * PULL_HEARTBEAT_MS;
/** The server forgets a consumer that nobody pulls from. */
const CONSUMER_INACTIVE_MS = 60_000;
const FIRST_PAUSE_MS = 100;
const LONGEST_PAUSE_MS = 5_000;
const NANOS_PER_MS = 1e6;

/** Resolves when the signal fires and the batch under way is done. */
export async function readStream(connection: BusConnection, options: StreamReaderOptions): Promise<void> {
  const signal = AbortSignal.any([options.signal, connection.closed]);
  let pauseMs = FIRST_PAUSE_MS;
  while (!signal.aborted) {
    const session = new ReaderSession(connection, options, signal);
    try {
      await options.prepare?.();
      await session.run();
    } catch (error) {
      options.log?.debug({ stream: options.stream, error }, "reading the stream starts again");
    }
    if (signal.aborted) return;
    pauseMs = session.tookBatches ? FIRST_PAUSE_MS : Math.min(LONGEST_PAUSE_MS, pauseMs * 2);
    await pause(connection, pauseMs, signal);
  }
}

/** Waits that long, but no longer than until the link is back. */
async function pause(connection: BusConnection, ms: number, signal: AbortSignal): Promise<void> {
  const back = new AbortController();
  const forget = connection.onStatus((status) => status === "connected" && back.abort());
  try {
    await delay(ms, AbortSignal.any([signal, back.signal]));
  } finally {
    forget();
  }
}

class ReaderSession {
  readonly #connection: BusConnection;
  readonly #options: StreamReaderOptions;
  readonly #signal: AbortSignal;
  readonly #consumer = `reader-${randomBytes(6).toString("hex")}`;
  readonly #inbox: string;
  #queue: StreamMessage[] = [];
  #consumerSequence = 0;
  /** Messages of the pull under way that have arrived; undefined: no pull is under way. */
  #pulled: number | undefined;
  /** Pulls so far: each has a reply subject of its own, because a completed one may still get a status. */
  #pulls = 0;
  #lastHeardAt = 0;
  #failure: Error | undefined;
  #wake: () => void = () => undefined;
  tookBatches = false;

  constructor(connection: BusConnection, options: StreamReaderOptions, signal: AbortSignal) {
    this.#connection = connection;
    this.#options = options;
    this.#signal = signal;
    this.#inbox = connection.newInbox();
  }

  async run(): Promise<void> {
    const { stream, deliver } = this.#options;
    await jetStreamRequest(this.#connection, `CONSUMER.CREATE.${stream}.${this.#consumer}`, {
      stream_name: stream,
      config: {
        name: this.#consumer,
        filter_subjects: [this.#options.subjects],
        deliver_policy: deliver,
        ack_policy: "none",
        replay_policy: "instant",
        mem_storage: true,
        num_replicas: 1,
        inactive_threshold: CONSUMER_INACTIVE_MS * NANOS_PER_MS,
      },
    });
    const unsubscribe = this.#connection.subscribe(`${this.#inbox}.*`, (message) => this.#take(message));
    const forget = this.#connection.onStatus(() => this.#fail("the link was lost"));
    const watchdog = setInterval(() => this.#checkSilence(), PULL_HEARTBEAT_MS);
    const stop = () => this.#wake();
    this.#signal.addEventListener("abort", stop);
    try {
      await this.#loop();
    } finally {
      this.#signal.removeEventListener("abort", stop);
      clearInterval(watchdog);
      forget();
      unsubscribe();
    }
  }

  async #loop(): Promise<void> {
    while (!this.#signal.aborted) {
      if (this.#failure) throw this.#failure;
      const batch = this.#queue;
      this.#queue = [];
      // The next pull is under way while this batch is worked on.
      if (this.#pulled === undefined) this.#pull();
      if (batch.length > 0) {
        await this.#options.onBatch(batch);
        this.tookBatches = true;
      } else {
        await this.#somethingHappens();
      }
    }
  }

  /** Nothing can happen between the check of the queue and this: both run in the same turn. */
  #somethingHappens(): Promise<void> {
    return new Promise((resolve) => {
      this.#wake = resolve;
    });
  }

  #pull(): void {
    this.#pulled = 0;
    this.#pulls++;
    this.#lastHeardAt = performance.now();
    const { stream, maxMessages, maxBytes } = this.#options;
    const body = {
      batch: maxMessages,
      max_bytes: maxBytes,
      expires: PULL_EXPIRES_MS * NANOS_PER_MS,
      idle_heartbeat: PULL_HEARTBEAT_MS * NANOS_PER_MS,
    };
    const subject = `$JS.API.CONSUMER.MSG.NEXT.${stream}.${this.#consumer}`;
    this.#connection.publish(subject, JSON.stringify(body), this.#pullSubject());
  }

  #pullSubject(): string {
    return `${this.#inbox}.${this.#pulls}`;
  }

  #take(message: Msg): void {
    this.#lastHeardAt = performance.now();
    // Under its own subject comes what others wrote: of its headers nothing is believed, or even read, here.
    if (message.subject.startsWith(`${this.#inbox}.`)) {
      const status = message.headers?.code ?? 0;
      // 409 "Batch Completed" follows the last message of a pull with a byte limit.
      const isOfPull = message.subject === this.#pullSubject() && this.#pulled !== undefined;
      if (status !== 100 && isOfPull) this.#endPull(status);
      return;
    }
    const position = parsePosition(message.reply ?? "");
    if (position?.consumerSequence !== this.#consumerSequence + 1) {
      this.#fail("a message is missing");
      return;
    }
    this.#consumerSequence = position.consumerSequence;
    this.#queue.push({ subject: message.subject, sequence: position.streamSequence, message });
    this.#pulled = (this.#pulled ?? 0) + 1;
    if (this.#pulled >= this.#options.maxMessages) this.#pulled = undefined;
    this.#wake();
  }

  /** 404 and 408: nothing more for now. 409 after messages: the byte limit. Anything else: no consumer, no stream. */
  #endPull(status: number): void {
    const isExpected = status === 404 || status === 408 || (status === 409 && (this.#pulled ?? 0) > 0);
    if (!isExpected) this.#fail(`the pull was refused with ${status}`);
    this.#pulled = undefined;
    this.#wake();
  }

  #checkSilence(): void {
    const isSilent = performance.now() - this.#lastHeardAt > SILENCE_LIMIT_MS;
    if (this.#pulled !== undefined && isSilent) this.#fail("the server is silent");
  }

  #fail(why: string): void {
    this.#failure ??= busUnavailable(this.#options.stream, why);
    this.#wake();
  }
}

/**
 * `$JS.ACK.<stream>.<consumer>.<deliveries>.<stream seq>.<consumer seq>.<time>.<pending>`, with domain and account hash
 * after ACK in a server that has them (ADR-15).
 */
export function parsePosition(
  reply: string,
): { readonly streamSequence: number; readonly consumerSequence: number } | undefined {
  const tokens = reply.split(".");
  const offset = tokens.length >= 11 ? 2 : 0;
  if (tokens[0] !== "$JS" || tokens[1] !== "ACK" || tokens.length < 9) return undefined;
  return { streamSequence: Number(tokens[5 + offset]), consumerSequence: Number(tokens[6 + offset]) };
}
