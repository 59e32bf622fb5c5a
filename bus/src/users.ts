import { AutoglmError, nodeIdSchema } from "@autoglm/api";
import { permittedUserClaims, scopedUserClaims, SERVICE_PERMISSIONS, type ServiceRole } from "./accounts.ts";
import type { BusKeys } from "./keys.ts";
import { createSeed, Nkey } from "./nkeys.ts";

export interface BusCredentials {
  /** User JWT. */
  readonly jwt: string;
  /** Seed of the user's key, SU…. */
  readonly seed: string;
}

export interface NodeUserOptions {
  readonly nodeId: string;
  /** The node's public key, U…. */
  readonly publicKey: string;
  readonly expiresAt: Date;
}

/**
 * User JWT of a node: its name is the node id, its rights are the agent's template filled in with it.
 * @throws AutoglmError `InvalidMessage` for a node id that is not one token, which could widen the template
 */
export function signNodeUser(keys: BusKeys, { nodeId, publicKey, expiresAt }: NodeUserOptions): string {
  if (!nodeIdSchema.safeParse(nodeId).success) {
    throw new AutoglmError("InvalidMessage", `"${nodeId}" is not a node id`, { retry: "never" });
  }
  const account = new Nkey("account", keys.edge);
  const signing = new Nkey("account", keys.edgeSigning);
  return scopedUserClaims(account, signing, { name: nodeId, publicKey, now: new Date(), expiresAt });
}

/** A new user of CLOUD that may do what its role needs and no more. It does not expire: mount it as a Secret. */
export function signServiceUser(keys: BusKeys, role: ServiceRole): BusCredentials {
  const user = new Nkey("user", createSeed("user"));
  const draft = { name: role, publicKey: user.publicKey, now: new Date() };
  const account = new Nkey("account", keys.cloud);
  const signing = new Nkey("account", keys.cloudSigning);
  return { jwt: permittedUserClaims(account, signing, draft, SERVICE_PERMISSIONS[role]), seed: user.seed };
}

/** A user of SYS that may replace account claims and read them back, for one short connection. */
export function signRevoker(keys: BusKeys, edgeAccount: string): BusCredentials {
  const user = new Nkey("user", createSeed("user"));
  const system = new Nkey("account", keys.system);
  const now = new Date();
  const draft = {
    name: "revoker",
    publicKey: user.publicKey,
    now,
    expiresAt: new Date(now.getTime() + 300_000),
  };
  const permissions = {
    pub: { allow: ["$SYS.REQ.CLAIMS.UPDATE", `$SYS.REQ.ACCOUNT.${edgeAccount}.CLAIMS.LOOKUP`] },
    sub: { allow: ["_INBOX_revoker.>"] },
  };
  return { jwt: permittedUserClaims(system, system, draft, permissions), seed: user.seed };
}
