import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { createInterface } from "node:readline";
import type { Readable } from "node:stream";
import { fileURLToPath } from "node:url";
import { type Ledger, ledgerSchema, type ResultRecord, resultPageSchema } from "@autoglm/api";
import { type BusCredentials, publicKeysOf, signServiceUser } from "@autoglm/bus";
import type { TestNats } from "../../support/nats.ts";

const TOKEN = "token-of-the-test";

export interface ProcessSettings {
  readonly busUrl: string;
  readonly credentials: BusCredentials;
  readonly grantPublicKey: string;
  readonly stateDir: string;
  readonly token: string;
  readonly maxBytes?: number;
  readonly modelBlobsDir?: string;
}

export interface IngesterProcess {
  readonly url: string;
  kill9(): Promise<void>;
}

/** A real ingester process with the narrowed rights of its role. Rejects with what it wrote to stderr when it ends at its start. */
export async function startIngesterProcess(
  nats: TestNats,
  stateDir: string,
  options: Pick<ProcessSettings, "maxBytes" | "modelBlobsDir"> = {},
): Promise<IngesterProcess> {
  const settings: ProcessSettings = {
    busUrl: nats.url,
    credentials: signServiceUser(nats.keys, "ingester"),
    grantPublicKey: publicKeysOf(nats.keys).grant,
    stateDir,
    token: TOKEN,
    ...options,
  };
  const script = fileURLToPath(new URL("ingester-process.ts", import.meta.url));
  const child = spawn(process.execPath, [script, JSON.stringify(settings)], {
    stdio: ["ignore", "pipe", "pipe"],
  });
  const { stdout, stderr } = child;
  return { url: await firstLine({ child, stdout, stderr }), kill9: () => kill9(child) };
}

interface StartedProcess {
  readonly child: ChildProcess;
  readonly stdout: Readable;
  readonly stderr: Readable;
}

async function firstLine({ stdout, stderr, child }: StartedProcess): Promise<string> {
  let errors = "";
  stderr.on("data", (bytes: Buffer) => (errors = (errors + bytes.toString()).slice(-16_000)));
  const ended = once(child, "exit").then(() => {
    throw new Error(`the ingester ended at its start: ${errors}`);
  });
  const [line] = await Promise.race([once(createInterface(stdout), "line"), ended]);
  ended.catch(() => undefined);
  return String(line);
}

async function kill9(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return;
  const exited = once(child, "exit");
  child.kill("SIGKILL");
  await exited;
}

function fetchFrom(url: string, path: string, token: string = TOKEN): Promise<Response> {
  return fetch(`${url}${path}`, { headers: { authorization: `Bearer ${token}` } });
}

/** undefined until the first result is accepted. */
export async function ledgerOf(url: string, task: string): Promise<Ledger | undefined> {
  const response = await fetchFrom(url, `/ledger/${task}`);
  return response.ok ? ledgerSchema.parse(await response.json()) : undefined;
}

/** All results of a task as a user gets them, page after page. */
export async function resultsOf(url: string, task: string): Promise<ResultRecord[]> {
  const records: ResultRecord[] = [];
  let cursor: string | undefined;
  do {
    const query = cursor === undefined ? "" : `&cursor=${cursor}`;
    const response = await fetchFrom(url, `/results/${task}?limit=1000${query}`);
    const page = resultPageSchema.parse(await response.json());
    records.push(...page.results);
    ({ cursor } = page);
  } while (cursor !== undefined);
  return records;
}
