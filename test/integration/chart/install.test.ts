/**
 * Helm on a real API server. Nothing runs pods here: hooks are left out (their objects are checked by the dry run, their
 * programs in bus-init.test.ts and first-task.test.ts), and no pod starts.
 */
import { cp, mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { CUSTOM_RESOURCE_DEFINITIONS, NAMESPACES, type KubeObject } from "@autoglm/kube";
import { execa } from "execa";
import { afterAll, beforeAll, describe, expect, it, vi } from "vitest";
import { parse, stringify } from "yaml";
import { startTestCluster, type TestCluster, until } from "../../support/cluster.ts";
import { CHART, helm, render, type Rendered, VALUES, type Workload, workloadsOf } from "./helm.ts";

// Each runs several programs; on a busy machine that takes its time.
vi.setConfig({ testTimeout: 240_000 });

let cluster: TestCluster;
let folder: string;

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "autoglm-chart-"));
  cluster = await startTestCluster();
});
afterAll(async () => {
  await cluster?.stop();
  await rm(folder, { recursive: true, force: true });
});

async function kubectl(args: readonly string[], input?: unknown) {
  return execa(cluster.kubectl, ["--kubeconfig", cluster.kubeconfigPath, ...args], {
    reject: false,
    ...(input === undefined ? {} : { input: typeof input === "string" ? input : JSON.stringify(input) }),
  });
}

const release = async (...args: readonly string[]) => helm(args, { kubeconfigPath: cluster.kubeconfigPath });

async function createNamespace(name: string, labels: Readonly<Record<string, string>> = {}): Promise<string> {
  await cluster.client.create<KubeObject>(NAMESPACES, {
    apiVersion: "v1",
    kind: "Namespace",
    metadata: { name, labels },
  });
  return name;
}

const list = (objects: readonly unknown[]) => ({ apiVersion: "v1", kind: "List", items: objects });

/** The Prometheus operator's kind without its schema: enough for the API server to know it. */
const POD_MONITORS = {
  apiVersion: "apiextensions.k8s.io/v1",
  kind: "CustomResourceDefinition",
  metadata: { name: "podmonitors.monitoring.coreos.com" },
  spec: {
    group: "monitoring.coreos.com",
    scope: "Namespaced",
    names: { plural: "podmonitors", singular: "podmonitor", kind: "PodMonitor" },
    versions: [
      {
        name: "v1",
        served: true,
        storage: true,
        schema: { openAPIV3Schema: { type: "object", "x-kubernetes-preserve-unknown-fields": true } },
      },
    ],
  },
};

const renderedCrds = async () => (await render()).filter(({ kind }) => kind === "CustomResourceDefinition");

describe("what the chart renders", () => {
  afterAll(async () => {
    await kubectl(["delete", "--ignore-not-found", "-f", "-"], list(await renderedCrds()));
  });

  it("passes a dry run of the server, with and without its CRDs in place", async () => {
    expect(await kubectl(["apply", "-f", "-"], POD_MONITORS)).toMatchObject({ exitCode: 0 });
    await until(async () => (await kubectl(["get", "podmonitors", "-A"])).exitCode === 0);
    const namespace = await createNamespace("dry-run");
    for (const isWithCrds of [false, true]) {
      if (isWithCrds) {
        const applied = await kubectl(["apply", "-f", "-"], list(await renderedCrds()));
        expect(applied).toMatchObject({ exitCode: 0 });
      }
      for (const [name, values] of Object.entries(VALUES)) {
        const objects = await render(values, { namespace });
        const dryRun = ["apply", "--dry-run=server", "--validate=strict", "-f", "-"];
        const { exitCode, stdout, stderr } = await kubectl(dryRun, list(objects));
        expect({ name, exitCode, stderr }).toEqual({ name, exitCode: 0, stderr: "" });
        expect(stdout.split("\n")).toHaveLength(objects.length);
      }
    }
  });

  it("meets Pod Security restricted, agents excepted for the reasons in the README", async () => {
    const restricted = await refusals("restricted");
    expect(restricted.filter(([name]) => !name.includes("-agent-"))).toEqual(
      ["operator", "ingester", "nats", "bus-init", "test"].map((component) => [`autoglm-${component}`, []]),
    );
    const agents = ["autoglm-agent-edge", "autoglm-agent-cloud"];
    expect(restricted.filter(([name]) => name.includes("-agent-"))).toEqual(
      agents.map((name) => [
        name,
        [
          'restricted volume types (volumes "state", "data" use restricted volume type "hostPath")',
          'runAsNonRoot != true (container "own-state" must not set securityContext.runAsNonRoot=false)',
          'runAsUser=0 (container "own-state" must not set runAsUser=0)',
          'unrestricted capabilities (container "own-state" must not include "CHOWN", "FOWNER" in securityContext.capabilities.add)',
        ],
      ]),
    );
    const baseline = await refusals("baseline");
    expect(baseline.filter(([, reasons]) => reasons.length > 0)).toEqual(
      agents.map((name) => [name, ['hostPath volumes (volumes "state", "data")']]),
    );
  });
});

/** What a namespace that enforces `level` says about a pod of each workload. */
async function refusals(level: string): Promise<readonly (readonly [string, readonly string[]])[]> {
  const namespace = await createNamespace(`pods-${level}`, { "pod-security.kubernetes.io/enforce": level });
  const objects = await render([], { namespace });
  await kubectl(["apply", "-f", "-"], list(objects.filter(({ kind }) => kind === "ServiceAccount")));
  const answers = workloadsOf(objects).map(async ({ name, kind, pod }: Workload) => {
    const claims = kind === "StatefulSet" ? [{ name: "store", emptyDir: {} }] : [];
    const spec = { ...pod, volumes: [...(pod.volumes ?? []), ...claims] };
    const manifest = { apiVersion: "v1", kind: "Pod", metadata: { name, namespace }, spec };
    const { exitCode, stderr } = await kubectl(["create", "--dry-run=server", "-f", "-"], manifest);
    const violations = /violates PodSecurity "[^"]+": (.*)$/m.exec(stderr)?.[1];
    if (exitCode !== 0 && violations === undefined) throw new Error(stderr);
    return [name, violations === undefined ? [] : splitViolations(violations)] as const;
  });
  return Promise.all(answers);
}

/** Commas inside brackets and quotes belong to one violation. */
const splitViolations = (text: string): readonly string[] =>
  text
    .split(/, (?![^(]*\))/)
    .map((one) => one.trim())
    .toSorted((a, b) => (a < b ? -1 : 1));

describe("a release", () => {
  it("brings newer CRDs to an older cluster by server-side apply and keeps its tasks", async () => {
    const older = await olderChart();
    expect(
      await release("install", "autoglm", older, "-n", "first", "--create-namespace", "--no-hooks"),
    ).toMatchObject({ exitCode: 0 });
    await until(async () => (await kubectl(["get", "autoglmtasks", "-A"])).exitCode === 0);
    const task = {
      apiVersion: "autoglm.io/v1alpha1",
      kind: "AutoGLMTask",
      metadata: { name: "before", namespace: "first" },
      spec: { type: "text-classification", input: { inline: ["text"] } },
    };
    expect(await kubectl(["apply", "-f", "-"], task)).toMatchObject({ exitCode: 0 });
    const withPriority = {
      ...task,
      metadata: { ...task.metadata, name: "after" },
      spec: { ...task.spec, priority: 5 },
    };
    const strict = ["create", "--validate=strict", "-f", "-"];
    expect((await kubectl(strict, withPriority)).stderr).toContain("priority");

    const upgraded = await release("upgrade", "autoglm", CHART, "-n", "first", "--no-hooks");
    expect({ exitCode: upgraded.exitCode, stderr: upgraded.stderr }).toEqual({ exitCode: 0, stderr: "" });
    await until(async () => (await kubectl(strict, withPriority)).exitCode === 0);
    expect((await kubectl(["get", "autoglmtask", "before", "-n", "first", "-o", "name"])).exitCode).toBe(0);
    const { metadata } = await cluster.client.get(CUSTOM_RESOURCE_DEFINITIONS, {
      name: "autoglmtasks.autoglm.io",
    });
    const { managedFields = [] } = metadata as {
      managedFields?: readonly { manager: string; operation: string }[];
    };
    expect(managedFields).toContainEqual(expect.objectContaining({ manager: "helm", operation: "Apply" }));
  });

  it("beside another of the same name shares nothing but the CRDs, which only one may own", async () => {
    const second = ["install", "autoglm", CHART, "-n", "second", "--create-namespace", "--no-hooks"];
    const clash = await release(...second);
    expect(clash.exitCode).not.toBe(0);
    expect(clash.stderr).toContain('CustomResourceDefinition "autoglmmodels.autoglm.io"');
    expect(clash.stderr).not.toContain("ClusterRole");
    await release("uninstall", "autoglm", "-n", "second", "--ignore-not-found");
    const { exitCode, stderr } = await release(...second, "--set", "crds.enabled=false");
    expect({ exitCode, stderr }).toEqual({ exitCode: 0, stderr: "" });
  });

  it("leaves CRDs and tasks behind when it is uninstalled, and nothing else of its own", async () => {
    expect(await release("uninstall", "autoglm", "-n", "first")).toMatchObject({ exitCode: 0 });
    expect((await kubectl(["get", "autoglmtasks", "-n", "first", "-o", "name"])).stdout).toContain(
      "autoglmtask.autoglm.io/before",
    );
    const ours = await kubectl([
      "get",
      "all,secrets,configmaps,roles,rolebindings,serviceaccounts",
      "-n",
      "first",
      "-l",
      "app.kubernetes.io/part-of=autoglm",
      "-o",
      "name",
    ]);
    expect(ours.stdout).toBe("");
    const cluster = await kubectl([
      "get",
      "clusterroles,clusterrolebindings",
      "-l",
      "app.kubernetes.io/part-of=autoglm",
      "-o",
      "name",
    ]);
    expect(cluster.stdout).not.toContain("/first:");
    expect(cluster.stdout).toContain("/second:autoglm-operator");
  });
});

/** The chart as it may have been: no `priority` in tasks yet. */
async function olderChart(): Promise<string> {
  const chart = join(folder, "older");
  await cp(CHART, chart, { recursive: true });
  const file = join(chart, "files/crds/autoglmtasks.autoglm.io.yaml");
  const crd = parse(await readFile(file, "utf8")) as Rendered & {
    spec: {
      versions: {
        schema: { openAPIV3Schema: { properties: { spec: { properties: Record<string, unknown> } } } };
      }[];
    };
  };
  const spec = crd.spec.versions[0]?.schema.openAPIV3Schema.properties.spec;
  expect(spec?.properties).toHaveProperty("priority");
  delete spec?.properties["priority"];
  await writeFile(file, stringify(crd));
  return chart;
}
