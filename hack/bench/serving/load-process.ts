/**
 * The load, in a process of its own: as many kept connections as asked for, each sends its next request when the answer
 * to the last has been read (a closed loop, as wrk does), or the next of those that arrive at random. Requests are bytes that lie ready; of an answer only the status
 * and the length are read. Latency is from the write, or the arrival, to the last byte.
 *
 * Against a server that only echoes it reached 90,000 requests a second at 4.7 µs of its own processor time each, as wrk
 * did beside it; `load.ts` measures that in every run.
 */
import { connect, type Socket } from "node:net";
import { answerRequests } from "../asked-process.ts";
import { AnswerReader } from "./answer-reader.ts";
import { Arrivals, arrivalTimes } from "./arrivals.ts";

export interface LoadRequest {
  readonly port: number;
  readonly path: string;
  readonly headers: Readonly<Record<string, string>>;
  readonly bodies: readonly string[];
  readonly concurrency: number;
  readonly seconds: number;
  /** Requests arrive at random, so many a second, whatever was answered; default: a closed loop. */
  readonly arrivals?: { readonly perSecond: number; readonly seed: number };
  /** So many requests and no more, and their answers are returned whole, to be checked. */
  readonly keep?: number;
}

export interface LoadAnswer {
  readonly seconds: number;
  readonly answered: number;
  /** By status, or by what happened to the connection. */
  readonly failures: Readonly<Record<string, number>>;
  /** Of the good ones, ascending. */
  readonly latenciesMs: Float64Array;
  /** Processor time of this process. */
  readonly cpuMs: number;
  /** By the order of the bodies; empty for one that failed. */
  readonly kept: readonly string[];
}

/** Long enough for what is slow, short enough to end: a server that answers nothing counts as one failure per connection. */
const ANSWER_TIMEOUT_MS = 20_000;
const READ_BUFFER_BYTES = 64 * 1024;
const REOPEN_MS = 50;

function bytesOf({ path, headers, bodies, port }: LoadRequest): readonly Buffer[] {
  return bodies.map((body) => {
    const lines = Object.entries({
      host: `127.0.0.1:${port}`,
      "content-type": "application/json",
      "content-length": String(Buffer.byteLength(body)),
      ...headers,
    }).map(([name, value]) => `${name}: ${value}\r\n`);
    return Buffer.from(`POST ${path} HTTP/1.1\r\n${lines.join("")}\r\n${body}`);
  });
}

interface Tally {
  readonly latencies: number[];
  readonly failures: Record<string, number>;
  readonly kept: string[];
}

interface Turn {
  readonly bytes: Buffer;
  readonly index: number;
  /** When it arrived; default when it is sent. */
  readonly due?: number;
}

interface ConnectionOptions {
  readonly port: number;
  /** Undefined: the load is over. */
  readonly next: () => Turn | undefined | Promise<Turn | undefined>;
  readonly isOver: () => boolean;
  readonly keepsBody: boolean;
  readonly tally: Tally;
}

/** One connection until there is no next request; a new one in its place when the server closes it. */
class Connection {
  readonly #options: ConnectionOptions;
  readonly #whenDone: () => void;
  #reader: AnswerReader;
  #socket: Socket;
  #turn: Turn | undefined;
  #sent = 0;
  #isDone = false;

  private constructor(options: ConnectionOptions, whenDone: () => void) {
    this.#options = options;
    this.#whenDone = whenDone;
    this.#reader = new AnswerReader(options.keepsBody);
    this.#socket = this.#open();
  }

  static drive(options: ConnectionOptions): Promise<void> {
    return new Promise((resolve) => new Connection(options, resolve));
  }

  #open(): Socket {
    this.#reader = new AnswerReader(this.#options.keepsBody);
    const socket = connect({
      port: this.#options.port,
      host: "127.0.0.1",
      noDelay: true,
      onread: {
        buffer: Buffer.allocUnsafeSlow(READ_BUFFER_BYTES),
        callback: (count, buffer) => this.#receive(Buffer.from(buffer.buffer, buffer.byteOffset, count)),
      },
    });
    socket.setTimeout(ANSWER_TIMEOUT_MS, () => socket.destroy(new Error("no answer")));
    socket.once("connect", () => this.#send());
    socket.once("error", ({ message }) => this.#fail(message));
    socket.once("close", (hadError) => {
      if (this.#isDone) return;
      if (!hadError) this.#fail("connection closed");
      // A server that refuses connections at once would be asked thousands of times a second.
      setTimeout(() => this.#reopen(), REOPEN_MS);
    });
    return socket;
  }

  #reopen(): void {
    if (this.#options.isOver()) this.#end();
    else this.#socket = this.#open();
  }

  #end(): void {
    this.#isDone = true;
    this.#socket.destroy();
    this.#whenDone();
  }

  #send(): void {
    const turn = this.#options.next();
    if (turn instanceof Promise) void turn.then((arrived) => this.#begin(arrived));
    else this.#begin(turn);
  }

  #begin(turn: Turn | undefined): void {
    this.#turn = turn;
    if (turn === undefined) {
      this.#end();
      return;
    }
    this.#sent = turn.due ?? performance.now();
    this.#socket.write(turn.bytes);
  }

  #receive(chunk: Buffer): boolean {
    const answer = this.#reader.feed(chunk);
    if (answer === undefined) return true;
    const { tally, keepsBody } = this.#options;
    const isGood = answer.status === 200;
    if (isGood) tally.latencies.push(performance.now() - this.#sent);
    else this.#fail(`HTTP ${answer.status}`);
    if (keepsBody) tally.kept[this.#turn?.index ?? 0] = isGood ? answer.body : "";
    this.#send();
    return true;
  }

  #fail(what: string): void {
    const { failures } = this.#options.tally;
    failures[what] = (failures[what] ?? 0) + 1;
  }
}

/** What has arrived before the deadline is sent after it too. */
function open(
  { perSecond, seed }: NonNullable<LoadRequest["arrivals"]>,
  {
    startedAt,
    deadline,
    take,
  }: { readonly startedAt: number; readonly deadline: number; readonly take: () => Turn | undefined },
): () => Promise<Turn | undefined> {
  const arrivals = new Arrivals(arrivalTimes({ perSecond, seed, startAt: startedAt, endAt: deadline }));
  return async () => {
    const arrival = await arrivals.next();
    const turn = arrival && take();
    return turn && { ...turn, ...arrival };
  };
}

async function load(request: LoadRequest): Promise<LoadAnswer> {
  const { port, concurrency, keep } = request;
  const all = bytesOf(request);
  const tally: Tally = { latencies: [], failures: {}, kept: [] };
  const startedAt = performance.now();
  const deadline = startedAt + request.seconds * 1000;
  const cpu = process.cpuUsage();
  let turn = 0;
  const isOver = () => performance.now() >= deadline || turn === keep;
  const take = (): Turn | undefined => {
    const index = turn++ % all.length;
    const bytes = all[index];
    return bytes === undefined ? undefined : { bytes, index };
  };
  const closed = () => (isOver() ? undefined : take());
  const options = {
    port,
    next: request.arrivals === undefined ? closed : open(request.arrivals, { startedAt, deadline, take }),
    isOver,
    tally,
    keepsBody: keep !== undefined,
  };
  await Promise.all(Array.from({ length: concurrency }, () => Connection.drive(options)));
  const seconds = (performance.now() - startedAt) / 1000;
  const { user, system } = process.cpuUsage(cpu);
  const latenciesMs = Float64Array.from(tally.latencies).sort();
  return {
    seconds,
    answered: latenciesMs.length,
    failures: tally.failures,
    latenciesMs,
    cpuMs: (user + system) / 1000,
    kept: tally.kept,
  };
}

answerRequests(load);
