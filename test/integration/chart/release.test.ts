/**
 * A whole release without a kubelet: the bundles laid out as in the images, with the variables of the chart's containers, as
 * the chart's ServiceAccounts, on a real API server and a real nats-server. Only addresses, ports and folders are this machine's.
 */
import { cp, mkdir, mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { publicKeysOf, signServiceUser } from "@autoglm/bus";
import { execa } from "execa";
import { afterAll, beforeAll, describe, expect, it, vi } from "vitest";
import { buildPrograms } from "../../../hack/build.ts";
import { freePort, startProcess, stopAll } from "../../../hack/cluster/processes.ts";
import { modelBlobsDir } from "../../../hack/local/manifests.ts";
import { startTestCluster, type TestCluster, until } from "../../support/cluster.ts";
import { startTestNats, type TestNats } from "../../support/nats.ts";
import {
  type Container,
  find,
  onnxRuntimeCommand,
  render,
  type Rendered,
  ROOT,
  workloadsOf,
} from "./helm.ts";
import { type RecordingProxy, startRecordingProxy } from "./recording-proxy.ts";
import { kubeconfigWithToken } from "./service-account.ts";

const NAMESPACE = "autoglm-system";

let folder: string;
// Each runs several programs; on a busy machine that takes its time.
vi.setConfig({ testTimeout: 240_000 });

let cluster: TestCluster;
let nats: TestNats;
let objects: readonly Rendered[];
const proxies: Partial<Record<"operator" | "ingester", RecordingProxy>> = {};

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "autoglm-release-"));
  [cluster, nats, objects] = await Promise.all([startTestCluster(), startTestNats(), render()]);
  await buildPrograms({ only: ["operator", "edge-agent"], outdir: join(folder, "images") });
  await layOutOnnxRuntime(join(folder, "images/edge-agent"));
  await installObjects();
  await writeBusFiles();
});
afterAll(async () => {
  await stopAll(folder);
  for (const proxy of Object.values(proxies)) await proxy.close();
  await nats?.stop();
  await cluster?.stop();
  await rm(folder, { recursive: true, force: true });
});

const kubectl = async (args: readonly string[], input?: unknown) =>
  execa(cluster.kubectl, ["--kubeconfig", cluster.kubeconfigPath, ...args], {
    input: input === undefined ? "" : JSON.stringify(input),
  });
const apply = async (...items: readonly unknown[]) =>
  kubectl(["apply", "-f", "-"], { apiVersion: "v1", kind: "List", items });
const serviceAccountToken = async (name: string, ...args: readonly string[]) =>
  (await kubectl(["create", "token", name, "-n", NAMESPACE, ...args])).stdout;

/** As the Dockerfile does it, for this machine's architecture. */
async function layOutOnnxRuntime(app: string): Promise<void> {
  const TARGETARCH = process.arch === "x64" ? "amd64" : process.arch;
  await execa("sh", ["-c", onnxRuntimeCommand(app)], { cwd: ROOT, env: { TARGETARCH } });
}

/** What there is before any pod starts: the chart's own objects, a node of a pool, its agent's pod, a model, a reader. */
async function installObjects(): Promise<void> {
  await kubectl(["create", "namespace", NAMESPACE]);
  const isPassive = ({ kind }: Rendered) => !["Job", "Deployment", "StatefulSet", "DaemonSet"].includes(kind);
  await apply(...objects.filter(isPassive), NODE_POOLS);
  await until(async () =>
    kubectl(["get", "autoglmmodels,autoglmtasks,autoglmnodes,nodepools", "-A"]).catch(() => false),
  );
  await kubectl(["apply", "-f", join(ROOT, "models/catalogue.yaml")]);
  await apply(
    {
      apiVersion: "v1",
      kind: "Node",
      metadata: {
        name: "edge-1",
        labels: { "apps.openyurt.io/nodepool": "hangzhou", "autoglm.io/tier": "4Gi" },
      },
    },
    {
      apiVersion: "apps.openyurt.io/v1beta2",
      kind: "NodePool",
      metadata: { name: "hangzhou" },
      spec: { type: "Edge" },
    },
    {
      apiVersion: "v1",
      kind: "Pod",
      metadata: { name: "agent", namespace: NAMESPACE },
      spec: {
        serviceAccountName: "autoglm-agent",
        nodeName: "edge-1",
        containers: [{ name: "agent", image: "none" }],
      },
    },
    { apiVersion: "v1", kind: "ServiceAccount", metadata: { name: "reader", namespace: NAMESPACE } },
    {
      apiVersion: "rbac.authorization.k8s.io/v1",
      kind: "RoleBinding",
      metadata: { name: "reader", namespace: "default" },
      roleRef: { apiGroup: "rbac.authorization.k8s.io", kind: "ClusterRole", name: "view" },
      subjects: [{ kind: "ServiceAccount", name: "reader", namespace: NAMESPACE }],
    },
  );
}

/** OpenYurt's kind, as far as it is read. */
const NODE_POOLS = {
  apiVersion: "apiextensions.k8s.io/v1",
  kind: "CustomResourceDefinition",
  metadata: { name: "nodepools.apps.openyurt.io" },
  spec: {
    group: "apps.openyurt.io",
    scope: "Cluster",
    names: { plural: "nodepools", singular: "nodepool", kind: "NodePool" },
    versions: [
      {
        name: "v1beta2",
        served: true,
        storage: true,
        schema: { openAPIV3Schema: { type: "object", "x-kubernetes-preserve-unknown-fields": true } },
      },
    ],
  },
};

/** What bus-init puts into the Secret, for the server of this test. */
async function writeBusFiles(): Promise<void> {
  const { keys } = nats;
  const ingester = { ...signServiceUser(keys, "ingester"), grantPublicKey: publicKeysOf(keys).grant };
  await mkdir(join(folder, "bus-operator"));
  await mkdir(join(folder, "bus-ingester"));
  // Each has the file that its pod mounts, and no other.
  await writeFile(join(folder, "bus-operator/bus-keys.json"), JSON.stringify(keys));
  await writeFile(join(folder, "bus-ingester/ingester.json"), JSON.stringify(ingester));
}

function containerOf(kind: string, name: string): Container {
  const [workload] = workloadsOf([find(objects, kind, name)]);
  const container = workload?.pod.containers[0];
  if (container === undefined) throw new Error(`${name} has no container`);
  return container;
}

/** The container's process with its variables, some of them replaced; ready when its readiness probe says so. */
async function start(
  name: string,
  container: Container,
  image: string,
  env: Readonly<Record<string, string>>,
): Promise<void> {
  const healthPort = String(await freePort());
  const given = (container.env ?? []).flatMap(({ name, value }) =>
    value === undefined ? [] : [[name, value]],
  );
  const own = Object.fromEntries(Object.keys(env).map((variable) => [variable, true]));
  const unknown = Object.keys(own).filter(
    (variable) => !(container.env ?? []).some((one) => one.name === variable),
  );
  // AUTOGLM_KUBECONFIG stands for the pod's ServiceAccount, the hosts keep this test on the loopback.
  expect(
    unknown.filter((variable) => variable !== "AUTOGLM_KUBECONFIG" && !variable.endsWith("_HOST")),
  ).toEqual([]);
  await startProcess({
    name,
    command: process.execPath,
    args: [join(folder, "images", image, "main.js")],
    // Nothing of the checkout may be needed.
    cwd: folder,
    stateDir: folder,
    env: {
      ...Object.fromEntries(given),
      ...env,
      AUTOGLM_HEALTH_HOST: "127.0.0.1",
      AUTOGLM_HEALTH_PORT: healthPort,
    },
    readyWhen: async () => (await fetch(`http://127.0.0.1:${healthPort}/readyz`)).ok,
    readyTimeoutMs: 25_000,
  });
}

describe("a release of the chart", () => {
  const ports = { results: 0, enrol: 0 };

  const inline = (name: string, spec: Readonly<Record<string, unknown>>) => ({
    apiVersion: "autoglm.io/v1alpha1",
    kind: "AutoGLMTask",
    metadata: { name, namespace: "default" },
    spec: { type: "text-classification", model: "zh-sentiment", ...spec },
  });

  const startServer = async (
    role: "operator" | "ingester",
    kind: string,
    env: Readonly<Record<string, string>>,
  ) => {
    const proxy = (proxies[role] ??= await startRecordingProxy(cluster));
    const token = await serviceAccountToken(`autoglm-${role}`);
    const file = join(folder, `${role}.kubeconfig`);
    const kubeconfig = await kubeconfigWithToken({ cluster, token, file, serverUrl: proxy.url });
    await start(role, containerOf(kind, `autoglm-${role}`), "operator", {
      AUTOGLM_KUBECONFIG: kubeconfig,
      AUTOGLM_BUS_DIR: join(folder, `bus-${role}`),
      AUTOGLM_NATS_URLS: nats.url,
      ...env,
    });
  };

  it("starts operator, ingester and an agent that enrols by its ServiceAccount", async () => {
    ports.results = await freePort();
    ports.enrol = await freePort();
    await startServer("ingester", "StatefulSet", {
      AUTOGLM_STATE_DIR: join(folder, "results"),
      AUTOGLM_MODEL_BLOBS_DIR: modelBlobsDir(),
      AUTOGLM_RESULTS_HOST: "127.0.0.1",
      AUTOGLM_RESULTS_PORT: String(ports.results),
    });
    await startServer("operator", "Deployment", {
      AUTOGLM_MODEL_SERVER_URL: `http://127.0.0.1:${ports.results}`,
      AUTOGLM_ENROL_HOST: "127.0.0.1",
      AUTOGLM_ENROL_PORT: String(ports.enrol),
    });
    const token = await serviceAccountToken(
      "autoglm-agent",
      "--audience=autoglm.io/enrol",
      "--bound-object-kind=Pod",
      "--bound-object-name=agent",
    );
    await writeFile(join(folder, "enrol-token"), token);
    await cp(join(ROOT, "examples/data"), join(folder, "inputs"), { recursive: true });
    await start("agent", containerOf("DaemonSet", "autoglm-agent-edge"), "edge-agent", {
      AUTOGLM_NODE_NAME: "edge-1",
      AUTOGLM_STATE_DIR: join(folder, "agent"),
      AUTOGLM_DATA_ROOT: join(folder, "inputs"),
      AUTOGLM_ENROL_URL: `http://127.0.0.1:${ports.enrol}`,
      AUTOGLM_ENROL_TOKEN_FILE: join(folder, "enrol-token"),
    });
    const node = JSON.parse((await kubectl(["get", "autoglmnode", "edge-1", "-o", "json"])).stdout) as {
      status: object;
    };
    expect(node.status).toHaveProperty("enrolledAt");
  });

  it("completes tasks whose input is inline and in a ConfigMap, and lets a reader of tasks read the results", async () => {
    const input = {
      apiVersion: "v1",
      kind: "ConfigMap",
      metadata: { name: "reviews", namespace: "default" },
      data: { texts: "很好\n太差了\n" },
    };
    const first = inline("first", {
      input: { inline: ["房间很干净，服务也很好。"] },
      ttlSecondsAfterFinished: 1,
    });
    await apply(input, inline("second", { input: { configMapRef: { name: "reviews", key: "texts" } } }));
    await kubectl(["wait", "--for=condition=Complete", "autoglmtask/second", "--timeout=120s"]);
    await apply(first);
    await kubectl(["wait", "--for=delete", "autoglmtask/first", "--timeout=50s"]);

    const { stdout } = await kubectl(["get", "autoglmtask", "second", "-o", "json"]);
    const { metadata, status } = JSON.parse(stdout) as {
      metadata: { uid: string };
      status: { placements: unknown[] };
    };
    expect(status.placements).toEqual([expect.objectContaining({ node: "edge-1" })]);
    const token = await serviceAccountToken("reader");
    const answer = await fetch(`http://127.0.0.1:${ports.results}/results/${metadata.uid}`, {
      headers: { authorization: `Bearer ${token}` },
    });
    expect(await answer.json()).toMatchObject({ results: [{ item: 0 }, { item: 1 }] });
  }, 200_000);

  it("needs no right that its roles lack, and has none that it does not need", async () => {
    for (const [component, isExpected] of [
      ["operator", (right: string) => SOMETIMES.has(right)],
      ["ingester", () => false],
    ] as const) {
      const proxy = proxies[component];
      expect([...(proxy?.forbidden ?? ["no proxy"])]).toEqual([]);
      const { rules = [] } = find(objects, "ClusterRole", `${NAMESPACE}:autoglm-${component}`);
      const granted = rules.flatMap(({ apiGroups, resources, verbs }) =>
        apiGroups.flatMap((group) =>
          resources.flatMap((one) => verbs.map((verb) => `${verb} ${group}/${one}`)),
        ),
      );
      expect(granted.filter((right) => proxy?.used.has(right) !== true && !isExpected(right))).toEqual([]);
    }
  });
});

/** An event that repeats is read and counted on, which this release had no reason to. */
const SOMETIMES = new Set(["get events.k8s.io/events", "patch events.k8s.io/events"]);
