import { NODE_REASONS, TASK_REASONS, type NodeReason } from "@autoglm/api";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { hintFor } from "./placement-hint.ts";
import { placeTask, rejectionOf, type NodeView, type PlacementRequest } from "./placement.ts";
import { scheduleQueue, type QueueEntry } from "./schedule.ts";

const GI = 2 ** 30;

function node(name: string, change: Partial<NodeView> = {}): NodeView {
  const free = change.tier === undefined ? 4 * GI : Number.parseInt(change.tier, 10) * GI;
  return {
    name,
    labels: {},
    taints: [],
    location: "edge",
    tier: "4Gi",
    isReady: true,
    capacityBytes: free,
    freeBytes: free,
    heldVariants: new Set(),
    endpointKeys: new Set(),
    assignments: 0,
    ...change,
  };
}

function request(
  change: Omit<Partial<PlacementRequest>, "placement"> & {
    readonly placement?: Partial<PlacementRequest["placement"]>;
    readonly bytes?: number;
  } = {},
): PlacementRequest {
  const { placement, bytes = GI, ...rest } = change;
  const variant = {
    name: "v",
    memory: "1Gi",
    runtime: "onnx",
    precision: "int8",
    contextLength: 1,
    files: [],
  } as const;
  return {
    namespace: "default",
    name: "x",
    model: "m",
    tier: "4Gi",
    candidates: [{ variant: { ...variant, files: [] }, bytes }],
    ...rest,
    placement: { strategy: "EdgeFirst", ...placement },
  };
}

const chosen = (wanted: PlacementRequest, nodes: readonly NodeView[]) => {
  const outcome = placeTask(wanted, nodes);
  return outcome.isPlaced ? outcome.node.name : outcome.reason;
};

describe("placeTask", () => {
  it("does not waste a large node on small work", () => {
    expect(chosen(request(), [node("a", { tier: "8Gi" }), node("b"), node("c", { tier: "6Gi" })])).toBe("b");
    expect(
      chosen(request({ tier: "6Gi" }), [node("a", { tier: "8Gi" }), node("b"), node("c", { tier: "6Gi" })]),
    ).toBe("c");
  });

  it("goes to the preferred side first and to the other when that is full", () => {
    const nodes = [node("cloud", { location: "cloud" }), node("edge", { tier: "8Gi" })];
    expect(chosen(request(), nodes)).toBe("edge");
    expect(chosen(request({ placement: { strategy: "CloudFirst" } }), nodes)).toBe("cloud");
    expect(chosen(request({ bytes: 7 * GI, placement: { strategy: "CloudFirst" } }), nodes)).toBe("edge");
    expect(chosen(request({ bytes: 7 * GI, placement: { strategy: "CloudOnly" } }), nodes)).toBe(
      "InsufficientMemory",
    );
  });

  it("prefers the tighter fit, then the node that has the model, then the less loaded, then the name", () => {
    expect(chosen(request(), [node("a"), node("b", { freeBytes: 1.2 * GI })])).toBe("b");
    expect(chosen(request(), [node("a"), node("b", { heldVariants: new Set(["m/v"]) })])).toBe("b");
    expect(chosen(request(), [node("a", { assignments: 2 }), node("b", { assignments: 1 })])).toBe("b");
    expect(chosen(request(), [node("b"), node("a")])).toBe("a");
  });

  it("takes a worse variant only where the better one fits nowhere", () => {
    const [only] = request().candidates;
    if (only === undefined) throw new Error("a request has a candidate");
    const better = { variant: { ...only.variant, name: "fp16" }, bytes: 5 * GI };
    const wanted = request({ candidates: [better, only] });
    const nodes = [node("a"), node("b", { tier: "8Gi" })];
    expect(placeTask(wanted, nodes)).toMatchObject({
      node: { name: "b" },
      candidate: { variant: { name: "fp16" } },
    });
    expect(placeTask(wanted, [node("a")])).toMatchObject({
      node: { name: "a" },
      candidate: { variant: { name: "v" } },
    });
  });

  it("avoids the node on which it failed while another fits", () => {
    expect(chosen(request({ avoid: "a" }), [node("a"), node("b", { tier: "8Gi" })])).toBe("b");
    expect(chosen(request({ avoid: "a" }), [node("a")])).toBe("a");
  });

  it.each<[NodeReason, Parameters<typeof request>[0], Partial<NodeView>]>([
    ["LocationMismatch", { placement: { strategy: "CloudOnly" as const } }, {}],
    ["PoolMismatch", { placement: { nodePools: ["p"] } }, {}],
    ["SelectorMismatch", { placement: { nodeSelector: { disk: "ssd" } } }, {}],
    ["SelectorMismatch", { boundTo: "b" }, {}],
    ["TaintNotTolerated", {}, { taints: [{ key: "gpu", effect: "NoSchedule" }] }],
    ["NodeNotReady", {}, { isReady: false }],
    ["TierUnknown", {}, { tier: undefined }],
    ["InsufficientTier", { tier: "8Gi" as const }, {}],
    ["InsufficientMemory", { bytes: 5 * GI }, {}],
  ])("keeps a node out with %s", (reason, wanted, has) => {
    const full = request(wanted);
    expect(rejectionOf(node("a", has), full, full.candidates[0] ?? { bytes: 0 })).toBe(reason);
  });

  it.each([
    [{ key: "gpu", operator: "Exists" as const }, true],
    [{ key: "gpu", operator: "Equal" as const, value: "yes" }, true],
    [{ key: "gpu", operator: "Equal" as const, value: "no" }, false],
    [{ operator: "Exists" as const }, true],
    [{ operator: "Equal" as const }, false],
    [{ key: "gpu", operator: "Exists" as const, effect: "NoExecute" as const }, false],
  ])("tolerates a taint by %j: %s", (toleration, isTolerated) => {
    const tainted = node("a", { taints: [{ key: "gpu", value: "yes", effect: "NoSchedule" }] });
    const wanted = request({ placement: { tolerations: [toleration] } });
    expect(rejectionOf(tainted, wanted, { bytes: GI })).toBe(isTolerated ? undefined : "TaintNotTolerated");
  });

  it("gives one reason, the one that lies nearest to a placement, and counts the others", () => {
    const nodes = [
      node("a", { isReady: false }),
      node("b", { taints: [{ key: "gpu", effect: "NoSchedule" }] }),
      node("c", { freeBytes: 0 }),
      node("d", { freeBytes: 0 }),
    ];
    expect(placeTask(request(), nodes)).toMatchObject({
      reason: "InsufficientMemory",
      message: "2/4 InsufficientMemory, 1/4 NodeNotReady, 1/4 TaintNotTolerated",
      counts: { InsufficientMemory: 2, NodeNotReady: 1, TaintNotTolerated: 1 },
    });
    expect(placeTask(request(), [])).toMatchObject({ reason: "NoNodes" });
  });
});

const anyNode = fc.record({
  tier: fc.constantFrom("4Gi" as const, "6Gi" as const, "8Gi" as const, undefined),
  location: fc.constantFrom("edge" as const, "cloud" as const),
  pool: fc.constantFrom("p", "q", undefined),
  isReady: fc.boolean(),
  freeBytes: fc.nat(8).map((gib) => gib * GI),
  capacityBytes: fc.constant(8 * GI),
  taints: fc.constantFrom([], [{ key: "gpu", effect: "NoSchedule" }]),
  labels: fc.constantFrom({}, { disk: "ssd" }),
});
const anyNodes = fc
  .array(anyNode, { maxLength: 6 })
  .map((drafts) => drafts.map((draft, index) => node(`n${index}`, draft)));
const anyRequest = fc
  .record({
    bytes: fc.integer({ min: 1, max: 10 }).map((gib) => gib * GI),
    tier: fc.constantFrom("4Gi" as const, "6Gi" as const, "8Gi" as const),
    placement: fc.record({
      strategy: fc.constantFrom(
        "EdgeFirst" as const,
        "CloudFirst" as const,
        "EdgeOnly" as const,
        "CloudOnly" as const,
      ),
      nodePools: fc.constantFrom<string[] | undefined>(["p"], ["r"], undefined),
      nodeSelector: fc.constantFrom<Record<string, string> | undefined>({ disk: "ssd" }, undefined),
    }),
  })
  .map(({ placement, ...rest }) =>
    request({
      ...rest,
      placement: {
        strategy: placement.strategy,
        ...(placement.nodePools === undefined ? {} : { nodePools: placement.nodePools }),
        ...(placement.nodeSelector === undefined ? {} : { nodeSelector: placement.nodeSelector }),
      },
    }),
  );

describe("every placement", () => {
  it("is on a node that nothing keeps it out of, or has one reason of the closed list, and is the same in any order", () => {
    fc.assert(
      fc.property(anyRequest, anyNodes, (wanted, nodes) => {
        const outcome = placeTask(wanted, nodes);
        expect(placeTask(wanted, nodes.toReversed())).toEqual(outcome);
        if (outcome.isPlaced) {
          expect(rejectionOf(outcome.node, wanted, outcome.candidate)).toBeUndefined();
          return;
        }
        expect(TASK_REASONS).toContain(outcome.reason);
        const counted = Object.entries(outcome.counts).reduce((sum, [, count]) => sum + count, 0);
        expect(counted).toBe(nodes.length);
        for (const reason of Object.keys(outcome.counts)) expect(NODE_REASONS).toContain(reason);
      }),
    );
  });

  it("that is refused comes with a hint, and a hint that patches the task's tier or memory places it", () => {
    fc.assert(
      fc.property(anyRequest, anyNodes, fc.boolean(), (wanted, nodes, asksMore) => {
        const placement = asksMore ? { ...wanted.placement, memory: "10Gi" } : wanted.placement;
        const full = { ...wanted, placement };
        const outcome = placeTask(full, nodes);
        if (outcome.isPlaced) return;
        const hint = hintFor({
          request: full,
          outcome,
          nodes,
          leastBytes: asksMore ? GI : (full.candidates[0]?.bytes ?? 0),
        });
        expect(hint).not.toBe("");
        const patch = /--type merge -p '(\{.*\})'/.exec(hint)?.[1];
        if (patch === undefined) return;
        const { spec } = JSON.parse(patch) as { spec: { placement: Record<string, unknown> } };
        const { tier, memory } = spec.placement;
        if (tier === undefined && memory === undefined) return;
        const bytes = memory === undefined ? (full.candidates[0]?.bytes ?? 0) : GI;
        const mended = { ...full, tier: (tier as typeof full.tier | undefined) ?? full.tier };
        const candidates = full.candidates.map((candidate) => ({ ...candidate, bytes }));
        expect(placeTask({ ...mended, candidates }, nodes).isPlaced).toBe(true);
      }),
    );
  });

  it("of a whole queue together never exceeds what any node has free", () => {
    fc.assert(
      fc.property(
        fc.array(fc.tuple(anyRequest, fc.integer({ min: -2, max: 2 })), { maxLength: 12 }),
        anyNodes,
        (wanted, nodes) => {
          const entries = wanted.map(([one, priority], index): QueueEntry => ({
            key: `t${index}`,
            priority,
            createdAt: `2026-01-0${(index % 3) + 1}T00:00:00Z`,
            request: one,
          }));
          const outcomes = scheduleQueue(entries, nodes);
          expect([...scheduleQueue(entries.toReversed(), nodes.toReversed())]).toEqual([...outcomes]);
          for (const { name, freeBytes } of nodes) {
            const given = [...outcomes.values()].filter((one) => one.isPlaced && one.node.name === name);
            const bytes = given.reduce((sum, one) => sum + (one.isPlaced ? one.candidate.bytes : 0), 0);
            expect(bytes).toBeLessThanOrEqual(freeBytes);
          }
        },
      ),
    );
  });
});

describe("hintFor", () => {
  const hint = (wanted: PlacementRequest, nodes: readonly NodeView[], leastBytes = GI) => {
    const outcome = placeTask(wanted, nodes);
    if (outcome.isPlaced) throw new Error("it was placed");
    return hintFor({ request: wanted, outcome, nodes, leastBytes });
  };
  const patch = (placement: object) =>
    `kubectl patch agt/x -n default --type merge -p '${JSON.stringify({ spec: { placement } })}'`;

  it("offers less memory where the model can do with less", () => {
    const nodes = [node("a", { tier: "8Gi", freeBytes: 7 * GI }), node("b")];
    expect(hint(request({ bytes: 40 * GI, placement: { memory: "40Gi" } }), nodes)).toBe(
      patch({ memory: "7Gi" }),
    );
  });

  it("says what has to become free where waiting will do", () => {
    expect(hint(request({ bytes: 3 * GI }), [node("a", { freeBytes: GI })])).toContain(
      "starts when 2Gi more is free",
    );
  });

  it("offers a tier that some node has", () => {
    expect(hint(request({ tier: "8Gi" }), [node("a"), node("b", { tier: "6Gi" })])).toBe(
      patch({ tier: "6Gi" }),
    );
  });

  it("offers the label, the toleration, the pool or the strategy that is missing", () => {
    expect(hint(request(), [node("a", { tier: undefined })])).toContain("autoglm.io/tier=4Gi");
    expect(hint(request(), [node("a", { taints: [{ key: "gpu", effect: "NoSchedule" }] })])).toBe(
      patch({ tolerations: [{ key: "gpu", operator: "Exists" }] }),
    );
    expect(hint(request({ placement: { nodePools: ["x"] } }), [node("a", { pool: "p" })])).toContain(
      '{"nodePools":["p"]}',
    );
    expect(hint(request({ placement: { strategy: "CloudOnly" } }), [node("a")])).toBe(
      patch({ strategy: "CloudFirst" }),
    );
    expect(hint(request({ placement: { nodeSelector: { disk: "ssd" } } }), [node("a")])).toContain(
      "disk=ssd",
    );
    expect(hint(request(), [])).toBe("enrol a node: autoglm nodes enrol NODE");
  });

  it("offers no command in which the task's text is more than a word", () => {
    for (const nodeSelector of [{ a: "$(reboot)" }, { "--server": "http://x" }, { "a;b": "" }]) {
      expect(hint(request({ placement: { nodeSelector } }), [node("a")])).toBe(patch({ nodeSelector: null }));
    }
    const tolerations = [{ key: "x", operator: "Equal" as const, value: "'; reboot; '" }];
    const tainted = node("a", { taints: [{ key: "gpu", effect: "NoSchedule" }] });
    const command = hint(request({ placement: { tolerations } }), [tainted]);
    expect(command.split("'")).toHaveLength(3);
    expect(JSON.parse(command.split("'")[1] ?? "")).toHaveProperty(
      "spec.placement.tolerations.0",
      tolerations[0],
    );
  });

  it("names the nodes that are to be brought back", () => {
    const silent = node("a", { isReady: false, notReadyBecause: "no heartbeat" });
    expect(hint(request(), [silent])).toBe("bring a node back: a (no heartbeat)");
  });
});
