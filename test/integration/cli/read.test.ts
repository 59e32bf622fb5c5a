import { createHash } from "node:crypto";
import { execFile } from "node:child_process";
import { mkdtemp, rm, symlink } from "node:fs/promises";
import { tmpdir } from "node:os";
import { delimiter, dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { API_VERSION, type ModelVariant } from "@autoglm/api";
import { CONFIG_MAPS, EventRecorder, NAMESPACES } from "@autoglm/kube";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { FLEET_NODES, MODELS, TASKS } from "../../../cli/src/objects.ts";
import { until } from "../../support/cluster.ts";
import { startCli } from "./cli.ts";
import { ended, entitiesOf, startWorld, type World } from "./world.ts";

const run = promisify(execFile);
let world: World;
beforeAll(async () => {
  world = await startWorld();
  await world.createTask("alpha");
  await world.createTask("beta", { type: "sentiment-analysis", input: { inline: ["好"] }, priority: 5 });
  await world.setStatus("alpha", {
    type: "token-classification",
    model: "zh-ner",
    tier: "6Gi",
    node: "edge-1",
    reason: "InsufficientMemory",
    message: "3/8 InsufficientMemory",
    hint: "ask for less",
    queuePosition: 2,
    placements: [
      {
        shard: 0,
        node: "edge-1",
        epoch: 4,
        phase: "Assigned",
        reservedMemory: "1Gi",
        placedAt: "2026-11-23T08:00:00Z",
      },
    ],
  });
});
afterAll(() => world.stop());

const cli = (args: readonly string[], env: Readonly<Record<string, string>> = {}) =>
  startCli([...args, "-n", world.namespace], { ...world.env, ...env }).ended;
const kubectl = async (...args: string[]) => {
  const { kubectl: path, kubeconfigPath } = world.cluster;
  const { stdout } = await run(path, [...args, "-n", world.namespace], {
    // kubectl keeps its discovery cache below HOME, and without one where it stands.
    env: { KUBECONFIG: kubeconfigPath, HOME: tmpdir() },
  });
  return stdout;
};

/** Cells line by line; ages may differ by a second. */
const words = (text: string) =>
  text.split("\n").map((line) => line.replace(/ +\d+m?\d*s *$/, " AGE").split(/ {2,}/));

describe("get", () => {
  it.each([
    [["get"], ["get", "autoglmtasks"]],
    [
      ["get", "alpha", "-o", "wide"],
      ["get", "autoglmtasks", "alpha", "-o", "wide"],
    ],
    [
      ["get", "-o", "name"],
      ["get", "autoglmtasks", "-o", "name"],
    ],
    [
      ["get", "-l", "app=none"],
      ["get", "autoglmtasks", "-l", "app=none"],
    ],
  ])("prints for %j what kubectl prints", async (args, same) => {
    const { code, stdout } = await cli(args);
    expect(code).toBe(0);
    expect(words(stdout)).toEqual(words(await kubectl(...same)));
  });

  it("prints tasks of all namespaces with their namespace", async () => {
    const { stdout } = await cli(["get", "-A"]);
    expect(stdout).toMatch(/^NAMESPACE +NAME +TYPE/);
    expect(stdout).toMatch(new RegExp(`^${world.namespace} +alpha +token-classification`, "m"));
  });

  it("prints objects as JSON and YAML", async () => {
    const one = JSON.parse((await cli(["get", "alpha", "-o", "json"])).stdout) as {
      metadata: Record<string, unknown>;
    };
    expect(one).toMatchObject({ kind: "AutoGLMTask", metadata: { name: "alpha" }, status: { tier: "6Gi" } });
    expect(one.metadata).not.toHaveProperty("managedFields");
    const { stdout } = await cli(["get", "-o", "yaml"]);
    expect(stdout).toMatch(/^kind: List$/m);
    expect(stdout).toMatch(/^ +name: beta$/m);
  });

  it("ends with 1 for what is not there, and says what", async () => {
    const { code, stdout, stderr } = await cli(["get", "gamma"]);
    expect([code, stdout]).toEqual([1, ""]);
    expect(stderr).toContain("gamma");
  });
});

describe("nodes and models", () => {
  it("lists both", async () => {
    const { client } = world.cluster;
    const variant: ModelVariant = {
      name: "fp32",
      runtime: "onnx",
      precision: "fp32",
      memory: "256Mi",
      contextLength: 192,
      files: [{ path: "model.onnx", sha256: "0".repeat(64), sizeBytes: 1 }],
    };
    await client.apply(MODELS, {
      apiVersion: API_VERSION,
      kind: "AutoGLMModel",
      metadata: { name: "cli-model" },
      spec: { taskTypes: ["token-classification"], preference: 0, variants: [variant] },
    });
    await client.apply(FLEET_NODES, {
      apiVersion: API_VERSION,
      kind: "AutoGLMNode",
      metadata: { name: "cli-node" },
      spec: {},
    });
    expect(words((await cli(["models", "cli-model"])).stdout)).toEqual(
      words(await kubectl("get", "autoglmmodels", "cli-model")),
    );
    expect(words((await cli(["nodes", "cli-node"])).stdout)).toEqual(
      words(await kubectl("get", "autoglmnodes", "cli-node")),
    );
    expect((await cli(["nodes", "cli-node", "-o", "name"])).stdout).toBe("autoglmnode.autoglm.io/cli-node\n");
  });

  it("enrols a node: prints the token once, stores its hash alone", async () => {
    const { code, stdout, stderr } = await cli(["nodes", "enrol", "cli-new", "--expires-in", "30m"]);
    expect(code).toBe(0);
    const node = await world.cluster.client.get(FLEET_NODES, { name: "cli-new" });
    expect(node.spec.enrolment?.tokenSha256).toBe(createHash("sha256").update(stdout.trim()).digest("hex"));
    const minutes = (Date.parse(node.spec.enrolment?.expiresAt ?? "") - Date.now()) / 60_000;
    expect(Math.round(minutes)).toBe(30);
    expect(stderr).not.toContain(stdout.trim());
  });
});

describe("why", () => {
  it("says reason, hint, place in the queue, placements and events", async () => {
    const { client } = world.cluster;
    const stopping = new AbortController();
    const recorder = new EventRecorder({ client, controller: "autoglm-operator", instance: "test" });
    const recording = recorder.run(stopping.signal);
    const alpha = await client.get(TASKS, { name: "alpha", namespace: world.namespace });
    recorder.record({
      regarding: alpha,
      type: "Warning",
      reason: "Waiting",
      action: "Place",
      note: "no node fits",
    });
    const { stdout } = await until(async () => {
      const outcome = await cli(["why", "alpha"]);
      return outcome.stdout.includes("EVENT") && outcome;
    });
    stopping.abort();
    await recording;
    expect(stdout).toMatch(/^State: +InsufficientMemory$/m);
    expect(stdout).toMatch(/^Why: +3\/8 InsufficientMemory$/m);
    expect(stdout).toMatch(/^Hint: +ask for less$/m);
    expect(stdout).toMatch(/^In the queue: +2$/m);
    expect(stdout).toMatch(/^0 +edge-1 +4 +Assigned +1Gi$/m);
    expect(stdout).toMatch(/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ +Waiting +no node fits$/m);
    expect(JSON.parse((await cli(["why", "alpha", "-o", "json"])).stdout)).toMatchObject({
      reason: "InsufficientMemory",
      placements: [{ node: "edge-1", epoch: 4 }],
      events: [{ type: "Warning", reason: "Waiting", count: 1 }],
    });
  });
});

describe("results", () => {
  it("prints what is there by item, and says that more will come", async () => {
    const task = await world.createTask("partial", { type: "ner", input: { inline: ["a", "b", "c"] } });
    world.accept(task, [entitiesOf(2, "c"), entitiesOf(0, "a")]);
    const { code, stdout, stderr } = await cli(["results", "partial", "-o", "text"]);
    expect([code, stdout]).toEqual([0, "0\ta/PER\n2\tc/PER\n"]);
    expect(stderr).toContain("2 of ? items so far");
    world.accept(task, [entitiesOf(1, "b")], { total: 3 });
    await world.setStatus("partial", ended("Complete"));
    const complete = await cli(["results", "partial"]);
    expect(complete.stderr).toBe("");
    expect(
      complete.stdout
        .trimEnd()
        .split("\n")
        .map((line) => (JSON.parse(line) as { item: number }).item),
    ).toEqual([0, 1, 2]);
  });

  it("says that there are none yet", async () => {
    const { code, stdout, stderr } = await cli(["results", "beta"]);
    expect([code, stdout]).toEqual([0, ""]);
    expect(stderr).toContain("beta has no results yet");
  });

  it("finds the server by the ConfigMap, and refuses a token that the cluster does not know", async () => {
    const { client } = world.cluster;
    const metadata = { name: "autoglm-system" };
    await client.apply(NAMESPACES, { apiVersion: "v1", kind: "Namespace", metadata });
    await client.apply(CONFIG_MAPS, {
      apiVersion: "v1",
      kind: "ConfigMap",
      metadata: { name: "autoglm-endpoints", namespace: metadata.name },
      data: { resultsUrl: world.resultsUrl },
    });
    const blank = { AUTOGLM_RESULTS_URL: "" };
    expect((await cli(["results", "beta"], blank)).stderr).toContain("beta has no results yet");
    const refused = await cli(["results", "beta"], { ...blank, AUTOGLM_TOKEN: "nonsense" });
    expect(refused.code).toBe(1);
    expect(refused.stderr).toMatch(/a valid bearer token is needed\nhint: /);
  });

  it("shows nothing to a user who may not read the task, not even that it is there", async () => {
    const task = await world.createTask("secret");
    world.accept(task, [entitiesOf(0, "secret")], { total: 1 });
    const ask = async (uid: string) => {
      const headers = { authorization: `Bearer ${world.cluster.viewerToken}` };
      const response = await fetch(`${world.resultsUrl}/results/${uid}`, { headers });
      return { status: response.status, body: (await response.text()).replace(uid, "") };
    };
    const uid = task.metadata.uid ?? "";
    const answer = await ask(uid);
    expect(answer.status).toBe(404);
    expect(answer).toEqual(await ask(uid.replace(/^./, (digit) => (digit === "0" ? "1" : "0"))));
  });

  it("shows results to whoever may get the task", async () => {
    const task = await world.createTask("shared");
    world.accept(task, [entitiesOf(0, "shared")], { total: 1 });
    await kubectl("create", "serviceaccount", "reader");
    await kubectl("create", "role", "reader", "--verb=get", "--resource=autoglmtasks.autoglm.io");
    await kubectl(
      "create",
      "rolebinding",
      "reader",
      "--role=reader",
      `--serviceaccount=${world.namespace}:reader`,
    );
    const token = (await kubectl("create", "token", "reader")).trim();
    const { stdout } = await cli(["results", "shared", "-o", "text", "--token", token]);
    expect(stdout).toBe("0\tshared/PER\n");
  });
});

it("works as a kubectl plugin", async () => {
  const bin = await mkdtemp(join(tmpdir(), "autoglm-plugin-"));
  const main = fileURLToPath(new URL("../../../cli/src/main.ts", import.meta.url));
  await symlink(main, join(bin, "kubectl-autoglm"));
  const env = {
    PATH: [bin, dirname(process.execPath), process.env["PATH"]].join(delimiter),
    KUBECONFIG: world.cluster.kubeconfigPath,
  };
  const { stdout } = await run(world.cluster.kubectl, ["autoglm", "version", "-o", "json"], { env });
  expect(JSON.parse(stdout)).toMatchObject({
    api: API_VERSION,
    server: expect.stringMatching(/^v1\./) as string,
  });
  const help = await run(world.cluster.kubectl, ["autoglm", "--help"], { env });
  expect(help.stdout).toContain("Usage: kubectl autoglm");
  await rm(bin, { recursive: true });
});
