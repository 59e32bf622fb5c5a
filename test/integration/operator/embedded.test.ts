import { parseQuantityBytes } from "@autoglm/api";
import { MemoryObjectStore } from "@autoglm/operator";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { until } from "../../support/cluster.ts";
import { Harness, holds } from "./harness.ts";

let harness: Harness;
let store: MemoryObjectStore;

beforeEach(async () => {
  store = new MemoryObjectStore();
  harness = await Harness.start({
    openStore: () => store,
    target: { apply: (manifest) => void store.apply(manifest) },
  });
  await harness.model("zh-sentiment", ["text-classification"]);
});

afterEach(async () => {
  await harness.stop();
});

const texts = (count: number) => Array.from({ length: count }, (_, index) => `text ${index}`);
const complete = async (name: string) =>
  until(() => {
    const read = harness.read(name);
    return holds(read, "Complete") && read;
  });
const withReason = async (name: string, reason: string) =>
  until(() => {
    const read = harness.read(name);
    return read?.status?.reason === reason && read;
  });
const placementOf = (name: string) => harness.read(name)?.status?.placements?.[0];
const patch = async (name: string, spec: object) => {
  const { metadata, spec: before } = harness.read(name) ?? {};
  await harness.task(metadata?.name ?? name, { ...before, ...spec } as never);
};

describe("the operator over the embedded store", () => {
  it("takes a task from apply to its last result", async () => {
    await harness.agent({ nodeName: "edge-4", tier: "4Gi" });
    await harness.task("reviews", { type: "sentiment-analysis", input: { inline: texts(120) } });

    const task = await complete("reviews");
    expect(task.status).toMatchObject({
      type: "text-classification",
      model: "zh-sentiment",
      variant: "int8",
      tier: "4Gi",
      reason: "Completed",
      progress: "120/120",
      node: "edge-4",
      run: 0,
      items: { total: 120, accepted: 120, failed: 0 },
    });
    expect(task.status?.placements).toMatchObject([{ shard: 0, node: "edge-4", epoch: 1, phase: "Done" }]);
    expect(task.status?.results).toHaveLength(5);
    const reasons = store
      .events()
      .filter(({ key }) => key === "default/reviews")
      .map(({ reason }) => reason);
    expect(reasons).toEqual(expect.arrayContaining(["Accepted", "Placed", "Completed"]));
  });

  it("takes a finished run out of the document once the node knows that all of it is accepted", async () => {
    const agent = await harness.agent({ nodeName: "edge-4", tier: "4Gi" });
    await harness.task("reviews", { type: "sentiment-analysis", input: { inline: texts(120) } });
    await complete("reviews");

    await until(() => agent.newest?.assignments.length === 0);
    const last = agent.documents.findLast(({ assignments }) => assignments.length > 0);
    expect(last?.assignments[0]?.acceptedThrough).toBe(2);
  });

  it("never gives out more memory than a node has, and serves the queue by priority", async () => {
    await harness.model("most", ["text-classification"], "3Gi");
    const agent = await harness.agent({ nodeName: "edge-4", tier: "4Gi", pauseAfterItems: 0 });
    const names = Array.from({ length: 12 }, (_, index) => `task-${index}`);
    await Promise.all(
      names.map((name, index) =>
        harness.task(name, {
          type: "sentiment-analysis",
          model: "most",
          priority: index,
          input: { inline: texts(1) },
        }),
      ),
    );
    const placed = () =>
      names.filter((name) => placementOf(name) !== undefined && !holds(harness.read(name), "Complete"));
    const reserved = () =>
      placed().reduce((sum, name) => sum + parseQuantityBytes(placementOf(name)?.reservedMemory ?? "0"), 0);
    await until(() => harness.read("task-0")?.status?.queuePosition !== undefined && placed().length === 1);

    const first = placed();
    const waiting = names.filter((name) => !first.includes(name));
    const positions = await until(() => {
      const found = waiting.toReversed().map((name) => harness.read(name)?.status?.queuePosition);
      return found.every((position, index) => position === index + 1) && found;
    });
    expect(positions).toHaveLength(11);
    let most = 0;
    const order: string[] = [];
    store.subscribe("AutoGLMTask", (key) => {
      most = Math.max(most, reserved());
      const name = key.split("/")[1] ?? "";
      if (placementOf(name) !== undefined && !order.includes(name) && !first.includes(name)) order.push(name);
    });
    agent.resume();
    for (const name of names) await complete(name);
    expect(most).toBeLessThanOrEqual(4 * 2 ** 30);
    expect(order).toEqual(waiting.toReversed());
  });

  it("says why a task waits, counts per node, and places it when the hint is followed", async () => {
    await harness.agent({ nodeName: "edge-4", tier: "4Gi" });
    await harness.agent({ nodeName: "edge-6", tier: "6Gi" });
    await until(() => store.list("AutoGLMNode").every(({ status }) => status?.memory !== undefined));
    await harness.task("large", {
      type: "sentiment-analysis",
      input: { inline: texts(1) },
      placement: { memory: "40Gi" },
    });

    const task = await withReason("large", "InsufficientMemory");
    expect(task.status).toMatchObject({ message: "2/2 InsufficientMemory", queuePosition: 1 });
    expect(holds(task, "Accepted")).toBe(true);
    expect(holds(task, "Placed")).toBe(false);
    const hint = task.status?.hint ?? "";
    expect(hint).toContain("kubectl patch agt/large -n default --type merge -p '");
    const { spec } = JSON.parse(hint.split("'")[1] ?? "") as { spec: { placement: { memory: string } } };
    await patch("large", { placement: { ...task.spec.placement, ...spec.placement } });
    expect((await complete("large")).status?.node).toBe("edge-6");
  });

  it("moves what is not yet accepted to another node, at a higher epoch, when a node stays silent", async () => {
    const first = await harness.agent({ nodeName: "a-edge", tier: "4Gi", pauseAfterItems: 100 });
    await harness.task("reviews", { type: "sentiment-analysis", input: { inline: texts(300) } });
    await until(() => harness.read("reviews")?.status?.items?.accepted === 100);
    const second = await harness.agent({ nodeName: "b-edge", tier: "4Gi" });
    first.isSilent = true;

    const unreachable = await withReason("reviews", "NodeUnreachable");
    expect(unreachable.status?.conditions).toEqual(
      expect.arrayContaining([
        expect.objectContaining({ type: "Running", status: "Unknown" }),
        expect.objectContaining({ type: "Ready", status: "Unknown" }),
      ]),
    );
    const task = await complete("reviews");
    expect(task.status?.placements).toMatchObject([{ node: "b-edge", epoch: 2 }]);
    expect(task.status?.items).toEqual({ total: 300, accepted: 300, failed: 0 });
    const given = second.documents.flatMap(({ assignments }) => assignments).find(({ epoch }) => epoch === 2);
    expect(given?.acceptedItems).toEqual([[0, 99]]);
  });

  it("leaves a task on a file where its file is", async () => {
    const agent = await harness.agent({ nodeName: "a-edge", tier: "4Gi", pauseAfterItems: 0 });
    await harness.agent({ nodeName: "b-edge", tier: "4Gi", pauseAfterItems: 0 });
    await harness.task("reviews", { type: "sentiment-analysis", input: { file: "reviews.csv" } });
    await until(() => agent.newest?.assignments.length === 1);
    agent.isSilent = true;
    const task = await withReason("reviews", "NodeUnreachable");
    await new Promise((resolve) => setTimeout(resolve, 2500));
    expect(placementOf("reviews")).toMatchObject({ node: "a-edge", epoch: 1 });
    expect(task.status?.hint).toContain("the input file is on it");
  });

  it("counts as lost what vanished with a node's disk, and has it computed again", async () => {
    const agent = await harness.agent({ nodeName: "edge-4", tier: "4Gi", pauseAfterItems: 50 });
    await harness.task("reviews", { type: "sentiment-analysis", input: { inline: texts(80) } });
    await until(() => harness.read("reviews")?.status?.items?.accepted === 50);
    agent.pauseAfterItems = Infinity;
    agent.forgetEverything();
    const task = await complete("reviews");
    expect(task.status?.placements).toMatchObject([{ node: "edge-4", epoch: 2 }]);
    expect(task.status?.items).toEqual({ total: 80, accepted: 80, failed: 0 });
  });

  it("takes a suspended task off its node and begins again at an epoch that was not used", async () => {
    const agent = await harness.agent({ nodeName: "edge-4", tier: "4Gi", pauseAfterItems: 10 });
    await harness.task("reviews", { type: "sentiment-analysis", input: { inline: texts(20) } });
    await until(() => harness.read("reviews")?.status?.items?.accepted === 10);
    await patch("reviews", { suspend: true });
    await withReason("reviews", "Suspended");
    await until(() => agent.newest?.assignments.length === 0);
    expect(harness.read("reviews")?.status?.placements).toEqual([]);
    agent.pauseAfterItems = Infinity;
    await patch("reviews", { suspend: false });
    const task = await complete("reviews");
    expect(task.status?.placements?.[0]?.epoch).toBeGreaterThan(1);
    expect(task.status?.items?.accepted).toBe(20);
  });

  it("starts the next run of a continuous task when it is due, with the results of the run alone", async () => {
    await harness.agent({ nodeName: "edge-4", tier: "4Gi" });
    await harness.task("again", {
      type: "sentiment-analysis",
      input: { inline: texts(3) },
      run: "Continuous",
      runIntervalSeconds: 1,
    });
    const task = await until(() => {
      const read = harness.read("again");
      return (read?.status?.run ?? 0) >= 2 && read?.status?.reason === "WaitingForNextRun" && read;
    });
    expect(task.status?.items).toEqual({ total: 3, accepted: 3, failed: 0 });
    expect(task.status?.placements?.[0]?.epoch).toBe(1);
    expect(holds(task, "Complete")).toBe(false);
    expect(holds(task, "Ready")).toBe(true);
  });

  it("waits for a ConfigMap by name and recognises what its text asks for", async () => {
    await harness.agent({ nodeName: "edge-4", tier: "4Gi" });
    store.putConfigMap("default", "reviews", { a: "x", b: "y" });
    await harness.task("reviews", { input: { configMapRef: { name: "reviews", key: "csv" } } });
    expect((await withReason("reviews", "ConfigMapKeyNotFound")).status?.message).toContain("a, b");
    await harness.task("other", { input: { configMapRef: { name: "missing" } } });
    expect((await withReason("other", "ConfigMapNotFound")).status?.hint).toContain(
      "kubectl create configmap missing",
    );

    store.putConfigMap("default", "good", { csv: "味道很好，推荐\n服务太差了，失望\n房间很干净，满意" });
    await harness.task("auto", { input: { configMapRef: { name: "good" } } });
    expect((await complete("auto")).status).toMatchObject({
      type: "text-classification",
      typeSource: "Input",
    });
  });

  it("ends a task for good when its file is missing, and frees the memory", async () => {
    const failWith = { code: "InputFileNotFound", message: "reviews.csv is not there" };
    await harness.agent({ nodeName: "edge-4", tier: "4Gi", failWith });
    await harness.task("reviews", { type: "sentiment-analysis", input: { file: "reviews.csv" } });
    const task = await withReason("reviews", "InputFileNotFound");
    expect(holds(task, "Failed")).toBe(true);
    expect(task.status?.message).toBe("on node edge-4: reviews.csv is not there");
    const node = await until(() => {
      const read = store.get("AutoGLMNode", "edge-4");
      return read?.status?.memory?.reserved === "0" && read;
    });
    expect(node.status?.memory).toMatchObject({ capacity: "4Gi", free: "4Gi", kind: "ram" });
  });

  it("begins again after a bad digest as soon as the model is mended", async () => {
    const options = { nodeName: "edge-4", tier: "4Gi" as const };
    const agent = await harness.agent({
      ...options,
      failWith: { code: "ModelDigestMismatch", message: "sha256" },
    });
    await harness.task("reviews", { type: "sentiment-analysis", input: { inline: texts(2) } });
    await withReason("reviews", "ModelDigestMismatch");
    Object.assign(agent.options, { failWith: undefined });
    await harness.model("zh-sentiment", ["text-classification"], "300Mi");
    const task = await complete("reviews");
    expect(task.status?.placements).toMatchObject([{ epoch: 2, reservedMemory: "300Mi" }]);
    expect(holds(task, "Failed")).toBe(false);
  });

  it("deletes a task together with its results, its documents and its finalizer", async () => {
    const agent = await harness.agent({ nodeName: "edge-4", tier: "4Gi", pauseAfterItems: 1 });
    await harness.task("reviews", { type: "sentiment-analysis", input: { inline: texts(5) } });
    const uid = harness.read("reviews")?.metadata.uid;
    await until(() => harness.read("reviews")?.status?.items?.accepted === 1);
    const results = () =>
      fetch(`${harness.plane.resultsUrl}/results/${uid}`, {
        headers: { authorization: "Bearer test-token-of-this-harness" },
      });
    expect((await results()).status).toBe(200);
    store.delete("AutoGLMTask", "default/reviews");
    await until(() => harness.read("reviews") === undefined);
    await until(() => agent.newest?.assignments.length === 0);
    expect((await results()).status).toBe(404);
    await until(() => store.get("AutoGLMNode", "edge-4")?.status?.memory?.reserved === "0");
  });

  it("deletes a finished task when its time is over", async () => {
    await harness.agent({ nodeName: "edge-4", tier: "4Gi" });
    await harness.task("reviews", {
      type: "sentiment-analysis",
      input: { inline: texts(1) },
      ttlSecondsAfterFinished: 1,
    });
    const finishedAt = Date.parse((await complete("reviews")).status?.completionTime ?? "");
    await until(() => harness.read("reviews") === undefined);
    expect(Date.now()).toBeGreaterThanOrEqual(finishedAt + 1000);
  });

  it("goes on after a restart without taking anything from a node meanwhile", async () => {
    const agent = await harness.agent({ nodeName: "edge-4", tier: "4Gi", pauseAfterItems: 10 });
    for (const name of ["one", "two", "three"]) {
      await harness.task(name, { type: "sentiment-analysis", input: { inline: texts(20) } });
    }
    await until(() => agent.newest?.assignments.length === 3);
    const before = agent.newest?.assignments.map(({ task, epoch, spec, grant }) => ({
      task,
      epoch,
      spec,
      grant,
    }));
    const seen = agent.documents.length;
    await harness.plane.stop();
    await harness.startPlane();
    await until(() => harness.plane.isReady());
    await new Promise((resolve) => setTimeout(resolve, 1500));
    const after = agent.documents.slice(seen);
    for (const { assignments } of after) {
      const kept = assignments.map(({ task, epoch, spec, grant }) => ({ task, epoch, spec, grant }));
      expect(kept).toEqual(expect.arrayContaining(before ?? []));
    }
    agent.resume();
    for (const name of ["one", "two", "three"]) {
      expect((await complete(name)).status?.placements).toMatchObject([{ epoch: 1 }]);
    }
  });

  it("has computed again what a result store lost after it was accepted and deleted at the node", async () => {
    const agent = await harness.agent({ nodeName: "edge-4", tier: "4Gi", pauseAfterItems: 10 });
    await harness.task("reviews", { type: "sentiment-analysis", input: { inline: texts(20) } });
    await until(() => (agent.newest?.assignments[0]?.acceptedThrough ?? -1) >= 0);
    await harness.loseResults();
    agent.resume();
    const task = await complete("reviews");
    expect(task.status).toMatchObject({ progress: "20/20", placements: [{ epoch: 2 }] });
  });

  it("puts everything back onto a bus that has lost its disk", async () => {
    const agent = await harness.agent({ nodeName: "edge-4", tier: "4Gi", pauseAfterItems: 0 });
    await harness.task("reviews", { type: "sentiment-analysis", input: { inline: texts(20) } });
    await until(() => agent.newest?.assignments.length === 1);
    const { revision = 0 } = agent.newest ?? {};
    await harness.nats.restart({ wipe: true });
    await until(() => (agent.newest?.revision ?? 0) > revision);
    expect(agent.newest?.assignments).toHaveLength(1);
    agent.resume();
    expect((await complete("reviews")).status?.placements).toMatchObject([{ epoch: 1 }]);
  });
});
