import {
  type AutoGLMNode,
  type AutoGLMTask,
  checkTaskSpec,
  GROUP,
  type KindContract,
  KINDS,
  manifestSchema,
  taskSpecSchema,
  toCustomResourceDefinition,
  VERSION,
} from "@autoglm/api";
import { applyCrds, CUSTOM_RESOURCE_DEFINITIONS, type KubeObject, type Resource } from "@autoglm/kube";
import { execa } from "execa";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { createNamespace, sharedCluster, type TestCluster, until } from "../../support/cluster.ts";
import { GOOD_SPECS, WRONG_SPECS } from "./task-manifests.ts";

const CRDS = Object.values(KINDS).map((contract) => toCustomResourceDefinition(contract));

const TASKS = resourceOf<AutoGLMTask>(KINDS.AutoGLMTask);
const NODES = resourceOf<AutoGLMNode>(KINDS.AutoGLMNode);

function resourceOf<T extends KubeObject>({ kind, plural, scope }: KindContract): Resource<T> {
  return { group: GROUP, version: VERSION, plural, kind, namespaced: scope === "Namespaced" };
}

let cluster: TestCluster;
let namespace: string;
let names = 0;

beforeAll(async () => {
  cluster = await sharedCluster();
  await applyCrds(cluster.client, CRDS);
  namespace = await createNamespace(cluster.client);
});
afterAll(async () => cluster.stop());

async function kubectl(args: readonly string[], input?: unknown) {
  return execa(cluster.kubectl, ["--kubeconfig", cluster.kubeconfigPath, "-n", namespace, ...args], {
    reject: false,
    ...(input === undefined ? {} : { input: JSON.stringify(input) }),
  });
}

function taskManifest(spec: unknown, name = `task-${++names}`) {
  return { apiVersion: "autoglm.io/v1alpha1", kind: "AutoGLMTask", metadata: { name }, spec };
}

async function apply(manifest: unknown) {
  return kubectl(["apply", "-f", "-"], manifest);
}

/** A stored task, and what happens when its spec is applied again with these changes; null removes a field. */
async function storedTask(spec: Readonly<Record<string, unknown>>) {
  const manifest = taskManifest(spec);
  const { name } = manifest.metadata;
  expect(await apply(manifest)).toMatchObject({ exitCode: 0 });
  return {
    name,
    patch: async (changes: unknown) =>
      kubectl(["patch", "agt", name, "--type=merge", "-p", JSON.stringify({ spec: changes })]),
    setStatus: async (status: unknown) =>
      kubectl([
        "patch",
        "agt",
        name,
        "--subresource=status",
        "--type=merge",
        "-p",
        JSON.stringify({ status }),
      ]),
    read: async () => cluster.client.get(TASKS, { namespace, name }),
  };
}

const PLACED = {
  placements: [
    {
      shard: 0,
      node: "edge-1",
      epoch: 1,
      phase: "Assigned",
      reservedMemory: "1Gi",
      placedAt: "2026-01-01T00:00:00Z",
    },
  ],
};

describe("the CustomResourceDefinitions", () => {
  it.each(CRDS.map((crd) => [crd.metadata.name]))("%s is accepted and structural", async (name) => {
    const { status } = await cluster.client.get(CUSTOM_RESOURCE_DEFINITIONS, { name });
    expect(status?.conditions).toContainEqual(
      expect.objectContaining({ type: "Established", status: "True" }),
    );
    expect(status?.conditions?.map(({ type }) => type)).not.toContain("NonStructuralSchema");
  });

  it.each(CRDS)("$metadata.name takes 100 KB at most", (crd) => {
    expect(JSON.stringify(crd).length).toBeLessThan(100_000);
  });

  it("explains every field of a task", async () => {
    // The API server publishes a new kind a moment after it serves it.
    const fields = await until(async () => {
      const { stdout, exitCode } = await kubectl(["get", "--raw", "/openapi/v3/apis/autoglm.io/v1alpha1"]);
      return exitCode === 0 && describedFields(JSON.parse(stdout), "io.autoglm.v1alpha1.AutoGLMTask");
    });
    expect(fields.length).toBeGreaterThan(80);
    expect(fields.filter(({ description }) => typeof description !== "string" || description === "")).toEqual(
      [],
    );
    const { stdout } = await kubectl(["explain", "autoglmtask", "--recursive"]);
    const shown = Array.from(stdout.matchAll(/^ +(\w+)\t</gm), ([, field]) => field);
    expect(shown).toEqual(expect.arrayContaining(fields.map(({ name }) => name)));
  });

  it("shows default tier and autoPrompt of each task type in kubectl explain", async () => {
    const text = await until(async () => {
      const { stdout } = await kubectl(["explain", "autoglmtask.spec.type"]);
      return stdout !== "" && stdout.replaceAll(/\s+/g, " ");
    });
    expect(text).toContain("default tier 4Gi, autoPrompt yes");
    expect(text).toContain("default tier 6Gi, autoPrompt yes");
    expect(text).toContain("default tier 8Gi, autoPrompt no");
  });
});

/** All fields below spec and status, as the API server publishes them. */
function describedFields(
  published: unknown,
  schema: string,
): readonly { name: string; description: unknown }[] {
  const at = (value: unknown, key: string): unknown =>
    typeof value === "object" && value !== null
      ? Object.entries(value).find(([name]) => name === key)?.[1]
      : undefined;
  const walk = (node: unknown): { name: string; description: unknown }[] =>
    Object.entries(at(node, "properties") ?? {}).flatMap(([name, field]: [string, unknown]) => [
      { name, description: at(field, "description") },
      ...walk(field),
      ...walk(at(field, "items")),
    ]);
  const root = at(at(at(at(published, "components"), "schemas"), schema), "properties");
  return walk({ properties: { spec: at(root, "spec"), status: at(root, "status") } });
}

describe("a wrong task", () => {
  it.each(WRONG_SPECS)(
    "with $what is refused by the API server and by our own check",
    async ({ spec, field, message = "" }) => {
      const { exitCode, stderr } = await apply(taskManifest(spec));
      expect(exitCode).not.toBe(0);
      expect(stderr).toContain(field);
      expect(stderr).toContain(message);

      expect(checkTaskSpec(spec)).toContainEqual({ field, message: expect.stringContaining(message) });
      expect(manifestSchema("AutoGLMTask").safeParse(taskManifest(spec)).success).toBe(false);
    },
  );
});

describe("the name of a task", () => {
  it.each(["Reviews", "a_b", "-a", "a..b", "a".repeat(254)])("%j is refused by both", async (name) => {
    const manifest = taskManifest({ input: { inline: ["a"] } }, name);
    const { exitCode, stderr } = await apply(manifest);
    expect(exitCode).not.toBe(0);
    expect(stderr).toContain("metadata.name");
    const issues = manifestSchema("AutoGLMTask").safeParse(manifest).error?.issues ?? [];
    expect(issues.map(({ path }) => path.join("."))).toEqual(["metadata.name"]);
  });
});

describe("a good task", () => {
  it.each(GOOD_SPECS)("with $what is accepted, with the defaults of the schema", async ({ spec }) => {
    const manifest = taskManifest(spec);
    const { stderr, exitCode } = await apply(manifest);
    expect(stderr).toBe("");
    expect(exitCode).toBe(0);
    const stored = await cluster.client.get(TASKS, { namespace, name: manifest.metadata.name });
    expect(stored.spec).toEqual(taskSpecSchema.parse(spec));
    expect(checkTaskSpec(spec)).toEqual([]);
    expect(manifestSchema("AutoGLMTask").parse(manifest).spec).toEqual(stored.spec);
  });
});

describe("a change of a task", () => {
  const spec = {
    type: "text-generation",
    model: "smollm2",
    input: { inline: ["a", "b"] },
    parameters: { maxNewTokens: 4 },
  };

  it.each([
    ["type", { type: "auto", parameters: null }],
    ["model", { model: "other" }],
    ["model", { model: null }],
    ["input", { input: { inline: ["a", "c"] } }],
    ["inputFormat", { inputFormat: "json" }],
    ["inputField", { inputField: "text" }],
    ["output", { output: { format: "text" } }],
    ["parameters", { parameters: { maxNewTokens: 5 } }],
    ["parameters", { parameters: null }],
    ["run", { run: "Continuous" }],
    ["runIntervalSeconds", { runIntervalSeconds: 5 }],
  ])("of %s is refused: it defines the work", async (field, changes) => {
    const task = await storedTask(spec);
    const { exitCode, stderr } = await task.patch(changes);
    expect(exitCode).not.toBe(0);
    expect(stderr).toContain(`${field} defines the work and can't change: create another task`);
  });

  it("of what does not define the work is accepted", async () => {
    const task = await storedTask(spec);
    const changes = { suspend: true, priority: 5, ttlSecondsAfterFinished: 60, offlinePolicy: "Wait" };
    expect(await task.patch(changes)).toMatchObject({ exitCode: 0 });
    expect((await task.read()).spec).toMatchObject(changes);
  });

  it("of placement is accepted before there is one, and refused after", async () => {
    const task = await storedTask(spec);
    expect(await task.patch({ placement: { memory: "1Gi" } })).toMatchObject({ exitCode: 0 });
    expect(await task.setStatus(PLACED)).toMatchObject({ exitCode: 0 });
    const { exitCode, stderr } = await task.patch({ placement: { memory: "2Gi" } });
    expect(exitCode).not.toBe(0);
    expect(stderr).toContain("spec.placement");
    expect(stderr).toContain("placement can't change once the task is placed");
    expect(await task.setStatus({ placements: null })).toMatchObject({ exitCode: 0 });
    expect(await task.patch({ placement: { memory: "2Gi" } })).toMatchObject({ exitCode: 0 });
  });
});

describe("the status of a task", () => {
  it("is not written through the main endpoint", async () => {
    const manifest = { ...taskManifest({ input: { inline: ["a"] } }), status: { node: "edge-9" } };
    expect(await apply(manifest)).toMatchObject({ exitCode: 0 });
    const { name } = manifest.metadata;
    expect((await cluster.client.get(TASKS, { namespace, name })).status).toBeUndefined();
  });

  it("fills the columns of kubectl get and can be selected by", async () => {
    const task = await storedTask({ type: "ner", model: "lac", input: { inline: ["a"] } });
    await task.setStatus({
      type: "token-classification",
      model: "lac",
      tier: "6Gi",
      node: "edge-column",
      progress: "1/1",
      reason: "Completed",
    });
    const { stdout } = await kubectl(["get", "autoglmtasks", "--field-selector", "status.node=edge-column"]);
    const [head, row, ...rest] = stdout.split("\n");
    expect(head?.split(/\s+/)).toEqual([
      "NAME",
      "TYPE",
      "MODEL",
      "TIER",
      "NODE",
      "PROGRESS",
      "REASON",
      "AGE",
    ]);
    expect(row?.split(/\s+/).slice(0, 7)).toEqual([
      task.name,
      "token-classification",
      "lac",
      "6Gi",
      "edge-column",
      "1/1",
      "Completed",
    ]);
    expect(rest).toEqual([]);
    expect((await kubectl(["get", "autoglm", "-o", "name"])).stdout).toContain(`/${task.name}`);
    expect(
      (await kubectl(["get", "agt", "--field-selector", "spec.model=lac", "-o", "name"])).stdout,
    ).toContain(task.name);
  });
});

describe("a model", () => {
  const file = { path: "model.onnx", sha256: "a".repeat(64), sizeBytes: 1 };
  const variant = { name: "fp32", precision: "fp32", memory: "64Mi", contextLength: 128, files: [file] };
  const manifest = (changes: object) => ({
    apiVersion: "autoglm.io/v1alpha1",
    kind: "AutoGLMModel",
    metadata: { name: `${namespace}-model-${++names}` },
    spec: { taskTypes: ["text-classification"], variants: [variant], ...changes },
  });

  it("is accepted with defaults and shows its best variant", async () => {
    const good = manifest({});
    expect(await apply(good)).toMatchObject({ exitCode: 0 });
    const { stdout } = await kubectl(["get", "agm", good.metadata.name, "--no-headers"]);
    expect(stdout).toMatch(/text-classification.*\sfp32\s/);
    expect(manifestSchema("AutoGLMModel").parse(good).spec).toMatchObject({
      variants: [{ runtime: "onnx" }],
    });
  });

  it.each([
    ["spec.variants[0].memory", { variants: [{ ...variant, memory: "0" }] }],
    [
      "spec.variants[0].files[0].sha256",
      { variants: [{ ...variant, files: [{ ...file, sha256: "beef" }] }] },
    ],
    ["spec.variants[1]", { variants: [variant, variant] }],
    ["spec.variants[0].files[1]", { variants: [{ ...variant, files: [file, file] }] }],
    ["spec.taskTypes[1]", { taskTypes: ["text-classification", "text-classification"] }],
    ["spec.variants", { variants: [] }],
    ["spec.variants[0].files[0].uri", { variants: [{ ...variant, files: [{ ...file, uri: "ftp://x" }] }] }],
  ])("with a wrong %s is refused by the API server and by zod", async (field, changes) => {
    const wrong = manifest(changes);
    const { exitCode, stderr } = await apply(wrong);
    expect(exitCode).not.toBe(0);
    expect(stderr).toContain(field);
    const issues = manifestSchema("AutoGLMModel").safeParse(wrong).error?.issues ?? [];
    expect(issues.map(({ path }) => path.join(".").replaceAll(/\.(\d+)/g, "[$1]"))).toContain(field);
  });
});

describe("a node", () => {
  it("needs no spec", async () => {
    const node = {
      apiVersion: "autoglm.io/v1alpha1",
      kind: "AutoGLMNode",
      metadata: { name: `${namespace}-node` },
    };
    expect(await apply(node)).toMatchObject({ exitCode: 0 });
    expect((await cluster.client.get(NODES, node.metadata)).spec).toEqual({});
    expect(manifestSchema("AutoGLMNode").parse(node).spec).toEqual({});
  });

  it("takes times with an offset", async () => {
    const node = {
      apiVersion: "autoglm.io/v1alpha1",
      kind: "AutoGLMNode",
      metadata: { name: `${namespace}-revoked` },
      spec: { revokedBefore: "2026-11-23T08:00:00+08:00" },
    };
    expect(await apply(node)).toMatchObject({ exitCode: 0 });
    expect(manifestSchema("AutoGLMNode").safeParse(node).success).toBe(true);
  });
});
