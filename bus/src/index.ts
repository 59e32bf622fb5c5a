/**
 * The only importer of the NATS client.
 *
 * connectBus ─► BusConnection ─► OperatorBus | IngesterBus | AgentBus
 */
export { AgentBus, type AgentBusOptions } from "./agent-bus.ts";
export type { ServiceRole } from "./accounts.ts";
export {
  type BusConnection,
  type BusConnectionOptions,
  type BusLog,
  type BusStatus,
  connectBus,
} from "./connection.ts";
export { type ReceivedChunk, signGrant, verifyChunk, verifyGrant } from "./grants.ts";
export { type ConsumeOptions, IngesterBus, type IngesterBusOptions } from "./ingester-bus.ts";
export type { StoreOutcome } from "./jetstream.ts";
export { type BusKeys, type BusPublicKeys, createBusKeys, publicKeysOf } from "./keys.ts";
export { NodeKey } from "./nkeys.ts";
export { OperatorBus, type OperatorBusOptions } from "./operator-bus.ts";
export { natsServerConfig, type NatsServerConfigOptions } from "./server-config.ts";
export type { StreamOptions } from "./streams.ts";
export { type BusCredentials, type NodeUserOptions, signNodeUser, signServiceUser } from "./users.ts";
