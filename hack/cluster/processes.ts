/**
 * Background processes with a memory on disk, so that one command starts them and a later one stops exactly them.
 *
 * Each has `<stateDir>/processes/<name>.json` with its pid and when that pid was started. A pid alone is no
 * identity: after a reboot or a day it may be somebody else's, so nothing is signalled unless both agree. A process
 * leads its own process group; what it leaves behind there ends with it.
 */
import { randomInt } from "node:crypto";
import { execFileSync, spawn } from "node:child_process";
import { closeSync, mkdirSync, openSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { createServer } from "node:net";
import { dirname, join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";

export interface ProcessSpec {
  /** Unique in its state folder. */
  readonly name: string;
  readonly command: string;
  readonly args: readonly string[];
  /** Added to this process's own environment. */
  readonly env?: Readonly<Record<string, string>>;
  readonly cwd?: string;
  readonly stateDir: string;
  /** Default `<stateDir>/logs/<name>.log`; appended to. */
  readonly logFile?: string;
  /** Asked every 50 ms until it says true; an error counts as not yet. Absent: ready once started. */
  readonly readyWhen?: () => Promise<boolean>;
  /** Default 60 s. */
  readonly readyTimeoutMs?: number;
}

export interface ProcessRecord {
  readonly name: string;
  readonly pid: number;
  /** As the system tells it; together with the pid it names one process for ever. */
  readonly startedAt: string;
  /** Counts up in the order of starting; stopping goes the other way. */
  readonly order: number;
  readonly command: string;
  readonly args: readonly string[];
  readonly env?: Readonly<Record<string, string>>;
  readonly cwd?: string;
  readonly logFile: string;
}

/** Starts it, or leaves it alone when it runs already. Rejects with the end of its log when it does not get ready. */
export async function startProcess(spec: ProcessSpec): Promise<ProcessRecord> {
  const existing = findProcess(spec.stateDir, spec.name);
  if (existing !== undefined && isAlive(existing)) return existing;
  const logFile = spec.logFile ?? join(spec.stateDir, "logs", `${spec.name}.log`);
  mkdirSync(join(spec.stateDir, "processes"), { recursive: true });
  mkdirSync(dirname(logFile), { recursive: true });
  const log = openSync(logFile, "a");
  const child = spawn(spec.command, spec.args, {
    detached: true,
    stdio: ["ignore", log, log],
    env: { ...process.env, ...spec.env },
    ...(spec.cwd === undefined ? {} : { cwd: spec.cwd }),
  });
  closeSync(log);
  await new Promise<void>((resolve, reject) => {
    child.once("spawn", resolve);
    child.once("error", reject);
  });
  child.unref();
  const pid = child.pid ?? 0;
  const record: ProcessRecord = {
    name: spec.name,
    pid,
    startedAt: startTimeOf(pid) ?? "",
    order: existing?.order ?? 1 + Math.max(0, ...listProcesses(spec.stateDir).map((one) => one.order)),
    command: spec.command,
    args: spec.args,
    ...(spec.env === undefined ? {} : { env: spec.env }),
    ...(spec.cwd === undefined ? {} : { cwd: spec.cwd }),
    logFile,
  };
  // The environment may hold a token.
  writeFileSync(recordFile(spec.stateDir, spec.name), JSON.stringify(record, null, 2), { mode: 0o600 });
  await waitUntilReady(record, spec);
  return record;
}

/** Starts a process again as it was started before, after `killProcess` or a crash. */
export async function restartProcess(
  stateDir: string,
  name: string,
  ready: Pick<ProcessSpec, "readyWhen" | "readyTimeoutMs"> = {},
): Promise<ProcessRecord> {
  const record = findProcess(stateDir, name);
  if (record === undefined) throw new Error(`${name} was never started in ${stateDir}`);
  return startProcess({ ...record, stateDir, ...ready });
}

/** SIGTERM, then SIGKILL after `graceMs` (default 10 s), then whatever is left of its group; forgets it. */
export async function stopProcess(stateDir: string, name: string, graceMs = 10_000): Promise<void> {
  const record = findProcess(stateDir, name);
  if (record === undefined) return;
  if (isAlive(record)) {
    signalProcess(record.pid, "SIGTERM");
    if (!(await endsWithin(record, graceMs))) signalProcess(record.pid, "SIGKILL");
    await endsWithin(record, 5000);
  }
  endGroup(record);
  rmSync(recordFile(stateDir, name), { force: true });
}

/** SIGKILL to the process and its group, and waits until it is gone. Its record stays, for `restartProcess`. */
export async function killProcess(stateDir: string, name: string): Promise<void> {
  const record = findProcess(stateDir, name);
  if (record === undefined || !isAlive(record)) return;
  signalProcess(-record.pid, "SIGKILL");
  await endsWithin(record, 5000);
}

/** The latest started goes first. */
export async function stopAll(stateDir: string, graceMs?: number): Promise<void> {
  const latestFirst = listProcesses(stateDir).toSorted((a, b) => b.order - a.order);
  for (const record of latestFirst) await stopProcess(stateDir, record.name, graceMs);
}

/** All that were started here and not stopped, dead ones included, in order of starting. */
export function listProcesses(stateDir: string): readonly ProcessRecord[] {
  let files: readonly string[];
  try {
    files = readdirSync(join(stateDir, "processes"));
  } catch {
    return [];
  }
  return files
    .filter((file) => file.endsWith(".json"))
    .flatMap((file) => findProcess(stateDir, file.slice(0, -".json".length)) ?? [])
    .toSorted((a, b) => a.order - b.order);
}

export function findProcess(stateDir: string, name: string): ProcessRecord | undefined {
  try {
    // Written by startProcess alone.
    return JSON.parse(readFileSync(recordFile(stateDir, name), "utf8")) as ProcessRecord;
  } catch {
    return undefined;
  }
}

/** False for a zombie, and for another process that has its pid by now. */
export function isAlive(record: ProcessRecord): boolean {
  return record.startedAt !== "" && startTimeOf(record.pid) === record.startedAt;
}

/** Below the range from which the system takes ports of outgoing connections: one of these could take it before a server does. */
const PORTS = { first: 20_000, count: 12_000 };
const PORT_TRIES = 50;

/** A TCP port of the loopback interface that nothing listened on a moment ago. */
export async function freePort(): Promise<number> {
  for (let tries = 0; tries < PORT_TRIES; tries++) {
    const port = PORTS.first + randomInt(PORTS.count);
    if (await canListen(port)) return port;
  }
  throw new Error(`no TCP port is free among ${PORT_TRIES} from ${PORTS.first} on`);
}

async function canListen(port: number): Promise<boolean> {
  const server = createServer();
  const isFree = await new Promise<boolean>((resolve) => {
    server.once("error", () => resolve(false));
    server.listen(port, "127.0.0.1", () => resolve(true));
  });
  if (isFree) await new Promise((resolve) => server.close(resolve));
  return isFree;
}

async function waitUntilReady(record: ProcessRecord, spec: ProcessSpec): Promise<void> {
  const { readyWhen, readyTimeoutMs = 60_000 } = spec;
  if (readyWhen === undefined) return;
  const deadline = Date.now() + readyTimeoutMs;
  while (!(await readyWhen().catch(() => false))) {
    const ended = !isAlive(record);
    if (ended || Date.now() >= deadline) {
      const what = ended ? "ended before it was ready" : `is not ready after ${readyTimeoutMs / 1000} s`;
      throw new Error(`${record.name} ${what}; ${record.logFile} ends with:\n${endOfLog(record.logFile)}`);
    }
    await delay(50);
  }
}

async function endsWithin(record: ProcessRecord, limitMs: number): Promise<boolean> {
  const deadline = Date.now() + limitMs;
  while (isAlive(record)) {
    if (Date.now() >= deadline) return false;
    await delay(20);
  }
  return true;
}

function signalProcess(pid: number, signal: NodeJS.Signals): void {
  try {
    process.kill(pid, signal);
  } catch (error) {
    // It ended between the look and the signal.
    if ((error as NodeJS.ErrnoException).code !== "ESRCH") throw error;
  }
}

/** A pid is not given out again while a group of that number lives: with its leader gone, the group is still ours. */
function endGroup(record: ProcessRecord): void {
  if (startTimeOf(record.pid) === undefined) signalProcess(-record.pid, "SIGKILL");
}

/** When the process of this pid started, in the system's own words; undefined when there is none, or a zombie. */
function startTimeOf(pid: number): string | undefined {
  if (process.platform !== "linux") {
    try {
      return (
        execFileSync("ps", ["-o", "lstart=", "-p", String(pid)], { encoding: "utf8" }).trim() || undefined
      );
    } catch {
      return undefined;
    }
  }
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, "utf8");
    // The name in parentheses may hold spaces; after it come the state and, as 20th from there, the start in ticks.
    const fields = stat.slice(stat.lastIndexOf(")") + 2).split(" ");
    return fields[0] === "Z" || fields[0] === "X" ? undefined : fields[19];
  } catch {
    return undefined;
  }
}

function endOfLog(logFile: string): string {
  return readFileSync(logFile, "utf8").split("\n").slice(-15).join("\n");
}

function recordFile(stateDir: string, name: string): string {
  return join(stateDir, "processes", `${name}.json`);
}
