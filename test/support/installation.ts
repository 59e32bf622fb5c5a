/**
 * A whole installation for one test file, as `make up` makes it, and what a user does with it: kubectl and autoglm.
 *
 * It lives in a folder of its own below the system's temporary one, so that it never meets the `.autoglm` of whoever
 * runs the tests. `stop` in afterAll, whatever happened.
 */
import { execFileSync } from "node:child_process";
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join, resolve } from "node:path";
import {
  API_VERSION,
  type AutoGLMNode,
  type AutoGLMTask,
  GROUP,
  KINDS,
  type Ledger,
  ledgerSchema,
  type ResultPage,
  resultPageSchema,
  type ResultRecord,
  type TaskSpecInput,
  VERSION,
} from "@autoglm/api";
import type { KubeClient, KubeObject, Resource } from "@autoglm/kube";
import { execa } from "execa";
import { expect } from "vitest";
import { parse } from "yaml";
import {
  findProcess,
  isAlive,
  killProcess,
  listProcesses,
  restartProcess,
} from "../../hack/cluster/processes.ts";
import { down, type Installation, up, type UpOptions } from "../../hack/up/installation.ts";
import { until } from "./cluster.ts";

export type TaskObject = AutoGLMTask & KubeObject;
const TASKS: Resource<TaskObject> = {
  group: GROUP,
  version: VERSION,
  plural: KINDS.AutoGLMTask.plural,
  kind: "AutoGLMTask",
  namespaced: true,
};
export type FleetNodeObject = AutoGLMNode & KubeObject;
const FLEET_NODES: Resource<FleetNodeObject> = {
  group: GROUP,
  version: VERSION,
  plural: KINDS.AutoGLMNode.plural,
  kind: "AutoGLMNode",
  namespaced: false,
};

export interface CommandOutcome {
  readonly exitCode: number | undefined;
  readonly stdout: string;
  readonly stderr: string;
}

/** A line of `autoglm results -o json`. */
export interface PrintedResult {
  readonly item: number;
  readonly output?: readonly Readonly<Record<string, unknown>>[];
  readonly error?: { readonly code: string; readonly message: string };
  readonly scoreSource?: string;
  readonly node: string;
  readonly ms: number;
}

export class TestInstallation {
  readonly dir: string;
  /** Every agent reads its files below it. */
  readonly dataRoot: string;
  readonly binDir: string;
  readonly natsStoreDir: string;
  readonly client: KubeClient;
  readonly #kubeconfigPath: string;

  static async start(options: Omit<UpOptions, "dir" | "dataRoot"> = {}): Promise<TestInstallation> {
    const dir = mkdtempSync(join(tmpdir(), "autoglm-e2e-"));
    return new TestInstallation(await bringUp(dir, options));
  }

  private constructor(installation: Installation) {
    this.dir = resolve(installation.dir);
    this.dataRoot = join(this.dir, "data");
    this.binDir = resolve(installation.binDir);
    this.natsStoreDir = installation.natsStoreDir;
    this.client = installation.client;
    this.#kubeconfigPath = resolve(installation.kubeconfigPath);
  }

  /** Runs `up` again on the same folder: what was killed starts anew with these options, what runs is left alone. */
  async up(options: Omit<UpOptions, "dir" | "dataRoot">): Promise<void> {
    const { client } = await bringUp(this.dir, options);
    await client.close();
  }

  async stop(): Promise<void> {
    await this.client.close();
    await down(this.dir);
  }

  /** @throws when it fails */
  kubectl(...args: string[]): Promise<string> {
    return this.#succeed("kubectl", args);
  }

  /** @throws when it fails */
  autoglm(...args: string[]): Promise<string> {
    return this.#succeed("autoglm", args);
  }

  /** kubectl, autoglm or sh, with both on the PATH and this installation as the cluster. */
  async run(command: string, args: readonly string[], input = ""): Promise<CommandOutcome> {
    const { exitCode, stdout, stderr } = await execa(command, args, {
      input,
      reject: false,
      env: { PATH: `${this.binDir}:${process.env["PATH"]}`, KUBECONFIG: this.#kubeconfigPath },
    });
    return { exitCode, stdout, stderr };
  }

  async apply(...objects: readonly object[]): Promise<void> {
    const list = JSON.stringify({ apiVersion: "v1", kind: "List", items: objects });
    await this.#succeed("kubectl", ["apply", "-f", "-"], list);
  }

  /** Applies a task; its uid. */
  async createTask(name: string, spec: TaskSpecInput): Promise<string> {
    await this.apply(taskManifest(name, spec));
    return (await this.task(name)).metadata.uid;
  }

  writeData(file: string, content: string | Uint8Array): void {
    const path = join(this.dataRoot, file);
    mkdirSync(dirname(path), { recursive: true });
    writeFileSync(path, content);
  }

  task(name: string): Promise<TaskObject> {
    return this.client.get(TASKS, { name, namespace: "default" });
  }

  node(name: string): Promise<FleetNodeObject> {
    return this.client.get(FLEET_NODES, { name });
  }

  /** Waits until the task is as wanted. The test's own time limit ends it. */
  async taskWhen(name: string, isWanted: (task: TaskObject) => boolean): Promise<TaskObject> {
    return until(async () => {
      // The API server may be what a test has killed.
      const task = await this.task(name).catch(() => undefined);
      return task !== undefined && isWanted(task) ? task : undefined;
    });
  }

  /** Waits for the end of a task. @throws when it failed */
  async completed(name: string): Promise<TaskObject> {
    const task = await this.ended(name);
    const { reason, message } = task.status ?? {};
    if (reason !== "Completed") throw new Error(`${name}: ${reason}: ${message}`);
    return task;
  }

  ended(name: string): Promise<TaskObject> {
    return this.taskWhen(
      name,
      (task) => conditionOf(task, "Complete") === "True" || conditionOf(task, "Failed") === "True",
    );
  }

  /** What `autoglm results` prints, in its order. */
  async printedResults(name: string, ...flags: string[]): Promise<readonly PrintedResult[]> {
    const lines = (await this.autoglm("results", name, "-o", "json", ...flags)).split("\n");
    // Written by the CLI alone.
    return lines.filter((line) => line !== "").map((line) => JSON.parse(line) as PrintedResult);
  }

  /** All results of the newest run as the ingester serves them, with who made them and when they were accepted. */
  async records(uid: string): Promise<readonly ResultRecord[]> {
    const records: ResultRecord[] = [];
    let cursor: string | undefined;
    do {
      const query = cursor === undefined ? "order=accepted" : `cursor=${cursor}`;
      const page: ResultPage = resultPageSchema.parse(
        await this.#results(`/results/${uid}?limit=5000&${query}`),
      );
      records.push(...page.results);
      cursor = page.cursor;
    } while (cursor !== undefined);
    return records;
  }

  /** Undefined before the first result. */
  async ledger(uid: string): Promise<Ledger | undefined> {
    const answer = await this.#results(`/ledger/${uid}`);
    return answer === undefined ? undefined : ledgerSchema.parse(answer);
  }

  /** Waits until so many items are accepted. */
  acceptedAtLeast(uid: string, items: number): Promise<Ledger> {
    return until(async () => {
      const ledger = await this.ledger(uid).catch(() => undefined);
      return ledger !== undefined && ledger.accepted >= items ? ledger : undefined;
    });
  }

  /** kill -9 of a process that `up` started, with all its children. */
  kill(name: string): Promise<void> {
    return killProcess(this.#stateDirOf(name), name);
  }

  /** kill -9 of all that `up` started. */
  async killAll(): Promise<void> {
    await Promise.all(this.#records().map(({ stateDir, name }) => killProcess(stateDir, name)));
  }

  /** Starts it again as it was started. */
  async restart(name: string): Promise<void> {
    await restartProcess(this.#stateDirOf(name), name);
  }

  pidOf(name: string): number {
    const record = findProcess(this.#stateDirOf(name), name);
    if (record === undefined || !isAlive(record)) throw new Error(`${name} does not run`);
    return record.pid;
  }

  /** Pids of everything that was started here: the recorded processes, and what lives in their groups. */
  pids(): readonly number[] {
    return this.#records().flatMap(({ pid }) => groupMembers(pid));
  }

  #records() {
    const stateDirs = [this.dir, join(this.dir, "cluster")];
    return stateDirs.flatMap((stateDir) =>
      listProcesses(stateDir).map(({ name, pid }) => ({ stateDir, name, pid })),
    );
  }

  #stateDirOf(name: string): string {
    return CLUSTER_PROCESSES.has(name) ? join(this.dir, "cluster") : this.dir;
  }

  async #succeed(command: string, args: readonly string[], input?: string): Promise<string> {
    const { exitCode, stdout, stderr } = await this.run(command, args, input);
    if (exitCode !== 0)
      throw new Error(`${command} ${args.join(" ")}: exit code ${exitCode}\n${stdout}\n${stderr}`);
    return stdout;
  }

  /** As the admin of the kubeconfig; undefined for 404. */
  async #results(path: string): Promise<unknown> {
    const { results } = JSON.parse(readFileSync(join(this.dir, "ports.json"), "utf8")) as {
      readonly results: number;
    };
    const { users } = parse(readFileSync(this.#kubeconfigPath, "utf8")) as {
      readonly users: readonly { readonly user: { readonly token: string } }[];
    };
    const headers = { authorization: `Bearer ${users[0]?.user.token}` };
    const reply = await fetch(`http://127.0.0.1:${results}${path}`, { headers });
    if (reply.status === 404) return undefined;
    if (!reply.ok) throw new Error(`${path}: ${reply.status} ${await reply.text()}`);
    return reply.json();
  }
}

const CLUSTER_PROCESSES: ReadonlySet<string> = new Set(["etcd", "kube-apiserver", "kube-controller-manager"]);

async function bringUp(dir: string, options: Omit<UpOptions, "dir" | "dataRoot">): Promise<Installation> {
  const dataRoot = join(dir, "data");
  mkdirSync(dataRoot, { recursive: true });
  try {
    return await up({ ...options, dir, dataRoot });
  } catch (error) {
    await down(dir);
    throw error;
  }
}

export function taskManifest(name: string, spec: unknown): object {
  return { apiVersion: API_VERSION, kind: "AutoGLMTask", metadata: { name, namespace: "default" }, spec };
}

export const configMap = (name: string, data: Readonly<Record<string, string>>): object => ({
  apiVersion: "v1",
  kind: "ConfigMap",
  metadata: { name, namespace: "default" },
  data,
});

/** "True", "False", "Unknown"; undefined when it is not stated. */
export function conditionOf({ status }: TaskObject, type: string): string | undefined {
  return status?.conditions?.find((condition) => condition.type === type)?.status;
}

/** Exactly the items 0 to count - 1, each once. */
export function expectEveryItemOnce(results: readonly { readonly item: number }[], count: number): void {
  const items = new Set(results.map(({ item }) => item));
  const missing = Array.from({ length: count }, (_, item) => item).filter((item) => !items.has(item));
  expect({ results: results.length, missing }).toEqual({ results: count, missing: [] });
}

interface ProcessRow {
  readonly pid: number;
  readonly group: number;
}

/** All that run; not those that ended and wait to be reaped. */
function runningProcesses(): readonly ProcessRow[] {
  const rows = execFileSync("ps", ["-eo", "pid=,pgid=,stat="], { encoding: "utf8" }).trim().split("\n");
  return rows
    .map((row) => row.trim().split(/\s+/))
    .filter(([, , state]) => state?.startsWith("Z") !== true)
    .map(([pid, group]) => ({ pid: Number(pid), group: Number(group) }));
}

/** Pids in the process group of `leader`, itself included. */
export function groupMembers(leader: number): readonly number[] {
  return runningProcesses().flatMap(({ pid, group }) => (group === leader ? [pid] : []));
}

/** Command lines of what runs with this text in it. */
export function processesWith(text: string): readonly string[] {
  const lines = execFileSync("ps", ["-eo", "args="], { encoding: "utf8" }).trim().split("\n");
  return lines.filter((line) => line.includes(text));
}

/** Waits until none of them runs: who is killed needs a moment to go. */
export async function untilGone(pids: readonly number[]): Promise<void> {
  await until(() => runningProcesses().every(({ pid }) => !pids.includes(pid)));
}

/** Removes a folder that a killed server left. */
export const wipe = (dir: string): void => rmSync(dir, { recursive: true, force: true });
