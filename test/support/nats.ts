import { type ChildProcess, execFile, spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { connect as connectTcp } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { type BusKeys, createBusKeys, natsServerConfig } from "@autoglm/bus";
import { freePort } from "../../hack/cluster/processes.ts";

export interface TestNats {
  /** nats://127.0.0.1:<port>; the same after a restart. */
  readonly url: string;
  readonly port: number;
  readonly keys: BusKeys;
  /** SIGKILL: no farewell, nothing flushed. */
  kill9(): Promise<void>;
  /** Starts it again, after a kill or a stop of its own; `wipe` deletes the streams first. */
  restart(options?: { readonly wipe?: boolean }): Promise<void>;
  /** Ends the server and deletes its folder. */
  stop(): Promise<void>;
  /** What the server has logged. */
  log(): string;
}

export interface TestNatsOptions {
  readonly keys?: BusKeys;
  readonly maxStoreBytes?: number;
}

const STORE_DIR = "streams";

/** A real nats-server with both accounts, on a free port of the loopback, in a folder of its own. */
export async function startTestNats(options: TestNatsOptions = {}): Promise<TestNats> {
  const { keys = createBusKeys(), maxStoreBytes } = options;
  const binary = await natsServerPath();
  const folder = await mkdtemp(join(tmpdir(), "autoglm-nats-"));
  const storeDir = join(folder, STORE_DIR);
  const port = await freePort();
  const configPath = join(folder, "nats.conf");
  await writeFile(
    configPath,
    natsServerConfig(keys, {
      host: "127.0.0.1",
      port,
      storeDir,
      jwtDir: join(folder, "jwt"),
      ...(maxStoreBytes === undefined ? {} : { maxStoreBytes }),
    }),
  );

  let log = "";
  let child: ChildProcess | undefined;
  const start = async () => {
    child = spawn(binary, ["-c", configPath], { stdio: ["ignore", "ignore", "pipe"] });
    child.stderr?.on("data", (bytes: Buffer) => (log = (log + bytes.toString()).slice(-64_000)));
    await untilListening(port, child, () => log);
  };
  const end = async (signal: NodeJS.Signals) => {
    if (!child || child.exitCode !== null || child.signalCode !== null) return;
    const exited = once(child, "exit");
    child.kill(signal);
    await exited;
  };
  // A test run that crashes leaves no server behind.
  const killWithUs = () => child?.kill("SIGKILL");
  process.once("exit", killWithUs);
  await start();
  return {
    url: `nats://127.0.0.1:${port}`,
    port,
    keys,
    kill9: () => end("SIGKILL"),
    restart: async ({ wipe = false } = {}) => {
      await end("SIGKILL");
      if (wipe) await rm(storeDir, { recursive: true, force: true });
      await start();
    },
    stop: async () => {
      await end("SIGTERM");
      process.off("exit", killWithUs);
      await rm(folder, { recursive: true, force: true });
    },
    log: () => log,
  };
}

async function natsServerPath(): Promise<string> {
  const script = fileURLToPath(new URL("../../hack/nats-server.sh", import.meta.url));
  const { stdout } = await promisify(execFile)(script);
  return stdout.trim();
}

async function untilListening(port: number, child: ChildProcess, log: () => string): Promise<void> {
  const giveUpAt = performance.now() + 30_000;
  while (performance.now() < giveUpAt) {
    if (child.exitCode !== null) throw new Error(`nats-server ended at its start:\n${log()}`);
    const socket = connectTcp(port, "127.0.0.1");
    const isOpen = await new Promise<boolean>((resolve) => {
      socket.once("connect", () => resolve(true));
      socket.once("error", () => resolve(false));
    });
    socket.destroy();
    if (isOpen) return;
    await sleep(20);
  }
  throw new Error(`nats-server does not listen on ${port}:\n${log()}`);
}
