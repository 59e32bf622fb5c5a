import { modelStatusSchema, type AutoGLMModel, type ModelReport } from "@autoglm/api";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import type { NodeHeartbeat } from "../../dispatch/heartbeats.ts";
import { planModel, type ModelFacts } from "./plan.ts";

const model: AutoGLMModel = {
  apiVersion: "autoglm.io/v1alpha1",
  kind: "AutoGLMModel",
  metadata: { name: "m", uid: "m", generation: 3 },
  spec: { taskTypes: ["text-classification"], preference: 0, variants: [] },
};

function beat(nodeName: string, models: readonly ModelReport[]): NodeHeartbeat {
  return {
    receivedAtMs: 0,
    receivedAt: "2026-01-01T00:00:00Z",
    usedByOthersBytes: 0,
    usedByUsBytes: 0,
    heartbeat: {
      v: 1,
      node: nodeName,
      nodeName,
      agentVersion: "1",
      stateId: "s",
      startedAt: "2026-01-01T00:00:00Z",
      sentAt: "2026-01-01T00:00:00Z",
      memory: { kind: "ram", totalBytes: 1, usedByOthersBytes: 0, usedByUsBytes: 0 },
      document: { generation: 0, revision: 1 },
      outbox: { chunks: 0, bytes: 0, limitBytes: 1, full: false },
      models: [...models],
      assignments: [],
      draining: false,
    },
  };
}

const report = (change: Partial<ModelReport> = {}): ModelReport => ({
  model: "m",
  variant: "v",
  state: "Ready",
  downloadedBytes: 10,
  sizeBytes: 10,
  ...change,
});
const factsOf = (change: Partial<ModelFacts> = {}): ModelFacts => ({
  model,
  heartbeats: [],
  nodes: ["a", "b", "c"],
  sinceLastWriteMs: Infinity,
  statusIntervalMs: 1000,
  ...change,
});
const statusOf = (facts: ModelFacts) => planModel(facts).actions[0]?.status;

describe("planModel", () => {
  it("says which nodes have it and how far the others are", () => {
    const downloading = report({ state: "Downloading", downloadedBytes: 4, etaSeconds: 9 });
    const heartbeats = [
      beat("b", [downloading]),
      beat("a", [report({ state: "Loaded", memoryBytes: 5, itemMs: 1.26 })]),
    ];
    expect(statusOf(factsOf({ heartbeats }))).toEqual({
      nodesReady: 1,
      nodes: [
        { node: "a", variant: "v", state: "Loaded", measuredMemory: "16Mi", itemMs: 1 },
        { node: "b", variant: "v", state: "Downloading", percent: 40, etaSeconds: 9 },
      ],
      conditions: [{ type: "Ready", status: "True", reason: "Ready", message: "" }],
    });
  });

  it("keeps what a node said that was not heard since the start, and drops nodes that are no more", () => {
    const status = {
      nodes: [
        { node: "a", variant: "v", state: "Ready" as const },
        { node: "gone", variant: "v", state: "Ready" as const },
      ],
    };
    expect(statusOf(factsOf({ model: { ...model, status } }))).toMatchObject({
      nodesReady: 1,
      nodes: [{ node: "a" }],
    });
    expect(statusOf(factsOf({ model: { ...model, status }, heartbeats: [beat("a", [])] }))).toMatchObject({
      nodes: [],
    });
  });

  it("says what went wrong where no node has it", () => {
    const error = { code: "ModelDigestMismatch", message: "sha256 differs" };
    const heartbeats = [beat("a", [report({ state: "Failed", error })])];
    expect(statusOf(factsOf({ heartbeats }))?.conditions).toMatchObject([
      { status: "False", reason: "ModelUnavailable", message: "node a: sha256 differs" },
    ]);
    expect(statusOf(factsOf())?.conditions).toMatchObject([{ status: "False", reason: "OnNoNode" }]);
  });
});

const anyReport = fc.record({
  state: fc.constantFrom("Downloading" as const, "Ready" as const, "Loaded" as const, "Failed" as const),
  downloadedBytes: fc.nat(10),
  memoryBytes: fc.option(fc.nat(1e9), { nil: undefined }),
  itemMs: fc.option(fc.double({ min: 0, max: 1e4, noNaN: true }), { nil: undefined }),
});
const anyFacts = fc
  .uniqueArray(fc.tuple(fc.constantFrom("a", "b", "c"), anyReport), { selector: ([name]) => name })
  .map((nodes) =>
    factsOf({
      heartbeats: nodes.map(([name, change]) =>
        beat(name, [report(JSON.parse(JSON.stringify(change)) as Partial<ModelReport>)]),
      ),
    }),
  );

describe("every plan for a model", () => {
  it("is a fixpoint, has one action with a reason, and a status that the schema takes", () => {
    fc.assert(
      fc.property(anyFacts, (facts) => {
        const { actions } = planModel(facts);
        expect(actions).toHaveLength(1);
        expect(actions[0]?.because).not.toBe("");
        const conditions = (actions[0]?.status.conditions ?? []).map((one) => ({
          ...one,
          lastTransitionTime: "2026-01-01T00:00:00Z",
        }));
        const status = modelStatusSchema.parse({ ...actions[0]?.status, conditions, observedGeneration: 3 });
        expect(planModel({ ...facts, model: { ...model, status } }).actions).toEqual([]);
      }),
    );
  });

  it("does not depend on the order of lists", () => {
    fc.assert(
      fc.property(anyFacts, (facts) => {
        const turned = {
          ...facts,
          heartbeats: facts.heartbeats.toReversed(),
          nodes: facts.nodes.toReversed(),
        };
        expect(planModel(turned)).toEqual(planModel(facts));
      }),
    );
  });
});
