/**
 * The programs that the chart's jobs run, as it runs them, on a real API server with the rights that the chart gives
 * them; and nats-server with the configuration that they make.
 */
import { execFile } from "node:child_process";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { promisify } from "node:util";
import { KINDS, toCustomResourceDefinition } from "@autoglm/api";
import { applyCrds, type KubeClient, SECRETS } from "@autoglm/kube";
import { execa } from "execa";
import { afterAll, beforeAll, describe, expect, it, vi } from "vitest";
import { parse } from "yaml";
import { createNamespace, sharedCluster, type TestCluster, until } from "../../support/cluster.ts";
import { type Container, find, render, type Rendered, ROOT, workloadsOf } from "./helm.ts";
import { kubeconfigWithToken } from "./service-account.ts";

// Each runs several programs; on a busy machine that takes its time.
vi.setConfig({ testTimeout: 240_000 });

let cluster: TestCluster;
let client: KubeClient;
let folder: string;

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "autoglm-programs-"));
  cluster = await sharedCluster();
  client = cluster.client;
  await applyCrds(
    client,
    Object.values(KINDS).map((contract) => toCustomResourceDefinition(contract)),
  );
});
afterAll(async () => {
  await cluster?.stop();
  await rm(folder, { recursive: true, force: true });
});

const kubectl = async (args: readonly string[], input = "") =>
  execa(cluster.kubectl, ["--kubeconfig", cluster.kubeconfigPath, ...args], { input });

/** A hook's ServiceAccount and rights, applied; its only container. */
async function prepare(
  hook: string,
): Promise<{ readonly namespace: string; readonly container: Container; readonly token: string }> {
  const namespace = await createNamespace(client);
  const objects = await render([], { namespace, release: "r" });
  const isNeeded = ({ kind, metadata }: Rendered) => metadata.name === hook && kind !== "Job";
  const items = objects.filter(isNeeded);
  await kubectl(["apply", "-f", "-"], JSON.stringify({ apiVersion: "v1", kind: "List", items }));
  const [workload] = workloadsOf([find(objects, "Job", hook)]);
  const container = workload?.pod.containers[0];
  if (container === undefined) throw new Error(`${hook} has no container`);
  const { stdout: token } = await kubectl(["create", "token", hook, "-n", namespace]);
  return { namespace, container, token };
}

describe("the job that makes the keys of the bus", () => {
  it("makes one Secret with what each process mounts, and leaves it alone when it runs again", async () => {
    const { namespace, container, token } = await prepare("r-autoglm-bus-init");
    const kubeconfig = await kubeconfigWithToken({ cluster, token, file: join(folder, "bus-init.json") });
    const run = async () =>
      execa(process.execPath, [join(ROOT, "operator/src/main.ts"), ...(container.args ?? [])], {
        env: { AUTOGLM_KUBECONFIG: kubeconfig },
      });
    expect((await run()).stdout).toBe(`made the Secret ${namespace}/r-autoglm-bus`);
    const { data = {} } = await client.get(SECRETS, { namespace, name: "r-autoglm-bus" });
    expect((await run()).stdout).toContain("nothing was changed");
    expect((await client.get(SECRETS, { namespace, name: "r-autoglm-bus" })).data).toEqual(data);

    const objects = await render([], { namespace, release: "r" });
    const mounted = JSON.stringify(objects).matchAll(/"items":\[\{"key":"([^"]+)","path":"([^"]+)"/g);
    const files = [...mounted].map(([, key]) => key);
    expect(new Set(files)).toEqual(new Set(Object.keys(data)));

    // Only the paths are another machine's.
    const config = Buffer.from(data["nats.conf"] ?? "", "base64").toString("utf8");
    expect(config).toContain('"/data/streams"');
    expect(config).toContain('http: "0.0.0.0:8222"');
    const file = join(folder, "nats.conf");
    await writeFile(file, config.replaceAll('"/data/', `"${folder}/`));
    const { stdout: server } = await promisify(execFile)(join(ROOT, "hack/nats-server.sh"));
    const check = await execa(server.trim(), ["-t", "-c", file], { reject: false });
    expect(check.stderr).toContain("configuration file");
    expect(check.exitCode).toBe(0);
  });

  it("may do nothing else", async () => {
    const { namespace, token } = await prepare("r-autoglm-bus-init");
    const kubeconfig = await kubeconfigWithToken({ cluster, token, file: join(folder, "nothing-else.json") });
    for (const question of [
      "get secrets",
      "list secrets",
      "delete secrets",
      "get configmaps",
      "create secrets -n default",
    ]) {
      const args = ["--kubeconfig", kubeconfig, "-n", namespace, "auth", "can-i", ...question.split(" ")];
      expect((await execa(cluster.kubectl, args, { reject: false })).stdout, question).toBe("no");
    }
  });
});

describe("the task that `helm test` creates", () => {
  /** Runs the container's script; `end` is what the operator makes of the task. */
  async function firstTask(end: Readonly<Record<string, unknown>>, timeoutSeconds = "60") {
    const { namespace, container, token } = await prepare("r-autoglm-test");
    const tokenFile = join(folder, `${namespace}.token`);
    await writeFile(tokenFile, token);
    const caFile = join(folder, `${namespace}.crt`);
    const config = parse((await kubectl(["config", "view", "--raw", "-o", "json"])).stdout) as {
      clusters: { cluster: { "certificate-authority-data": string } }[];
    };
    const authority = config.clusters[0]?.cluster["certificate-authority-data"] ?? "";
    await writeFile(caFile, Buffer.from(authority, "base64"));
    const given = Object.fromEntries((container.env ?? []).map(({ name, value }) => [name, value]));
    const running = execa(process.execPath, container.args, {
      reject: false,
      env: {
        ...given,
        API_SERVER: cluster.serverUrl,
        TOKEN_FILE: tokenFile,
        NODE_EXTRA_CA_CERTS: caFile,
        TIMEOUT_SECONDS: timeoutSeconds,
      },
    });
    const name = await until(async () => {
      const { stdout } = await kubectl(["get", "autoglmtasks", "-n", namespace, "-o", "name"]);
      return stdout !== "" && stdout;
    });
    const patch = JSON.stringify({ status: end });
    await kubectl(["patch", name, "-n", namespace, "--subresource=status", "--type=merge", "-p", patch]);
    const left = async () => (await kubectl(["get", "autoglmtasks", "-n", namespace, "-o", "name"])).stdout;
    return { ended: await running, left };
  }

  const condition = (type: string) => ({
    type,
    status: "True",
    reason: "Tried",
    message: "as this test has it",
    lastTransitionTime: "2026-01-01T00:00:00Z",
  });

  it("is deleted once it is complete", async () => {
    const { ended, left } = await firstTask({ conditions: [condition("Complete")] });
    expect(ended).toMatchObject({
      exitCode: 0,
      stdout: expect.stringMatching(/^r-autoglm-test-\w+ is complete$/),
    });
    expect(await left()).toBe("");
  });

  it("stays, and fails the test, when it fails", async () => {
    const { ended, left } = await firstTask({ reason: "ModelNotFound", conditions: [condition("Failed")] });
    expect(ended.exitCode).toBe(1);
    expect(ended.stderr).toMatch(/r-autoglm-test-\w+ failed: ModelNotFound/);
    expect(await left()).not.toBe("");
  });

  it("fails the test with its reason when it does not end", async () => {
    const { ended } = await firstTask({ reason: "InsufficientMemory", conditions: [] }, "3");
    expect(ended.exitCode).toBe(1);
    expect(ended.stderr).toMatch(/did not end in 3 s: InsufficientMemory/);
  });
});
