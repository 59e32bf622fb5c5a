/** One contract for both stores of objects: memory, and the real API server. */
import { readFileSync, readdirSync } from "node:fs";
import { join } from "node:path";
import { API_VERSION, AutoglmError, type AutoGLMTask } from "@autoglm/api";
import { applyCrds, type CustomResourceDefinition } from "@autoglm/kube";
import { MemoryObjectStore, type ObjectStore } from "@autoglm/operator";
import { afterAll, beforeAll, beforeEach, describe, expect, it } from "vitest";
import { parse } from "yaml";
import { startTestCluster, until, type TestCluster } from "../../support/cluster.ts";
import { kubeTarget, type StoreTarget } from "./targets.ts";

const conditions = (status: "True" | "False") => [{ type: "Ready", status, reason: "Because", message: "" }];
let counter = 0;
let cluster: TestCluster;

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

function memoryTarget(): StoreTarget {
  const store = new MemoryObjectStore();
  return {
    open: () => store,
    apply: (manifest) => void store.apply(manifest),
    delete: (kind, key) => store.delete(kind, key),
    putConfigMap: (namespace, name, content) => store.putConfigMap(namespace, name, content),
  };
}

describe.each([
  ["memory", () => memoryTarget()],
  ["the Kubernetes API", () => kubeTarget(cluster)],
] as const)("objects in %s", (_, openTarget) => {
  let target: StoreTarget;
  let store: ObjectStore;
  let stopping: AbortController;
  let running: Promise<void>;
  let name: string;
  let key: string;
  const seen: string[] = [];

  beforeEach(async () => {
    target = openTarget();
    store = target.open();
    stopping = new AbortController();
    seen.length = 0;
    store.subscribe("AutoGLMTask", (changed) => seen.push(changed));
    running = store.run(stopping.signal);
    await store.waitForSync(stopping.signal);
    counter += 1;
    name = `task-${counter}`;
    key = `default/${name}`;
    return async () => {
      stopping.abort();
      await running;
    };
  });

  const apply = async (spec: object = {}) =>
    target.apply({
      apiVersion: API_VERSION,
      kind: "AutoGLMTask",
      metadata: { name, namespace: "default" },
      spec: { input: { inline: ["a"] }, ...spec },
    });
  const read = async (accept: (task: AutoGLMTask) => boolean = () => true) =>
    until(() => {
      const task = store.get("AutoGLMTask", key);
      return task !== undefined && accept(task) && task;
    });

  it("fills in defaults, an id and a generation, and tells the key", async () => {
    await apply();
    const task = await read();
    expect(task.spec).toMatchObject({ type: "auto", priority: 0, placement: { strategy: "EdgeFirst" } });
    expect(task.metadata).toMatchObject({ generation: 1, namespace: "default" });
    expect(task.metadata.uid).not.toBe("");
    await until(() => seen.includes(key));
    expect(store.list("AutoGLMTask").map(({ metadata }) => metadata.name)).toContain(name);
  });

  it.each([
    ["an unknown type", { type: "nonsense" }],
    ["two inputs", { input: { inline: ["a"], file: "x" } }],
    ["auto on a file", { input: { file: "x" } }],
    ["a wild priority", { priority: 5000 }],
    ["no memory", { placement: { memory: "lots" } }],
  ])("refuses %s", async (_what, spec) => {
    const refused = await (async () => apply(spec))().then(
      () => undefined,
      (error: unknown) => error,
    );
    expect(refused).toBeInstanceOf(AutoglmError);
    expect(refused).toMatchObject({ code: "Invalid" });
  });

  it("counts a generation for each change of the spec alone, and refuses to change what defines the work", async () => {
    await apply();
    await store.writeStatus("AutoGLMTask", await read(), {
      reason: "Placed",
      conditions: conditions("True"),
    });
    await apply({ priority: 5 });
    const changed = await read(({ spec }) => spec.priority === 5);
    expect(changed.metadata.generation).toBe(2);
    await expect((async () => apply({ priority: 5, input: { inline: ["b"] } }))()).rejects.toMatchObject({
      code: "Invalid",
    });
  });

  it("writes a status once, shows it at once, and moves a condition's time only when it flips", async () => {
    await apply();
    const draft = { reason: "Placed", message: "on a", conditions: conditions("True") } as const;
    const before = await read();
    expect(await store.writeStatus("AutoGLMTask", before, draft)).toBe("written");
    const written = store.get("AutoGLMTask", key);
    expect(written?.status).toMatchObject({ reason: "Placed", observedGeneration: 1 });
    expect(await store.writeStatus("AutoGLMTask", written as AutoGLMTask, draft)).toBe("unchanged");
    // As it was stored: until the watch shows it, the store's own copy has its own time.
    const stored = await read(({ metadata }) => metadata.resourceVersion !== before.metadata.resourceVersion);
    const [first] = stored.status?.conditions ?? [];
    const later = { ...draft, message: "still on a" };
    await until(async () => (await store.writeStatus("AutoGLMTask", await read(), later)) !== "stale");
    const moved = await read(({ status }) => status?.message === "still on a");
    expect(moved.status?.conditions?.[0]?.lastTransitionTime).toBe(first?.lastTransitionTime);
    // A field that the next status leaves out is gone.
    await until(async () => {
      const outcome = await store.writeStatus("AutoGLMTask", await read(), {
        conditions: conditions("True"),
      });
      return outcome === "written" || outcome === "unchanged";
    });
    expect((await read(({ status }) => status?.reason === undefined)).status?.message).toBeUndefined();
  });

  it("does not write the status of an object that is gone", async () => {
    await apply();
    const task = await read();
    await target.delete("AutoGLMTask", key);
    await until(() => store.get("AutoGLMTask", key) === undefined);
    expect(await store.writeStatus("AutoGLMTask", task, { conditions: conditions("True") })).toBe("gone");
    expect(await store.setFinalizer(task, true)).toBeUndefined();
    await store.deleteTask(task);
  });

  it("keeps a deleted task until its finalizer is off", async () => {
    await apply();
    const finalized = await store.setFinalizer(await read(), true);
    expect(finalized?.metadata.finalizers).toEqual(["autoglm.io/results"]);
    expect(store.get("AutoGLMTask", key)?.metadata.finalizers).toEqual(["autoglm.io/results"]);
    await store.deleteTask(finalized as AutoGLMTask);
    const deleting = await read(({ metadata }) => metadata.deletionTimestamp !== undefined);
    await store.setFinalizer(deleting, false);
    await until(() => store.get("AutoGLMTask", key) === undefined);
    await until(() => seen.includes(key));
  });

  it("keeps what a node's enrolment wrote when its status is written, and the other way round", async () => {
    const node = `node-${counter}`;
    await store.createNode(node);
    await store.createNode(node);
    const made = await until(() => store.get("AutoGLMNode", node));
    const enrolment = { nodeId: node, publicKey: "U".repeat(56), enrolledAt: "2026-01-01T00:00:00Z" };
    await store.recordEnrolment(made, enrolment);
    expect((await store.readNode(node))?.status).toMatchObject(enrolment);
    const enrolled = await until(() => {
      const one = store.get("AutoGLMNode", node);
      return one?.status?.publicKey !== undefined && one;
    });
    const draft = { link: "Connected", tier: "4Gi", conditions: conditions("True") } as const;
    expect(await store.writeStatus("AutoGLMNode", enrolled, draft)).toBe("written");
    expect(store.get("AutoGLMNode", node)?.status).toMatchObject({
      ...enrolment,
      link: "Connected",
      tier: "4Gi",
    });
    const both = await until(() => {
      const one = store.get("AutoGLMNode", node);
      return one?.status?.tier !== undefined && one;
    });
    await store.recordEnrolment(both, { ...enrolment, enrolledAt: "2026-02-01T00:00:00Z" });
    expect((await store.readNode(node))?.status).toMatchObject({
      enrolledAt: "2026-02-01T00:00:00Z",
      tier: "4Gi",
    });
    expect(await store.readNode("nobody")).toBeUndefined();
  });

  it("reads ConfigMaps", async () => {
    await target.putConfigMap("default", `cm-${counter}`, { a: "一", b: "2" });
    expect(await store.readConfigMap("default", `cm-${counter}`)).toEqual({ a: "一", b: "2" });
    expect(await store.readConfigMap("default", "nothing")).toBeUndefined();
  });
});
