import { nodeStatusSchema, type AutoGLMNode, type Heartbeat } from "@autoglm/api";
import type { Node } from "@autoglm/kube";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import type { NodeHeartbeat } from "../../dispatch/heartbeats.ts";
import { describeNode, type NodeSources } from "./description.ts";
import { planNode, type NodeFacts, type NodePlan } from "./plan.ts";

const GI = 2 ** 30;

function beat(change: Partial<Heartbeat> = {}): NodeHeartbeat {
  const heartbeat: Heartbeat = {
    v: 1,
    node: "n",
    nodeName: "n",
    agentVersion: "1",
    stateId: "s",
    startedAt: "2026-01-01T00:00:00Z",
    sentAt: "2026-01-01T00:00:00Z",
    memory: { kind: "gpu", totalBytes: 8 * GI, usedByOthersBytes: 0, usedByUsBytes: 0 },
    probedTier: "8Gi",
    document: { generation: 0, revision: 1 },
    outbox: { chunks: 0, bytes: 0, limitBytes: 1, full: false },
    models: [],
    assignments: [],
    draining: false,
    ...change,
  };
  return {
    heartbeat,
    receivedAtMs: 0,
    receivedAt: "2026-01-01T00:00:10.000Z",
    usedByOthersBytes: GI,
    usedByUsBytes: 0,
  };
}

function autoglmNode(change: Partial<AutoGLMNode> = {}): AutoGLMNode {
  return {
    apiVersion: "autoglm.io/v1alpha1",
    kind: "AutoGLMNode",
    metadata: { name: "n", uid: "n", generation: 1 },
    spec: {},
    status: { nodeId: "n", publicKey: "U", enrolledAt: "2026-01-01T00:00:00Z" },
    ...change,
  };
}

const kubeNode = (change: Partial<Node> = {}): Node => ({
  apiVersion: "v1",
  kind: "Node",
  metadata: { name: "n" },
  ...change,
});

const sourcesOf = (change: Partial<NodeSources> = {}): NodeSources => ({
  name: "n",
  autoglmNode: autoglmNode(),
  heartbeat: beat(),
  silentForMs: 1000,
  listeningForMs: 1e6,
  poolTypes: {},
  heartbeatTimeoutMs: 15_000,
  patienceMs: 300_000,
  ...change,
});

function factsOf(sources: NodeSources = sourcesOf(), change: Partial<NodeFacts> = {}): NodeFacts {
  return {
    node: sources.autoglmNode,
    isKubernetesNode: sources.kubeNode !== undefined,
    heartbeat: sources.heartbeat,
    description: describeNode(sources),
    reservedBytes: 2 * GI,
    assignments: 1,
    isRevocationDone: false,
    sinceLastWriteMs: Infinity,
    statusIntervalMs: 1000,
    ...change,
  };
}

const statusOf = (plan: NodePlan) => {
  const action = plan.actions.find(({ kind }) => kind === "writeStatus");
  if (action?.kind !== "writeStatus") throw new Error("no status was written");
  return action.status;
};

describe("describeNode", () => {
  it("takes the smallest known total less what others use, and the tier from the label", () => {
    const labels = { "autoglm.io/tier": "6Gi", "nvidia.com/gpu.memory": "7168" };
    const description = describeNode(sourcesOf({ kubeNode: kubeNode({ metadata: { name: "n", labels } }) }));
    expect(description).toMatchObject({ tier: "6Gi", capacityBytes: 6 * GI, isReady: true, isGone: false });
    expect(description.verdict.conflicts).toHaveLength(1);
  });

  it("lets the AutoGLMNode's labels add to the Node's", () => {
    const metadata = { name: "n", uid: "n", labels: { "autoglm.io/location": "cloud" } };
    const sources = sourcesOf({ kubeNode: kubeNode(), autoglmNode: autoglmNode({ metadata }) });
    expect(describeNode(sources)).toMatchObject({ location: "cloud" });
  });

  it.each([
    ["not enrolled", { autoglmNode: autoglmNode({ status: {} }) }],
    ["not heard yet", { heartbeat: undefined, silentForMs: undefined }],
    ["no heartbeat", { silentForMs: 20_000 }],
    ["draining", { heartbeat: beat({ draining: true }) }],
    ["cordoned", { kubeNode: kubeNode({ spec: { unschedulable: true } }) }],
    ["revoked", { autoglmNode: autoglmNode({ spec: { revokedBefore: "2026-01-01T00:00:00Z" } }) }],
    [
      "memory unknown",
      { heartbeat: beat({ memory: { kind: "gpu", totalBytes: 0, usedByOthersBytes: 0, usedByUsBytes: 0 } }) },
    ],
  ] as const)("places nothing on a node that is %s", (because, change) => {
    expect(describeNode(sourcesOf(change))).toMatchObject({ isReady: false, notReadyBecause: because });
  });

  it("heeds taints but for those about the kubelet", () => {
    const taints = [
      { key: "gpu", effect: "NoSchedule" },
      { key: "node.kubernetes.io/unreachable", effect: "NoExecute" },
    ];
    expect(describeNode(sourcesOf({ kubeNode: kubeNode({ spec: { taints } }) })).taints).toEqual([taints[0]]);
  });

  it("never gives up a node whose autonomy duration says so", () => {
    const annotations = { "node.openyurt.io/autonomy-duration": "0" };
    const silent = { silentForMs: 1e9, kubeNode: kubeNode({ metadata: { name: "n", annotations } }) };
    expect(describeNode(sourcesOf(silent))).toMatchObject({ isGone: false });
    expect(describeNode(sourcesOf({ silentForMs: 1e9 }))).toMatchObject({ isGone: true });
  });
});

describe("planNode", () => {
  it("states tier, memory, link and conditions", () => {
    expect(statusOf(planNode(factsOf()))).toMatchObject({
      tier: "8Gi",
      tierSource: "Probe",
      location: "edge",
      flavour: "Standalone",
      memory: { capacity: "7Gi", reserved: "2Gi", free: "5Gi", kind: "gpu" },
      link: "Connected",
      lastSeen: "2026-01-01T00:00:10.000Z",
      assignments: 1,
    });
  });

  it("makes an object for a node of the cluster that has an agent, and for no other", () => {
    const missing = { autoglmNode: undefined };
    const create = planNode(factsOf(sourcesOf({ ...missing, kubeNode: kubeNode() })));
    expect(create.actions.map(({ kind }) => kind)).toEqual(["create"]);
    expect(planNode(factsOf(sourcesOf(missing))).actions).toEqual([]);
    const unheard = sourcesOf({ ...missing, kubeNode: kubeNode(), heartbeat: undefined });
    expect(planNode(factsOf(unheard)).actions).toEqual([]);
  });

  it("tells the bus of a revocation once", () => {
    const node = autoglmNode({ spec: { revokedBefore: "2026-06-01T00:00:00Z" } });
    const facts = factsOf(sourcesOf({ autoglmNode: node }));
    expect(planNode(facts).actions[0]).toMatchObject({
      kind: "revoke",
      publicKey: "U",
      before: "2026-06-01T00:00:00Z",
    });
    expect(planNode({ ...facts, isRevocationDone: true }).actions.map(({ kind }) => kind)).toEqual([
      "writeStatus",
    ]);
  });

  it("writes what only counts once per interval", () => {
    const status = { ...statusOf(planNode(factsOf())), nodeId: "n", publicKey: "U", observedGeneration: 1 };
    const conditions = status.conditions.map((one) => ({
      ...one,
      lastTransitionTime: "2026-01-01T00:00:00Z",
    }));
    const settled = sourcesOf({ autoglmNode: autoglmNode({ status: { ...status, conditions } }) });
    expect(planNode(factsOf(settled)).actions).toEqual([]);
    const counted = { reservedBytes: 3 * GI, sinceLastWriteMs: 300 };
    expect(planNode(factsOf(settled, counted))).toMatchObject({ actions: [], recheckMs: 700 });
    expect(
      planNode(factsOf({ ...settled, silentForMs: 20_000 }, { sinceLastWriteMs: 300 })).actions,
    ).toHaveLength(1);
  });
});

const anySources = fc
  .record({
    silentForMs: fc.constantFrom(undefined, 0, 20_000, 400_000),
    heard: fc.boolean(),
    draining: fc.boolean(),
    label: fc.constantFrom(undefined, "4Gi", "nonsense"),
    memory: fc.constantFrom(undefined, "0", "8000"),
    isKubernetes: fc.boolean(),
    revokedBefore: fc.constantFrom(undefined, "2026-06-01T00:00:00Z"),
    models: fc.uniqueArray(fc.constantFrom("a", "b", "c")),
  })
  .map(({ silentForMs, heard, draining, label, memory, isKubernetes, revokedBefore, models }) => {
    const labels = {
      ...(label === undefined ? {} : { "autoglm.io/tier": label }),
      ...(memory === undefined ? {} : { "nvidia.com/gpu.memory": memory }),
    };
    const held = models.map((model) => ({
      model,
      variant: "v",
      state: "Ready" as const,
      downloadedBytes: 1,
      sizeBytes: 1,
    }));
    return sourcesOf({
      silentForMs: heard ? (silentForMs ?? 0) : undefined,
      heartbeat: heard ? beat({ draining, models: held }) : undefined,
      autoglmNode: autoglmNode({
        metadata: { name: "n", uid: "n", generation: 1, labels },
        spec: revokedBefore === undefined ? {} : { revokedBefore },
      }),
      ...(isKubernetes ? { kubeNode: kubeNode() } : {}),
    });
  });

describe("every plan for a node", () => {
  it("is a fixpoint, has few actions, a reason for each, and a status that the schema takes", () => {
    fc.assert(
      fc.property(anySources, (sources) => {
        const plan = planNode(factsOf(sources));
        expect(plan.actions.length).toBeLessThanOrEqual(2);
        for (const { because } of plan.actions) expect(because).not.toBe("");
        const draft = statusOf(plan);
        const conditions = draft.conditions.map((one) => ({
          ...one,
          lastTransitionTime: "2026-01-01T00:00:00Z",
        }));
        const enrolment = sources.autoglmNode?.status ?? {};
        const status = JSON.parse(
          JSON.stringify({ ...draft, ...enrolment, conditions, observedGeneration: 1 }),
        ) as NonNullable<AutoGLMNode["status"]>;
        expect(nodeStatusSchema.safeParse({ ...status, publicKey: "U" }).error).toBeUndefined();
        const applied = { ...sources, autoglmNode: { ...autoglmNode(sources.autoglmNode), status } };
        expect(planNode(factsOf(applied, { isRevocationDone: true })).actions).toEqual([]);
      }),
    );
  });

  it("does not depend on the order of lists", () => {
    fc.assert(
      fc.property(anySources, (sources) => {
        const { heartbeat } = sources;
        const turned = heartbeat && {
          ...heartbeat,
          heartbeat: { ...heartbeat.heartbeat, models: heartbeat.heartbeat.models.toReversed() },
        };
        expect(planNode(factsOf({ ...sources, heartbeat: turned }))).toEqual(planNode(factsOf(sources)));
      }),
    );
  });
});
