import {
  cloudClaims,
  edgeClaims,
  MAX_PAYLOAD_BYTES,
  operatorClaims,
  type Revocations,
  seconds,
  systemClaims,
} from "./accounts.ts";
import { type BusKeys, publicKeysOf } from "./keys.ts";

export interface NatsServerConfigOptions {
  /** Address to listen on. */
  readonly host: string;
  readonly port: number;
  /** Folder of the streams. It may be lost: what is on it is rebuilt. */
  readonly storeDir: string;
  /** Folder of the account claims, revocations among them. */
  readonly jwtDir: string;
  /** HTTP port of the server's own monitoring on the same address; none by default. */
  readonly monitorPort?: number;
  /** Bytes of streams on disk; default: three quarters of the volume. */
  readonly maxStoreBytes?: number;
  /** Public keys of nodes → time up to which their tokens are void. */
  readonly revocations?: Readonly<Record<string, Date>>;
}

const CLAIMS_AGE_MS = 60_000;

/**
 * Configuration of a nats-server (2.14.3 or newer) for this bus. Make it once and keep the text: the claims in it are
 * a minute older than the call, so one made later replaces what was pushed to `jwtDir` since, revocations included, unless they
 * are passed in.
 */
export function natsServerConfig(keys: BusKeys, options: NatsServerConfigOptions): string {
  // Of two claims the server keeps the newer by the second: a push right after the start has to win over these.
  const issuedAt = new Date(Date.now() - CLAIMS_AGE_MS);
  const publicKeys = publicKeysOf(keys);
  const revocations: Revocations = Object.fromEntries(
    Object.entries(options.revocations ?? {}).map(([key, at]) => [key, seconds(at)]),
  );
  const lines = [
    `host: ${quote(options.host)}`,
    `port: ${options.port}`,
    "server_name: autoglm-hub",
    ...(options.monitorPort === undefined
      ? []
      : [`http: ${quote(`${options.host}:${options.monitorPort}`)}`]),
    `max_payload: ${MAX_PAYLOAD_BYTES}`,
    // Half-open links of edge sites are noticed within half a minute instead of four.
    'ping_interval: "10s"',
    "ping_max: 2",
    "jetstream {",
    `  store_dir: ${quote(options.storeDir)}`,
    ...(options.maxStoreBytes === undefined ? [] : [`  max_file_store: ${options.maxStoreBytes}`]),
    "}",
    `operator: ${operatorClaims(keys, issuedAt)}`,
    `system_account: ${publicKeys.system}`,
    `resolver { type: full, dir: ${quote(options.jwtDir)}, allow_delete: false }`,
    "resolver_preload {",
    `  ${publicKeys.system}: ${systemClaims(keys, issuedAt)}`,
    `  ${publicKeys.cloud}: ${cloudClaims(keys, issuedAt)}`,
    `  ${publicKeys.edge}: ${edgeClaims(keys, issuedAt, revocations)}`,
    "}",
  ];
  return `${lines.join("\n")}\n`;
}

const quote = (text: string) => JSON.stringify(text);
