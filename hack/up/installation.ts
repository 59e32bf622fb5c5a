/** Everything that `make up` starts, in order, each step repeatable: what runs already is left alone. */
import { chmodSync, existsSync, mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join, relative, resolve } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import { API_VERSION, GROUP, KINDS, type NodeSpec, type NodeStatus, VERSION } from "@autoglm/api";
import {
  applyCrds,
  CONFIG_MAPS,
  type KubeClient,
  type KubeObject,
  loadKubeClient,
  NAMESPACES,
  type Resource,
} from "@autoglm/kube";
import { readBusKeys, writeBusFiles } from "@autoglm/operator";
import { parse } from "yaml";
import { type RunningCluster, startCluster, stopCluster } from "../cluster/cluster.ts";
import { createNode } from "../cluster/nodes.ts";
import { findProcess, freePort, startProcess, stopAll } from "../cluster/processes.ts";
import { FLEET, type FleetNode, newEnrolment, startAgentProcess } from "../local/fleet.ts";
import { catalogueManifests, modelBlobsDir } from "../local/manifests.ts";
import { natsServerBinary } from "../local/nats.ts";
import { buildLocalPrograms } from "../local/programs.ts";

export const DEFAULT_DIR = ".autoglm";
const SYSTEM_NAMESPACE = "autoglm-system";
const READY_LIMIT_MS = 60_000;

export interface UpOptions {
  readonly dir: string;
  readonly say?: (line: string) => void;
  /** Below which tasks read files; default examples/data. */
  readonly dataRoot?: string;
  /** Which nodes get an agent; default: all four. */
  readonly nodes?: readonly FleetNode[];
  readonly operatorEnv?: Readonly<Record<string, string>>;
  readonly agentEnv?: Readonly<Record<string, string>>;
}

export interface Installation {
  readonly dir: string;
  readonly kubeconfigPath: string;
  /** kubectl and autoglm. */
  readonly binDir: string;
  readonly client: KubeClient;
  readonly natsStoreDir: string;
}

/** What `up` must find again when it runs a second time. */
interface Ports {
  readonly nats: number;
  readonly natsMonitor: number;
  readonly results: number;
  readonly ingesterHealth: number;
  readonly enrol: number;
  readonly operatorHealth: number;
}

interface NodeObject extends KubeObject {
  readonly spec?: NodeSpec;
  readonly status?: NodeStatus;
}
const nodes: Resource<NodeObject> = {
  group: GROUP,
  version: VERSION,
  plural: KINDS.AutoGLMNode.plural,
  kind: "AutoGLMNode",
  namespaced: false,
};
const models: Resource = { ...nodes, plural: KINDS.AutoGLMModel.plural, kind: "AutoGLMModel" };

export async function up(options: UpOptions): Promise<Installation> {
  const { say = () => {}, nodes: fleet = FLEET } = options;
  const dir = resolve(options.dir);
  mkdirSync(dir, { recursive: true, mode: 0o700 });
  const ports = await readPorts(dir);

  say("control plane: etcd, kube-apiserver, controller-manager …");
  const kubeconfigPath = join(dir, "kubeconfig");
  const cluster = await startCluster({
    dir: join(dir, "cluster"),
    kubeconfigPath,
    say: (line) => say(`  ${line}`),
  });
  const client = loadKubeClient({ kubeconfigPath, fieldManager: "autoglm-up" });

  say("CRDs, catalogue of models …");
  await applyCrds(
    client,
    readdirSync("crds").map((file) => parse(readFileSync(join("crds", file), "utf8"))),
  );
  for (const model of catalogueManifests()) await client.apply(models, model as KubeObject);
  await client.apply(NAMESPACES, {
    apiVersion: "v1",
    kind: "Namespace",
    metadata: { name: SYSTEM_NAMESPACE },
  });

  say("bundles, nats-server, ingester, operator …");
  const main = await buildLocalPrograms(dir);
  const natsStoreDir = join(dir, "nats", "streams");
  await startNats(dir, ports, natsStoreDir);
  await startIngester(dir, ports, { main: main("operator"), kubeconfigPath });
  await startOperator(dir, ports, { main: main("operator"), kubeconfigPath, env: options.operatorEnv ?? {} });
  await client.apply(CONFIG_MAPS, {
    apiVersion: "v1",
    kind: "ConfigMap",
    metadata: { name: "autoglm-endpoints", namespace: SYSTEM_NAMESPACE },
    data: { resultsUrl: loopback(ports.results) },
  });

  say(`nodes: ${fleet.map(({ name }) => name).join(", ")} …`);
  await Promise.all(
    fleet.map((node) => startNode(client, node, { dir, ports, main: main("edge-agent"), options })),
  );
  await untilConnected(client, fleet);
  const binDir = join(dir, "bin");
  writeCommands(binDir, cluster, { main: main("cli"), kubeconfigPath });
  return { dir, kubeconfigPath: shown(kubeconfigPath), binDir: shown(binDir), client, natsStoreDir };
}

/** Ends what `up` started, agents first, and removes the folder. */
export async function down(folder: string): Promise<void> {
  const dir = resolve(folder);
  await stopAll(dir);
  await stopCluster(join(dir, "cluster"));
  rmSync(dir, { recursive: true, force: true });
}

const loopback = (port: number) => `http://127.0.0.1:${port}`;
const isReady = (port: number) => async () => (await fetch(`${loopback(port)}/readyz`)).ok;
const shown = (path: string) => relative(process.cwd(), path) || path;

async function readPorts(dir: string): Promise<Ports> {
  const file = join(dir, "ports.json");
  // Written here alone.
  if (existsSync(file)) return JSON.parse(readFileSync(file, "utf8")) as Ports;
  const ports: Ports = {
    nats: await freePort(),
    natsMonitor: await freePort(),
    results: await freePort(),
    ingesterHealth: await freePort(),
    enrol: await freePort(),
    operatorHealth: await freePort(),
  };
  writeFileSync(file, JSON.stringify(ports));
  return ports;
}

async function startNats(dir: string, ports: Ports, storeDir: string): Promise<void> {
  writeBusFiles({
    outDir: busDir(dir),
    host: "127.0.0.1",
    port: ports.nats,
    monitorPort: ports.natsMonitor,
    storeDir,
    jwtDir: join(dir, "nats", "jwt"),
  });
  await startProcess({
    name: "nats-server",
    command: natsServerBinary(),
    args: ["-c", join(busDir(dir), "nats.conf")],
    stateDir: dir,
    readyWhen: async () => (await fetch(`${loopback(ports.natsMonitor)}/healthz`)).ok,
  });
}

const busDir = (dir: string) => join(dir, "bus");

interface Program {
  readonly main: string;
  readonly kubeconfigPath: string;
}

async function startIngester(dir: string, ports: Ports, { main, kubeconfigPath }: Program): Promise<void> {
  await startProcess({
    name: "ingester",
    command: process.execPath,
    args: [main],
    stateDir: dir,
    env: {
      AUTOGLM_ROLE: "ingester",
      AUTOGLM_KUBECONFIG: kubeconfigPath,
      AUTOGLM_NATS_URLS: `nats://127.0.0.1:${ports.nats}`,
      AUTOGLM_BUS_DIR: busDir(dir),
      AUTOGLM_STATE_DIR: join(dir, "ingester"),
      AUTOGLM_MODEL_BLOBS_DIR: modelBlobsDir(),
      AUTOGLM_RESULTS_HOST: "127.0.0.1",
      AUTOGLM_RESULTS_PORT: String(ports.results),
      AUTOGLM_HEALTH_HOST: "127.0.0.1",
      AUTOGLM_HEALTH_PORT: String(ports.ingesterHealth),
    },
    readyWhen: isReady(ports.ingesterHealth),
  });
}

async function startOperator(
  dir: string,
  ports: Ports,
  { main, kubeconfigPath, env }: Program & { readonly env: Readonly<Record<string, string>> },
): Promise<void> {
  // The keys are checked here, where a damaged file can still be named, and not in a log.
  readBusKeys(busDir(dir));
  await startProcess({
    name: "operator",
    command: process.execPath,
    args: [main],
    stateDir: dir,
    env: {
      AUTOGLM_ROLE: "operator",
      AUTOGLM_KUBECONFIG: kubeconfigPath,
      AUTOGLM_NATS_URLS: `nats://127.0.0.1:${ports.nats}`,
      AUTOGLM_BUS_DIR: busDir(dir),
      AUTOGLM_MODEL_SERVER_URL: loopback(ports.results),
      AUTOGLM_ENROL_HOST: "127.0.0.1",
      AUTOGLM_ENROL_PORT: String(ports.enrol),
      AUTOGLM_HEALTH_HOST: "127.0.0.1",
      AUTOGLM_HEALTH_PORT: String(ports.operatorHealth),
      ...env,
    },
    readyWhen: isReady(ports.operatorHealth),
  });
}

interface NodeStart {
  readonly dir: string;
  readonly ports: Ports;
  readonly main: string;
  readonly options: UpOptions;
}

async function startNode(
  client: KubeClient,
  node: FleetNode,
  { dir, ports, main, options }: NodeStart,
): Promise<void> {
  await createNode(client, { name: node.name, labels: node.labels });
  // An agent that enrolled once has its own credentials; its token was used up.
  const isEnrolled =
    existsSync(join(dir, "agents", node.name)) && findProcess(dir, `agent-${node.name}`) !== undefined;
  const { token, enrolment } = newEnrolment(new Date());
  if (!isEnrolled) {
    await client.apply(nodes, {
      apiVersion: API_VERSION,
      kind: "AutoGLMNode",
      metadata: { name: node.name },
      spec: { enrolment },
    });
  }
  await startAgentProcess({
    main,
    node,
    stateDir: dir,
    dataRoot: options.dataRoot ?? "examples/data",
    enrolUrl: loopback(ports.enrol),
    token,
    env: options.agentEnv ?? {},
  });
}

async function untilConnected(client: KubeClient, fleet: readonly FleetNode[]): Promise<void> {
  const deadline = Date.now() + READY_LIMIT_MS;
  for (;;) {
    const { items } = await client.list(nodes);
    const missing = fleet.filter(({ name }) => {
      const status = items.find(({ metadata }) => metadata.name === name)?.status;
      return status?.link !== "Connected" || status.tier === undefined;
    });
    if (missing.length === 0) return;
    if (Date.now() > deadline)
      throw new Error(`not connected: ${missing.map(({ name }) => name).join(", ")}; see the logs folder`);
    await delay(50);
  }
}

/** kubectl and autoglm as commands that find this cluster by themselves. */
function writeCommands(binDir: string, { kubectl }: RunningCluster, { main, kubeconfigPath }: Program): void {
  mkdirSync(binDir, { recursive: true });
  const write = (name: string, command: string) => {
    const file = join(binDir, name);
    writeFileSync(
      file,
      `#!/bin/sh\nexport KUBECONFIG="\${KUBECONFIG:-${kubeconfigPath}}"\nexec ${command} "$@"\n`,
    );
    chmodSync(file, 0o755);
  };
  write("kubectl", `"${kubectl}"`);
  write("autoglm", `"${process.execPath}" "${main}"`);
}
