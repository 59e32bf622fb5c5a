/**
 * A real control plane on this machine: etcd, kube-apiserver, kube-controller-manager, no kubelet.
 *
 * All of it lives in one folder: data, logs, keys, kubeconfig and what is needed to stop it. Starting twice gives the
 * running one; stopping removes the folder and ends only what it started.
 */
import { execFileSync } from "node:child_process";
import { existsSync, mkdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { dirname, join, resolve } from "node:path";
import { loadKubeClient } from "@autoglm/kube";
import {
  apiserverArgs,
  type Binaries,
  controllerManagerArgs,
  type ControlPlane,
  etcdArgs,
  etcdUrl,
  findBinaries,
  kubeconfig,
  newToken,
  serverUrl,
  writeFiles,
} from "./control-plane.ts";
import { freePort, isAlive, listProcesses, restartProcess, startProcess, stopAll } from "./processes.ts";

export interface StartClusterOptions {
  readonly dir: string;
  /** Where the admin's kubeconfig goes; default `<dir>/kubeconfig`. */
  readonly kubeconfigPath?: string;
  readonly env?: NodeJS.ProcessEnv;
  /** One line of progress. */
  readonly say?: (line: string) => void;
}

export interface RunningCluster {
  readonly dir: string;
  readonly kubeconfigPath: string;
  readonly serverUrl: string;
  readonly etcdUrl: string;
  /** Of a user without rights. */
  readonly viewerToken: string;
  readonly kubectl: string;
}

/** `<dir>/cluster.json`. Without a plane: somebody else's cluster, which is never stopped. */
interface ClusterRecord {
  readonly plane?: ControlPlane;
  readonly kubeconfigPath: string;
}

type OwnClusterRecord = Required<ClusterRecord>;

/** Ready means: the API server answers `/readyz`, and the default service account is there. */
export async function startCluster(options: StartClusterOptions): Promise<RunningCluster> {
  const { env = process.env, say = () => {} } = options;
  const dir = resolve(options.dir);
  mkdirSync(dir, { recursive: true });
  const record = ownRecord(dir) ?? (await newRecord(dir, options.kubeconfigPath));
  const { plane, kubeconfigPath } = record;
  const binaries = findBinaries(env);
  writeFileSync(recordFile(dir), JSON.stringify(record, null, 2), { mode: 0o600 });
  writeFiles(plane);

  say("etcd …");
  const health = `${etcdUrl(plane)}/health`;
  await startProcess({
    name: "etcd",
    command: binaries.etcd,
    args: etcdArgs(plane),
    stateDir: dir,
    readyWhen: async () => (await fetch(health)).ok,
  });
  say("kube-apiserver …");
  await startProcess({
    name: "kube-apiserver",
    command: binaries.apiserver,
    args: apiserverArgs(plane),
    stateDir: dir,
    readyWhen: async () => apiserverIsReady(record),
  });
  if (binaries.controllerManager === undefined) {
    say("no kube-controller-manager among the binaries: nothing will be garbage-collected");
  } else {
    say("kube-controller-manager …");
    await startProcess({
      name: "kube-controller-manager",
      command: binaries.controllerManager,
      args: controllerManagerArgs(plane, kubeconfigPath),
      stateDir: dir,
      readyWhen: async () => defaultServiceAccountExists(kubeconfigPath),
    });
  }
  return describe(record, binaries);
}

/**
 * Uses the cluster of a kubeconfig instead of starting one: its current context is copied, nothing else is touched,
 * and `stopCluster` removes the copy alone.
 */
export async function adoptCluster(dir: string, theirs: string, kubeconfigPath?: string): Promise<string> {
  const folder = resolve(dir);
  const copy = kubeconfigPath === undefined ? join(folder, "kubeconfig") : resolve(kubeconfigPath);
  const args = ["--kubeconfig", theirs, "config", "view", "--raw", "--flatten", "--minify"];
  mkdirSync(folder, { recursive: true });
  mkdirSync(dirname(copy), { recursive: true });
  writeFileSync(copy, execFileSync("kubectl", args), { mode: 0o600 });
  writeFileSync(recordFile(folder), JSON.stringify({ kubeconfigPath: copy } satisfies ClusterRecord));
  await answers(copy, "/readyz");
  return copy;
}

/** Ends what `startCluster` started, waits for it, removes the folder. Nothing there: nothing to do. */
export async function stopCluster(dir: string): Promise<void> {
  const folder = resolve(dir);
  const record = readRecord(folder);
  await stopAll(folder);
  if (record !== undefined) rmSync(record.kubeconfigPath, { force: true });
  rmSync(folder, { recursive: true, force: true });
}

/** After `killProcess(dir, "kube-apiserver")`: starts it on the same port and waits until it is ready. */
export async function restartApiserver(dir: string): Promise<void> {
  const record = ownRecord(resolve(dir));
  if (record === undefined) throw new Error(`no cluster of ours in ${dir}`);
  await restartProcess(resolve(dir), "kube-apiserver", { readyWhen: async () => apiserverIsReady(record) });
}

interface ClusterStatus {
  readonly kubeconfigPath: string | undefined;
  readonly processes: readonly { readonly name: string; readonly pid: number; readonly alive: boolean }[];
}

export function clusterStatus(dir: string): ClusterStatus {
  const folder = resolve(dir);
  return {
    kubeconfigPath: readRecord(folder)?.kubeconfigPath,
    processes: listProcesses(folder).map((one) => ({ name: one.name, pid: one.pid, alive: isAlive(one) })),
  };
}

async function newRecord(dir: string, kubeconfigPath: string | undefined): Promise<OwnClusterRecord> {
  const ports = { etcdClient: await freePort(), etcdPeer: await freePort(), apiserver: await freePort() };
  const tokens = { admin: newToken(), viewer: newToken() };
  return {
    plane: { dir, ports, tokens },
    kubeconfigPath: kubeconfigPath === undefined ? join(dir, "kubeconfig") : resolve(kubeconfigPath),
  };
}

async function apiserverIsReady(record: OwnClusterRecord): Promise<boolean> {
  const { plane, kubeconfigPath } = record;
  mkdirSync(dirname(kubeconfigPath), { recursive: true });
  // Its certificate appears a moment after its start; until then this throws, which means not yet.
  writeFileSync(kubeconfigPath, kubeconfig(plane), { mode: 0o600 });
  return answers(kubeconfigPath, "/readyz");
}

async function defaultServiceAccountExists(kubeconfigPath: string): Promise<boolean> {
  return answers(kubeconfigPath, "/api/v1/namespaces/default/serviceaccounts/default");
}

async function answers(kubeconfigPath: string, path: string): Promise<boolean> {
  const client = loadKubeClient({ kubeconfigPath, timeoutMs: 5000 });
  try {
    await client.request({ method: "GET", path });
    return true;
  } finally {
    await client.close();
  }
}

function describe({ plane, kubeconfigPath }: OwnClusterRecord, binaries: Binaries): RunningCluster {
  return {
    dir: plane.dir,
    kubeconfigPath,
    serverUrl: serverUrl(plane),
    etcdUrl: etcdUrl(plane),
    viewerToken: plane.tokens.viewer,
    kubectl: binaries.kubectl,
  };
}

function recordFile(dir: string): string {
  return join(dir, "cluster.json");
}

function readRecord(dir: string): ClusterRecord | undefined {
  if (!existsSync(recordFile(dir))) return undefined;
  // Written in this file alone.
  return JSON.parse(readFileSync(recordFile(dir), "utf8")) as ClusterRecord;
}

function ownRecord(dir: string): OwnClusterRecord | undefined {
  const record = readRecord(dir);
  return record?.plane === undefined ? undefined : { ...record, plane: record.plane };
}
