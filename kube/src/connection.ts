/**
 * One pool of connections per identity.
 *
 * client-node 2.0.1 builds a new undici Agent for every call, so every call is a new TLS handshake and the old
 * socket stays open. Here its KubeConfig keeps doing what it does well (files, service-account tokens read again
 * every minute, exec plugins, OIDC) and the pools are ours, one pair under a hash of server, CA and client certificate:
 * calls share at most `maxConnections` and wait for one of them, each watch has a connection of its own. When one of
 * those files rotates the next request gets new pools, and the old ones close after their last watch has ended.
 */
import { createHash } from "node:crypto";
import type { RequestOptions } from "node:https";
import { AutoglmError } from "@autoglm/api";
import type { DispatcherOptions, KubeConfig } from "@kubernetes/client-node";
import { Agent, type buildConnector, type Dispatcher, ProxyAgent } from "undici";

/** kube-apiserver closes idle connections after 90 s; ours go first, so that no request meets a closed one. */
const IDLE_CONNECTION_MS = 45_000;
const CONNECT_TIMEOUT_MS = 10_000;

export interface AuthenticatedTarget {
  readonly dispatcher: Dispatcher;
  /** Scheme, host and port. */
  readonly origin: string;
  /** Path of the server's URL, without a slash at its end; empty for nearly everyone. */
  readonly pathPrefix: string;
  readonly headers: Readonly<Record<string, string>>;
}

/** Calls end soon and share connections; a watch holds one for minutes. */
export type RequestKind = "call" | "watch";

type Pools = Readonly<Record<RequestKind, Dispatcher>>;

export class PooledConnection {
  readonly #config: KubeConfig;
  readonly #maxConnections: number;
  #current: { readonly key: string; readonly pools: Pools } | undefined;
  readonly #retired = new Set<Dispatcher>();

  /** @param config Its current context says where to and as whom. */
  constructor(config: KubeConfig, maxConnections: number) {
    this.#config = config;
    this.#maxConnections = maxConnections;
  }

  /** Credentials as they are now, and the pool that fits them. Throws InvalidOption when the kubeconfig can't be used. */
  async target(kind: RequestKind): Promise<AuthenticatedTarget> {
    const cluster = this.#config.getCurrentCluster();
    if (cluster === null) {
      throw new AutoglmError("InvalidOption", "the kubeconfig has no current context with a cluster");
    }
    const options: RequestOptions = {};
    await this.#config.applyToHTTPSOptions(options);
    const pool = this.#config.createDispatcherOptions(cluster, {
      ...pick(options, ["ca", "cert", "key", "pfx", "passphrase", "rejectUnauthorized", "servername"]),
    });
    const url = new URL(cluster.server);
    const headers: Record<string, string> = {};
    for (const [name, value] of Object.entries(options.headers ?? {})) headers[name] = String(value);
    if (typeof options.auth === "string") {
      headers["Authorization"] = `Basic ${Buffer.from(options.auth).toString("base64")}`;
    }
    return {
      dispatcher: this.#poolsFor(url.origin, pool)[kind],
      origin: url.origin,
      pathPrefix: url.pathname.replace(/\/$/, ""),
      headers,
    };
  }

  /** Ends every connection at once, watches included. */
  async close(): Promise<void> {
    const all = [...this.#retired, ...Object.values(this.#current?.pools ?? {})];
    this.#current = undefined;
    this.#retired.clear();
    await Promise.all(all.map(async (dispatcher) => dispatcher.destroy()));
  }

  #poolsFor(origin: string, options: DispatcherOptions): Pools {
    // JSON keeps Buffers as their bytes, so a changed certificate is a changed key.
    const key = createHash("sha256")
      .update(JSON.stringify([origin, options]))
      .digest("hex");
    if (this.#current?.key === key) return this.#current.pools;
    for (const dispatcher of Object.values(this.#current?.pools ?? {})) {
      this.#retired.add(dispatcher);
      void dispatcher.close().finally(() => this.#retired.delete(dispatcher));
    }
    const pools = {
      call: createDispatcher(options, { connections: this.#maxConnections }),
      watch: createDispatcher(options, {}),
    };
    this.#current = { key, pools };
    return pools;
  }
}

function createDispatcher(pool: DispatcherOptions, size: { readonly connections?: number }): Dispatcher {
  // HTTP/1.1: on a half-open connection a request that times out takes its own socket with it, where HTTP/2
  // would let every later stream wait on the same dead one.
  const options = {
    keepAliveTimeout: IDLE_CONNECTION_MS,
    connectTimeout: CONNECT_TIMEOUT_MS,
    allowH2: false,
    ...size,
  };
  if (pool.type === "none") return new Agent(options);
  if (pool.type === "socks") {
    throw new AutoglmError("InvalidOption", "proxy-url: SOCKS proxies are not supported, use an HTTP proxy");
  }
  // The two libraries differ in whether an absent option may be `undefined` in the type; none is.
  const connect = pool.connect as buildConnector.BuildOptions;
  if (pool.type === "agent") return new Agent({ ...options, connect });
  const requestTls = pool.requestTls as buildConnector.BuildOptions;
  return new ProxyAgent({ ...options, uri: pool.uri, requestTls, connect });
}

function pick<T, K extends keyof T>(source: T, keys: readonly K[]): Partial<Pick<T, K>> {
  const picked: Partial<Pick<T, K>> = {};
  for (const key of keys) if (source[key] !== undefined) picked[key] = source[key];
  return picked;
}
