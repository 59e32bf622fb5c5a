/**
 * The secrets of the bus as files; bus-init.ts makes them once.
 *
 *     bus-keys.json   every key; the operator alone reads it
 *     ingester.json   the ingester's user and the public key that grants are checked with
 *     nats.conf       configuration of the nats-server, account claims included
 */
import { existsSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { AutoglmError } from "@autoglm/api";
import {
  createBusKeys,
  natsServerConfig,
  publicKeysOf,
  signServiceUser,
  type BusCredentials,
  type BusKeys,
  type NatsServerConfigOptions,
} from "@autoglm/bus";
import { z } from "zod";

const KEYS_FILE = "bus-keys.json";
const INGESTER_FILE = "ingester.json";
const CONFIG_FILE = "nats.conf";

export interface IngesterCredentials extends BusCredentials {
  readonly grantPublicKey: string;
}

export interface BusInitOptions extends NatsServerConfigOptions {
  readonly outDir: string;
}

/** Name → text of each file of a new bus, the keys last: with them the set is complete. */
export function makeBusFiles(server: NatsServerConfigOptions): Readonly<Record<string, string>> {
  const keys = createBusKeys();
  const ingester = { ...signServiceUser(keys, "ingester"), grantPublicKey: publicKeysOf(keys).grant };
  return {
    [INGESTER_FILE]: `${JSON.stringify(ingester, null, 2)}\n`,
    [CONFIG_FILE]: natsServerConfig(keys, server),
    [KEYS_FILE]: `${JSON.stringify(keys, null, 2)}\n`,
  };
}

/** False when the files are there already: other keys would lock out every node. */
export function writeBusFiles({ outDir, ...server }: BusInitOptions): boolean {
  if (existsSync(join(outDir, KEYS_FILE))) return false;
  mkdirSync(outDir, { recursive: true, mode: 0o700 });
  for (const [file, text] of Object.entries(makeBusFiles(server))) {
    writeFileSync(join(outDir, file), text, { mode: 0o600 });
  }
  return true;
}

const seed = z.string().min(1);
const keysSchema = z.object({
  operator: seed,
  operatorSigning: seed,
  system: seed,
  cloud: seed,
  cloudSigning: seed,
  edge: seed,
  edgeSigning: seed,
  grant: seed,
}) satisfies z.ZodType<BusKeys>;
const ingesterSchema = z.object({ jwt: z.string(), seed, grantPublicKey: z.string() });

/** @throws AutoglmError `InvalidOption` when the file is missing or damaged */
export function readBusKeys(dir: string): BusKeys {
  return readFile(join(dir, KEYS_FILE), keysSchema);
}

/** @throws AutoglmError `InvalidOption` when the file is missing or damaged */
export function readIngesterCredentials(dir: string): IngesterCredentials {
  return readFile(join(dir, INGESTER_FILE), ingesterSchema);
}

function readFile<S extends z.ZodType>(path: string, schema: S): z.output<S> {
  try {
    return schema.parse(JSON.parse(readFileSync(path, "utf8")));
  } catch (cause) {
    const message = `${path} can't be read; "bus-init --out DIR" makes it, AUTOGLM_BUS_DIR names its folder`;
    throw new AutoglmError("InvalidOption", message, { cause });
  }
}
