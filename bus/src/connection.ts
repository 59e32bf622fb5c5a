/**
 * One connection to the hub that is never given up.
 *
 *   connecting ──► connected ◄──► disconnected      (dial, wait with jitter, dial …)
 *        └──────────────┴───────────────┴──► closed (close, drain, or the signal)
 *
 * A request fails at once while disconnected, and every request under way fails in the moment of the disconnect: the
 * client would keep it until its timeout, and would send what was asked during the outage when the link is back, to a
 * server that may have lost its disk. Subscriptions live here and are made again on every new connection.
 */
import { AutoglmError, type ErrorCode } from "@autoglm/api";
import { createInbox, type Msg, type MsgHdrs, type NatsConnection } from "@nats-io/nats-core";
import { connect } from "@nats-io/transport-node";
import { inboxPrefixOf } from "./accounts.ts";
import { delay } from "./delay.ts";
import { busUnavailable, errorFromNats } from "./errors.ts";
import { decodeJwt } from "./jwt.ts";
import { Nkey } from "./nkeys.ts";
import { reconnectDelayMs } from "./reconnect-delay.ts";

export type BusStatus = "connected" | "disconnected";

/** Where the bus reports; the project's logger fits. Never gets a key, a token or a body. */
export interface BusLog {
  debug(fields: Readonly<Record<string, unknown>>, message: string): void;
  info(fields: Readonly<Record<string, unknown>>, message: string): void;
  warn(fields: Readonly<Record<string, unknown>>, message: string): void;
}

export interface BusConnectionOptions {
  /** nats://host:port; addresses that the server advertises are not used. */
  readonly urls: readonly string[];
  /** Shown in the server's monitoring. */
  readonly name: string;
  /** User JWT; a function is asked again before each dial, so that a renewed one is used. */
  readonly jwt: string | (() => string);
  /** Seed of the user's key, SU…. */
  readonly seed: string;
  readonly log?: BusLog;
  /** Ends the connection. */
  readonly signal?: AbortSignal;
  /**
   * true: return at once and dial in the background, for an agent that starts without a link. Default: return when
   * connected.
   */
  readonly background?: boolean;
  /** Default 10 s; two unanswered pings end a half-open link. */
  readonly pingIntervalMs?: number;
}

export interface BusRequestOptions {
  readonly timeoutMs?: number;
  readonly headers?: MsgHdrs;
}

/** Of one subscription, across reconnects. */
interface Subscribed {
  readonly subject: string;
  readonly onMessage: (message: Msg) => void;
  unsubscribe: () => void;
}

const DIAL_TIMEOUT_MS = 5_000;
const DRAIN_TIMEOUT_MS = 2_000;
const REQUEST_TIMEOUT_MS = 3_000;
const PING_INTERVAL_MS = 10_000;

export class BusConnection {
  readonly #options: BusConnectionOptions;
  readonly #key: Nkey;
  readonly #inboxPrefix: string;
  readonly #closing = new AbortController();
  readonly #statusListeners = new Set<(status: BusStatus) => void>();
  readonly #failInFlight = new Set<(error: unknown) => void>();
  readonly #subscriptions = new Set<Subscribed>();
  #nats: NatsConnection | undefined;
  #isConnected = false;
  #isDraining = false;
  #lastTrouble: ErrorCode | undefined;
  /** Of the monotonic clock; when the present outage began. */
  #disconnectedAt = performance.now();

  constructor(options: BusConnectionOptions) {
    this.#options = options;
    this.#key = new Nkey("user", options.seed);
    const { name, sub } = decodeJwt(this.#jwt());
    if (sub !== this.#key.publicKey) {
      throw new AutoglmError("InvalidMessage", "the token of the bus is for another key", { retry: "never" });
    }
    this.#inboxPrefix = inboxPrefixOf(name);
    const { signal } = options;
    if (signal?.aborted) this.#closing.abort();
    signal?.addEventListener("abort", () => void this.close(), { once: true, signal: this.#closing.signal });
  }

  get urls(): readonly string[] {
    return this.#options.urls;
  }

  isConnected(): boolean {
    return this.#isConnected;
  }

  /** Calls on each change from now on; returns what ends it. */
  onStatus(listener: (status: BusStatus) => void): () => void {
    this.#statusListeners.add(listener);
    return () => this.#statusListeners.delete(listener);
  }

  /** Fires when the connection is closed for good. */
  get closed(): AbortSignal {
    return this.#closing.signal;
  }

  /** Lets what is under way finish, at most 2 s, then closes. */
  async drain(): Promise<void> {
    const nats = this.#nats;
    this.#isDraining = true;
    if (nats && this.#isConnected && !nats.isClosed()) {
      const drained = nats.drain().catch(() => undefined);
      await Promise.race([drained, delay(DRAIN_TIMEOUT_MS, this.#closing.signal)]);
    }
    await this.close();
  }

  async close(): Promise<void> {
    if (!this.#closing.signal.aborted) this.#closing.abort();
    this.#setConnected(false);
    await this.#nats?.close();
  }

  /** A new subject below this user's own prefix. */
  newInbox(): string {
    return createInbox(this.#inboxPrefix);
  }

  /** Sends and forgets; nothing is sent while disconnected. */
  publish(subject: string, body: Uint8Array | string, reply?: string): void {
    if (!this.#nats || !this.#isConnected) return;
    try {
      this.#nats.publish(subject, body, reply === undefined ? {} : { reply });
    } catch (cause) {
      throw errorFromNats(subject, cause);
    }
  }

  /**
   * Asks and waits for one answer, 3 s by default.
   * @throws AutoglmError `BusUnavailable`, at once without a connection; `BusRefused` without the right to ask
   */
  request(subject: string, body: Uint8Array | string = "", options: BusRequestOptions = {}): Promise<Msg> {
    return new Promise((resolve, reject) => {
      if (!this.#nats || !this.#isConnected) {
        reject(busUnavailable(subject, "not connected"));
        return;
      }
      const fail = (cause: unknown) => {
        this.#failInFlight.delete(fail);
        reject(errorFromNats(subject, cause));
      };
      this.#failInFlight.add(fail);
      const { timeoutMs: timeout = REQUEST_TIMEOUT_MS, headers } = options;
      this.#nats.request(subject, body, { timeout, ...(headers ? { headers } : {}) }).then((answer) => {
        this.#failInFlight.delete(fail);
        resolve(answer);
      }, fail);
    });
  }

  /** Calls `onMessage` for each message until the returned function is called; survives reconnects. */
  subscribe(subject: string, onMessage: (message: Msg) => void): () => void {
    const subscribed: Subscribed = { subject, onMessage, unsubscribe: () => undefined };
    this.#subscriptions.add(subscribed);
    if (this.#nats && !this.#nats.isClosed()) this.#attach(this.#nats, subscribed);
    return () => {
      this.#subscriptions.delete(subscribed);
      subscribed.unsubscribe();
    };
  }

  /** Dials until connected, then again whenever the client itself gave up; resolves with the first connection. */
  async open(): Promise<void> {
    while (!this.#closing.signal.aborted) {
      try {
        this.#adopt(await this.#dial());
        return;
      } catch (cause) {
        this.#reportTrouble(cause);
        await delay(
          reconnectDelayMs(performance.now() - this.#disconnectedAt, Math.random),
          this.#closing.signal,
        );
      }
    }
  }

  #dial(): Promise<NatsConnection> {
    return connect({
      servers: [...this.#options.urls],
      name: this.#options.name,
      authenticator: (nonce) => ({
        jwt: this.#jwt(),
        nkey: this.#key.publicKey,
        sig: Buffer.from(this.#key.sign(Buffer.from(nonce ?? ""))).toString("base64url"),
      }),
      inboxPrefix: this.#inboxPrefix,
      timeout: DIAL_TIMEOUT_MS,
      pingInterval: this.#options.pingIntervalMs ?? PING_INTERVAL_MS,
      maxPingOut: 2,
      maxReconnectAttempts: -1,
      // A refused token may be renewed, a full server may have room later: never the end.
      ignoreAuthErrorAbort: true,
      // Addresses inside the hub's cluster can't be reached from an edge site.
      ignoreClusterUpdates: true,
      noAsyncTraces: true,
      // The client asks its delay handler several times per dial; this one is asked once.
      reconnectDelayHandler: () => 0,
      reconnectToServer: ([server]) => {
        if (!server || !this.#nats) return null;
        return { server, delay: reconnectDelayMs(performance.now() - this.#disconnectedAt, Math.random) };
      },
    });
  }

  #adopt(nats: NatsConnection): void {
    if (this.#closing.signal.aborted) {
      void nats.close();
      return;
    }
    this.#nats = nats;
    for (const subscribed of this.#subscriptions) this.#attach(nats, subscribed);
    this.#setConnected(true);
    void this.#followStatus(nats);
  }

  async #followStatus(nats: NatsConnection): Promise<void> {
    for await (const status of nats.status()) {
      if (status.type === "disconnect") this.#setConnected(false);
      else if (status.type === "reconnect") this.#setConnected(true);
      else if (status.type === "error") this.#reportTrouble(status.error);
    }
    this.#setConnected(false);
    if (!this.#isDraining) await this.open();
  }

  /** The first of its kind since the last connection is worth a warning, its repetitions at every dial are not. */
  #reportTrouble(cause: unknown): void {
    const error = errorFromNats("connection", cause);
    const level = this.#lastTrouble === error.code ? "debug" : "warn";
    this.#lastTrouble = error.code;
    this.#options.log?.[level]({ bus: this.#options.name, error }, "trouble with the bus");
  }

  #setConnected(isConnected: boolean): void {
    if (this.#isConnected === isConnected) return;
    this.#isConnected = isConnected;
    this.#lastTrouble = undefined;
    if (!isConnected) {
      this.#disconnectedAt = performance.now();
      const lost = busUnavailable("connection", "the link was lost");
      for (const fail of this.#failInFlight) fail(lost);
    }
    this.#options.log?.info(
      { bus: this.#options.name },
      isConnected ? "connected to the bus" : "disconnected from the bus",
    );
    for (const listener of this.#statusListeners) listener(isConnected ? "connected" : "disconnected");
  }

  #attach(nats: NatsConnection, subscribed: Subscribed): void {
    const subscription = nats.subscribe(subscribed.subject, {
      callback: (error, message) => {
        if (error) {
          const fields = { subject: subscribed.subject, error: errorFromNats(subscribed.subject, error) };
          this.#options.log?.warn(fields, "the subscription ended");
          return;
        }
        try {
          subscribed.onMessage(message);
        } catch (cause) {
          // Thrown into the client's parser it would end the reading of the whole connection.
          this.#options.log?.warn(
            { subject: subscribed.subject, error: cause },
            "a message could not be taken",
          );
        }
      },
    });
    subscribed.unsubscribe = () => subscription.unsubscribe();
  }

  #jwt(): string {
    const { jwt } = this.#options;
    return typeof jwt === "function" ? jwt() : jwt;
  }
}

/**
 * Connects and stays connected.
 * @throws AutoglmError `InvalidMessage` for a seed or token that is damaged or does not belong to the other; nothing else, it waits instead
 */
export async function connectBus(options: BusConnectionOptions): Promise<BusConnection> {
  const connection = new BusConnection(options);
  const opened = connection.open();
  if (!options.background) await opened;
  return connection;
}
