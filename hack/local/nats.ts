/** A real nats-server for the demo and the local cluster. */
import { execFileSync } from "node:child_process";
import { mkdirSync, writeFileSync } from "node:fs";
import { join, resolve } from "node:path";
import { type BusKeys, natsServerConfig } from "@autoglm/bus";
import { freePort, startProcess } from "../cluster/processes.ts";

export interface LocalNats {
  readonly url: string;
  /** Folder of the streams, for a test that wipes it. */
  readonly storeDir: string;
}

/** Path of the pinned nats-server; fetched on the first call. */
export function natsServerBinary(): string {
  return execFileSync(resolve("hack/nats-server.sh"), {
    encoding: "utf8",
    stdio: ["ignore", "pipe", "inherit"],
  }).trim();
}

export async function startLocalNats(keys: BusKeys, stateDir: string): Promise<LocalNats> {
  const folder = join(stateDir, "nats");
  const storeDir = join(folder, "streams");
  mkdirSync(folder, { recursive: true });
  const port = await freePort();
  const monitorPort = await freePort();
  const config = join(folder, "nats.conf");
  const text = natsServerConfig(keys, {
    host: "127.0.0.1",
    port,
    monitorPort,
    storeDir,
    jwtDir: join(folder, "jwt"),
  });
  writeFileSync(config, text, { mode: 0o600 });
  await startProcess({
    name: "nats-server",
    command: natsServerBinary(),
    args: ["-c", config],
    stateDir,
    readyWhen: async () => (await fetch(`http://127.0.0.1:${monitorPort}/healthz`)).ok,
  });
  return { url: `nats://127.0.0.1:${port}`, storeDir };
}
