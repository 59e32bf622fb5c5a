import { createSeed, Nkey } from "./nkeys.ts";

/**
 * Every secret of one bus, as text that survives JSON. Whoever holds it can admit any node and forge any grant: it
 * lives in one Secret, which the operator reads. The ingester gets the public grant key and its own user, agents
 * only what `signNodeUser` returns.
 */
export interface BusKeys {
  /** Identity of the operator in NATS's sense: root of trust of the server's configuration. */
  readonly operator: string;
  /** Signs account claims: revocation is a new claim for the account EDGE. */
  readonly operatorSigning: string;
  /** Account of the server itself. */
  readonly system: string;
  /** Account that holds the streams. */
  readonly cloud: string;
  readonly cloudSigning: string;
  /** Account of the agents, without JetStream. */
  readonly edge: string;
  /** Scoped: every user that it signs gets the rights of the agent's template, and no others. */
  readonly edgeSigning: string;
  /** Signs grants: who may write results of an assignment. */
  readonly grant: string;
}

export interface BusPublicKeys {
  readonly operator: string;
  readonly system: string;
  readonly cloud: string;
  readonly edge: string;
  readonly grant: string;
}

export function createBusKeys(): BusKeys {
  return {
    operator: createSeed("operator"),
    operatorSigning: createSeed("operator"),
    system: createSeed("account"),
    cloud: createSeed("account"),
    cloudSigning: createSeed("account"),
    edge: createSeed("account"),
    edgeSigning: createSeed("account"),
    grant: createSeed("user"),
  };
}

export function publicKeysOf(keys: BusKeys): BusPublicKeys {
  return {
    operator: new Nkey("operator", keys.operator).publicKey,
    system: new Nkey("account", keys.system).publicKey,
    cloud: new Nkey("account", keys.cloud).publicKey,
    edge: new Nkey("account", keys.edge).publicKey,
    grant: new Nkey("user", keys.grant).publicKey,
  };
}
