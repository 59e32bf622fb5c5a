/** The operator on a real API server and a real nats-server. */
import { readFileSync, readdirSync } from "node:fs";
import { createServer, connect, type Socket } from "node:net";
import { join } from "node:path";
import { parseQuantityBytes, type AutoGLMTask } from "@autoglm/api";
import { Metrics } from "@autoglm/telemetry";
import {
  applyCrds,
  KUBE_METRICS,
  loadKubeClient,
  type CustomResourceDefinition,
  type KubeClient,
} from "@autoglm/kube";
import { KubeObjectStore } from "@autoglm/operator";
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from "vitest";
import { parse, stringify } from "yaml";
import { writeFileSync } from "node:fs";
import { startTestCluster, until, type TestCluster } from "../../support/cluster.ts";
import { Harness, holds } from "./harness.ts";
import { kubeTarget, resourceOf } from "./targets.ts";

let cluster: TestCluster;
let proxy: CountingProxy;
let client: KubeClient;
let harness: Harness;
let metrics: Metrics<typeof KUBE_METRICS>;

interface CountingProxy {
  readonly port: number;
  accepted: number;
  close(): Promise<void>;
}

/** Counts the connections that go to the API server through it. */
async function startCountingProxy(target: URL): Promise<CountingProxy> {
  const sockets = new Set<Socket>();
  const counting = { accepted: 0 };
  const server = createServer((from) => {
    counting.accepted += 1;
    const to = connect(Number(target.port), target.hostname);
    for (const [one, other] of [
      [from, to],
      [to, from],
    ] as const) {
      sockets.add(one);
      one.on("error", () => other.destroy());
      one.on("close", () => sockets.delete(one));
      one.pipe(other);
    }
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const address = server.address();
  return Object.assign(counting, {
    port: typeof address === "object" && address !== null ? address.port : 0,
    close: async () => {
      for (const socket of sockets) socket.destroy();
      await new Promise((resolve) => server.close(resolve));
    },
  });
}

beforeAll(async () => {
  cluster = await startTestCluster();
  const crds = readdirSync("crds").map(
    (file) => parse(readFileSync(join("crds", file), "utf8")) as CustomResourceDefinition,
  );
  await applyCrds(cluster.client, crds);
});

afterAll(async () => {
  await cluster.stop();
});

beforeEach(async () => {
  proxy = await startCountingProxy(new URL(cluster.serverUrl));
  const kubeconfig = parse(readFileSync(cluster.kubeconfigPath, "utf8")) as {
    clusters: { cluster: { server: string } }[];
  };
  for (const one of kubeconfig.clusters) one.cluster.server = `https://127.0.0.1:${proxy.port}`;
  const kubeconfigPath = join(cluster.dir, "counted.kubeconfig");
  writeFileSync(kubeconfigPath, stringify(kubeconfig), { mode: 0o600 });
  metrics = new Metrics(KUBE_METRICS);
  client = loadKubeClient({ kubeconfigPath, metrics });
  harness = await Harness.start({
    openStore: () => new KubeObjectStore({ client, instance: "test" }),
    target: kubeTarget(cluster),
  });
  await harness.model("zh-sentiment", ["text-classification"]);
});

afterEach(async () => {
  for (const task of harness.store.list("AutoGLMTask")) await harness.store.deleteTask(task);
  await until(() => harness.store.list("AutoGLMTask").length === 0);
  await harness.stop();
  for (const node of harness.store.list("AutoGLMNode")) {
    await cluster.client.delete(resourceOf("AutoGLMNode"), { name: node.metadata.name });
  }
  await client.close();
  await proxy.close();
});

const texts = (count: number) => Array.from({ length: count }, (_, index) => `text ${index}`);
const stored = async (name: string) =>
  cluster.client.get(resourceOf("AutoGLMTask"), {
    namespace: "default",
    name,
  }) as Promise<unknown> as Promise<AutoGLMTask>;
const complete = async (name: string) =>
  until(async () => {
    const task = await stored(name);
    return holds(task, "Complete") && task;
  });

describe("the operator over a real API server", () => {
  it("takes a task from apply to its last result, with events", async () => {
    await harness.agent({ nodeName: "edge-4", tier: "4Gi" });
    await harness.task("reviews", { type: "sentiment-analysis", input: { inline: texts(120) } });
    const task = await complete("reviews");
    expect(task.status).toMatchObject({ progress: "120/120", node: "edge-4", observedGeneration: 1 });
    expect(task.metadata.finalizers).toEqual(["autoglm.io/results"]);
    const reasons = await until(async () => {
      const events = await cluster.client.list<never>(
        { group: "events.k8s.io", version: "v1", plural: "events", kind: "Event", namespaced: true },
        { namespace: "default" },
      );
      const found = (
        events.items as readonly { readonly reason: string; readonly regarding: { readonly name: string } }[]
      )
        .filter(({ regarding }) => regarding.name === "reviews")
        .map(({ reason }) => reason);
      return found.includes("Completed") && found;
    });
    expect(reasons).toEqual(expect.arrayContaining(["Accepted", "Placed", "Completed"]));
  });

  it("writes nothing over 1,000 passes when nothing has changed, over a handful of connections", async () => {
    const agent = await harness.agent({ nodeName: "edge-4", tier: "4Gi", pauseAfterItems: 5 });
    await harness.task("running", { type: "sentiment-analysis", input: { inline: texts(10) } });
    await harness.task("waiting", { type: "text-generation", input: { inline: ["Write a poem."] } });
    await until(async () => (await stored("running")).status?.items?.accepted === 5);
    await until(async () => (await stored("waiting")).status?.reason === "ModelNotFound");
    // What the first results set in motion has to come to rest.
    const writes = async () =>
      count(await metrics.render(), "rest_client_requests_total", /method="(apply|patch|create|delete)/);
    const versions = async () =>
      [await stored("running"), await stored("waiting")].map(({ metadata }) => metadata.resourceVersion);
    await new Promise((resolve) => setTimeout(resolve, 2500));
    const [before, writesBefore] = [await versions(), await writes()];
    const passes = async () =>
      count(await harness.metrics.render(), "controller_runtime_reconcile_total", /controller="tasks"/);
    const start = await passes();
    while ((await passes()) - start < 1000) {
      harness.plane.reconcileAll();
      await new Promise((resolve) => setTimeout(resolve, 1));
    }
    expect(await versions()).toEqual(before);
    expect(await writes()).toBe(writesBefore);
    expect(proxy.accepted).toBeLessThanOrEqual(12);
    agent.resume();
    await complete("running");
  });

  it("never gives out more memory than there is to tasks that come at once", async () => {
    await harness.model("half", ["text-classification"], "2Gi");
    const agent = await harness.agent({ nodeName: "edge-4", tier: "4Gi", pauseAfterItems: 0 });
    const names = Array.from({ length: 10 }, (_, index) => `task-${index}`);
    await Promise.all(
      names.map((name) =>
        harness.task(name, { type: "sentiment-analysis", model: "half", input: { inline: texts(1) } }),
      ),
    );
    await until(async () => {
      const tasks = await Promise.all(names.map(stored));
      const placed = tasks.filter(({ status }) => (status?.placements?.length ?? 0) > 0);
      const bytes = placed.reduce(
        (sum, { status }) => sum + parseQuantityBytes(status?.placements?.[0]?.reservedMemory ?? "0"),
        0,
      );
      expect(bytes).toBeLessThanOrEqual(4 * 2 ** 30);
      return placed.length === 2 && tasks.every(({ status }) => status?.reason !== undefined);
    });
    agent.resume();
    for (const name of names) await complete(name);
  });

  it("keeps every placement over a restart", async () => {
    const agent = await harness.agent({ nodeName: "edge-4", tier: "4Gi", pauseAfterItems: 2 });
    await harness.task("one", { type: "sentiment-analysis", input: { inline: texts(5) } });
    await harness.task("two", { type: "sentiment-analysis", input: { inline: texts(5) } });
    await until(() => agent.newest?.assignments.length === 2);
    const before = (await stored("one")).status?.placements?.[0];
    const seen = agent.documents.length;
    await harness.plane.stop();
    await harness.startPlane();
    await until(() => harness.plane.isReady());
    await until(() => agent.documents.length > seen || agent.newest?.assignments.length === 2);
    for (const { assignments } of agent.documents.slice(seen)) expect(assignments).toHaveLength(2);
    expect((await stored("one")).status?.placements?.[0]).toMatchObject({
      node: before?.node,
      epoch: 1,
      placedAt: before?.placedAt,
    });
    agent.resume();
    await complete("one");
    await complete("two");
  });
});

/** Sum of a metric's samples whose labels match. */
function count(metrics: string, name: string, labels: RegExp): number {
  return metrics
    .split("\n")
    .filter((line) => line.startsWith(`${name}{`) && labels.test(line))
    .reduce((sum, line) => sum + Number(line.split(" ").at(-1)), 0);
}
