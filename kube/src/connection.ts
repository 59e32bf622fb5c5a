/**
 * One pool of connections per identity.
 *
 * client-node 2.0.1 builds a new undici Agent for every call, so every call is a new TLS handshake and the old
 * socket stays open. Here its KubeConfig keeps doing what it does well (files, service-account tokens read again
 * every minute, exec plugins, OIDC) and the pool is ours: one Agent under a hash of server, CA and client
 * certificate. When one of those files rotates the next request gets a new Agent, and the old one closes after
 * its last watch has ended.
 */
import { createHash } from "node:crypto";
import type { RequestOptions } from "node:https";
import { AutoglmError } from "@autoglm/api";
import { type DispatcherOptions, KubeConfig } from "@kubernetes/client-node";
import { Agent, type Dispatcher, ProxyAgent } from "undici";

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

export class PooledConnection {
  readonly #config: KubeConfig;
  #current: { readonly key: string; readonly dispatcher: Dispatcher } | undefined;
  readonly #retired = new Set<Dispatcher>();

  /** @param config Its current context says where to and as whom. */
  constructor(config: KubeConfig) {
    this.#config = config;
  }

  /** Credentials as they are now, and the pool that fits them. Throws InvalidOption when the kubeconfig can't be used. */
  async target(): Promise<AuthenticatedTarget> {
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
      dispatcher: this.#dispatcherFor(url.origin, pool),
      origin: url.origin,
      pathPrefix: url.pathname.replace(/\/$/, ""),
      headers,
    };
  }

  /** Ends every connection at once, watches included. */
  async close(): Promise<void> {
    const all = [...this.#retired, ...(this.#current === undefined ? [] : [this.#current.dispatcher])];
    this.#current = undefined;
    this.#retired.clear();
    await Promise.all(all.map(async (dispatcher) => dispatcher.destroy()));
  }

  #dispatcherFor(origin: string, pool: DispatcherOptions): Dispatcher {
    // JSON keeps Buffers as their bytes, so a changed certificate is a changed key.
    const key = createHash("sha256").update(JSON.stringify([origin, pool])).digest("hex");
    if (this.#current?.key === key) return this.#current.dispatcher;
    const previous = this.#current?.dispatcher;
    if (previous !== undefined) {
      this.#retired.add(previous);
      void previous.close().finally(() => this.#retired.delete(previous));
    }
    const dispatcher = createDispatcher(pool);
    this.#current = { key, dispatcher };
    return dispatcher;
  }
}

function createDispatcher(pool: DispatcherOptions): Dispatcher {
  // HTTP/1.1: on a half-open connection a request that times out takes its own socket with it, where HTTP/2
  // would let every later stream wait on the same dead one.
  const options = {
    keepAliveTimeout: IDLE_CONNECTION_MS,
    connectTimeout: CONNECT_TIMEOUT_MS,
    allowH2: false,
  };
  switch (pool.type) {
    case "agent":
      return new Agent({ ...options, connect: pool.connect });
    case "none":
      return new Agent(options);
    case "proxy":
      return new ProxyAgent({ ...options, uri: pool.uri, requestTls: pool.requestTls, connect: pool.connect });
    case "socks":
      throw new AutoglmError("InvalidOption", "proxy-url: SOCKS proxies are not supported, use an HTTP proxy");
  }
}

function pick<T, K extends keyof T>(source: T, keys: readonly K[]): Partial<Pick<T, K>> {
  const picked: Partial<Pick<T, K>> = {};
  for (const key of keys) if (source[key] !== undefined) picked[key] = source[key];
  return picked;
}
