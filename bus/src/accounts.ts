/**
 * Two accounts. CLOUD holds the streams; agents live in EDGE, which has no JetStream and imports five narrow things.
 * In one account an agent occupies another's subjects by naming them as the reply of its own request: the server's
 * answer goes there, unchecked against the agent's rights. Across accounts it ends in EDGE, where nothing is stored.
 *
 *   EDGE, node A                          CLOUD
 *   res.A.>                    ────────►  res.>                                    stream RESULTS
 *   HUB.GET.desired.A          ────────►  $JS.API.DIRECT.GET.DESIRED.desired.*     stream DESIRED
 *   HUB.GET.spec.A.*           ────────►  $JS.API.DIRECT.GET.SPECS.spec.*.*        stream SPECS
 *   hb.A                       ────────►  hb.*                                     operator
 *   live.desired.A             ◄────────  live.desired.*                           poke, its payload is ignored
 *
 * The direct gets are renamed, because under `$JS.API` EDGE's own, disabled JetStream would answer them.
 */
import { FORGET_SUBJECT, STREAM_DESIRED, STREAM_LEDGER, STREAM_RESULTS, STREAM_SPECS } from "@autoglm/api";
import { encodeJwt } from "./jwt.ts";
import type { BusKeys } from "./keys.ts";
import { Nkey } from "./nkeys.ts";

/** Prefix of the inboxes of the user with this name; nobody else may subscribe below it. */
export const inboxPrefixOf = (userName: string) => `_INBOX_${userName}`;

/** Public keys of users to the second up to which their tokens are void. */
export type Revocations = Readonly<Record<string, number>>;

/** Version of NATS's claims. */
const CLAIMS_VERSION = 2;
/** Largest message of the server: a desired document, or a chunk with its headers. */
export const MAX_PAYLOAD_BYTES = 1024 * 1024;

const UNLIMITED = {
  subs: -1,
  data: -1,
  payload: -1,
  imports: -1,
  exports: -1,
  wildcards: true,
  conn: -1,
  leaf: 0,
} as const;
const UNLIMITED_JETSTREAM = { mem_storage: -1, disk_storage: -1, streams: -1, consumer: -1 } as const;

const DIRECT_GET_DESIRED = `$JS.API.DIRECT.GET.${STREAM_DESIRED}.desired.*`;
const DIRECT_GET_SPEC = `$JS.API.DIRECT.GET.${STREAM_SPECS}.spec.*.*`;

interface Shared {
  readonly name: string;
  readonly subject: string;
  readonly type: "service" | "stream";
  /** Name on the importing side, where it differs. */
  readonly local_subject?: string;
}
const SHARED: readonly Shared[] = [
  { name: "results", subject: "res.>", type: "service" },
  { name: "desired", subject: DIRECT_GET_DESIRED, type: "service", local_subject: "HUB.GET.desired.*" },
  { name: "specs", subject: DIRECT_GET_SPEC, type: "service", local_subject: "HUB.GET.spec.*.*" },
  { name: "heartbeats", subject: "hb.*", type: "service" },
  { name: "pokes", subject: "live.desired.*", type: "stream" },
];

/** What each agent may do; the server fills in the name of its user, which is the node id. */
const AGENT_TEMPLATE = {
  pub: {
    allow: ["res.{{name()}}.>", "HUB.GET.desired.{{name()}}", "HUB.GET.spec.{{name()}}.*", "hb.{{name()}}"],
  },
  sub: { allow: [`${inboxPrefixOf("{{name()}}")}.>`, "live.desired.{{name()}}"] },
  subs: 16,
  data: -1,
  payload: MAX_PAYLOAD_BYTES,
  allowed_connection_types: ["STANDARD", "WEBSOCKET"],
};

const streamApi = (verb: string, ...streams: readonly string[]) =>
  streams.map((stream) => `$JS.API.STREAM.${verb}.${stream}`);
/** An ephemeral pull consumer, made, read and forgotten. */
const readStreamApi = (stream: string) => [
  `$JS.API.CONSUMER.CREATE.${stream}.*`,
  `$JS.API.CONSUMER.MSG.NEXT.${stream}.*`,
];

export type ServiceRole = "operator" | "ingester";

/** What the services may do: exactly what the classes of this package send. */
export const SERVICE_PERMISSIONS = {
  operator: {
    pub: {
      allow: [
        "desired.*",
        "spec.*.*",
        FORGET_SUBJECT,
        ...["INFO", "CREATE", "UPDATE"].flatMap((verb) =>
          streamApi(verb, STREAM_DESIRED, STREAM_SPECS, STREAM_RESULTS, STREAM_LEDGER),
        ),
        ...streamApi("PURGE", STREAM_SPECS, STREAM_LEDGER),
        DIRECT_GET_DESIRED,
        ...readStreamApi(STREAM_LEDGER),
      ],
    },
    sub: { allow: [`${inboxPrefixOf("operator")}.>`, "hb.*"] },
  },
  ingester: {
    pub: {
      allow: [
        "ledger.*",
        ...["INFO", "CREATE"].flatMap((verb) => streamApi(verb, STREAM_RESULTS, STREAM_LEDGER)),
        ...streamApi("PURGE", STREAM_RESULTS),
        ...readStreamApi(STREAM_RESULTS),
      ],
    },
    sub: { allow: [`${inboxPrefixOf("ingester")}.>`, FORGET_SUBJECT] },
    /** Answers to `forget`, within a minute (nanoseconds). */
    resp: { max: 1, ttl: 60e9 },
  },
} as const satisfies Record<ServiceRole, object>;

export function operatorClaims(keys: BusKeys, now: Date): string {
  const identity = new Nkey("operator", keys.operator);
  const signing = new Nkey("operator", keys.operatorSigning);
  const system = new Nkey("account", keys.system);
  return encodeJwt(identity, {
    sub: identity.publicKey,
    name: "autoglm",
    iat: seconds(now),
    nats: {
      type: "operator",
      version: CLAIMS_VERSION,
      signing_keys: [signing.publicKey],
      system_account: system.publicKey,
    },
  });
}

export function systemClaims(keys: BusKeys, now: Date): string {
  return accountClaims(keys, keys.system, "SYS", now, { limits: UNLIMITED });
}

export function cloudClaims(keys: BusKeys, now: Date): string {
  return accountClaims(keys, keys.cloud, "CLOUD", now, {
    limits: { ...UNLIMITED, ...UNLIMITED_JETSTREAM },
    signing_keys: [new Nkey("account", keys.cloudSigning).publicKey],
    exports: SHARED.map(({ name, subject, type }) => ({ name, subject, type })),
  });
}

export function edgeClaims(keys: BusKeys, now: Date, revocations: Revocations = {}): string {
  const cloud = new Nkey("account", keys.cloud).publicKey;
  return accountClaims(keys, keys.edge, "EDGE", now, {
    limits: UNLIMITED,
    signing_keys: [
      {
        kind: "user_scope",
        key: new Nkey("account", keys.edgeSigning).publicKey,
        role: "edge-agent",
        template: AGENT_TEMPLATE,
      },
    ],
    imports: SHARED.map((shared) => ({ ...shared, account: cloud })),
    revocations,
  });
}

function accountClaims(keys: BusKeys, seed: string, name: string, now: Date, nats: object): string {
  return encodeJwt(new Nkey("operator", keys.operatorSigning), {
    sub: new Nkey("account", seed).publicKey,
    name,
    iat: seconds(now),
    nats: { type: "account", version: CLAIMS_VERSION, ...nats },
  });
}

export interface UserDraft {
  readonly name: string;
  readonly publicKey: string;
  readonly now: Date;
  readonly expiresAt?: Date;
}

/** Token of a user without permissions of its own: those of the scoped key that signs it hold. */
export function scopedUserClaims(account: Nkey, signing: Nkey, user: UserDraft): string {
  return userClaims(account, signing, user, {});
}

/** Token of a user with exactly these permissions. */
export function permittedUserClaims(
  account: Nkey,
  signing: Nkey,
  user: UserDraft,
  permissions: object,
): string {
  return userClaims(account, signing, user, { ...permissions, subs: -1, data: -1, payload: -1 });
}

function userClaims(account: Nkey, signing: Nkey, user: UserDraft, nats: object): string {
  return encodeJwt(signing, {
    sub: user.publicKey,
    name: user.name,
    iat: seconds(user.now),
    ...(user.expiresAt ? { exp: seconds(user.expiresAt) } : {}),
    nats: {
      ...nats,
      type: "user",
      version: CLAIMS_VERSION,
      ...(account.publicKey === signing.publicKey ? {} : { issuer_account: account.publicKey }),
    },
  });
}

export const seconds = (time: Date) => Math.floor(time.getTime() / 1000);
