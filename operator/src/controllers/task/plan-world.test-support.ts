/** A small world in which task plans are applied perfectly: for the laws of the plan, and for its tables. */
import {
  assertNever,
  taskSpecSchema,
  type AutoGLMTask,
  type Ledger,
  type ModelVariant,
  type TaskSpecInput,
  type TaskStatus,
} from "@autoglm/api";
import type { NodeView, Placed } from "@autoglm/core";
import type { Offer } from "../board.ts";
import type { PlacedNodeView, TaskFacts, TaskPlan, TaskStatusDraft } from "./facts.ts";
import type { Resolved } from "./resolution.ts";

export const START_MS = Date.parse("2026-01-01T00:00:00Z");
const variant: ModelVariant = {
  name: "int8",
  runtime: "onnx",
  precision: "int8",
  memory: "1Gi",
  contextLength: 128,
  files: [{ path: "model.onnx", sha256: "0".repeat(64), sizeBytes: 1 }],
};

export const resolved: Resolved = {
  isResolved: true,
  type: "text-classification",
  typeSource: "Spec",
  model: {
    apiVersion: "autoglm.io/v1alpha1",
    kind: "AutoGLMModel",
    metadata: { name: "m", uid: "m", generation: 1 },
    spec: { taskTypes: ["text-classification"], preference: 0, variants: [variant] },
  },
  tier: "4Gi",
  candidates: [{ variant, bytes: 2 ** 30 }],
};

export function taskWith(spec: Partial<TaskSpecInput> = {}, change: Partial<AutoGLMTask> = {}): AutoGLMTask {
  return {
    apiVersion: "autoglm.io/v1alpha1",
    kind: "AutoGLMTask",
    metadata: {
      name: "x",
      namespace: "default",
      uid: "u",
      generation: 1,
      creationTimestamp: new Date(START_MS).toISOString(),
    },
    spec: taskSpecSchema.parse({ type: "text-classification", input: { inline: ["a", "b"] }, ...spec }),
    ...change,
  };
}

export function factsOf(change: Partial<TaskFacts> = {}): TaskFacts {
  return {
    nowMs: START_MS,
    task: taskWith(),
    resolution: resolved,
    isPrepared: false,
    specDigest: "digest",
    holdsMemory: false,
    highestEpoch: 0,
    sinceLastWriteMs: Infinity,
    progressIntervalMs: 1000,
    ...change,
  };
}

export function offerOn(name: string): Placed {
  const node: NodeView = {
    name,
    labels: {},
    taints: [],
    location: "edge",
    tier: "4Gi",
    isReady: true,
    capacityBytes: 4 * 2 ** 30,
    freeBytes: 4 * 2 ** 30,
    heldVariants: new Set(),
    endpointKeys: new Set(),
    assignments: 0,
  };
  return { isPlaced: true, node, candidate: { variant, bytes: 2 ** 30 }, because: "the only node that fits" };
}

export const noOffer: Offer = {
  isPlaced: false,
  reason: "InsufficientMemory",
  nodeReason: "InsufficientMemory",
  counts: { InsufficientMemory: 2 },
  message: "2/2 InsufficientMemory",
  hint: "wait",
  queuePosition: 1,
};

export function ledgerOf(change: Partial<Ledger> = {}): Ledger {
  return {
    v: 1,
    task: "u",
    run: 0,
    revision: 1,
    accepted: 0,
    failed: 0,
    complete: false,
    duplicatesDropped: 0,
    acceptedItems: [],
    assignments: [],
    sample: [],
    storeFull: false,
    ...change,
  };
}

export const connected = (name: string): PlacedNodeView => ({
  name,
  link: "Connected",
  isGone: false,
  stateId: "state",
  publicKey: "key",
});

/** The facts after everything that the plan says was done at once. */
export function applyPerfectly(facts: TaskFacts, plan: TaskPlan): TaskFacts {
  let next: TaskFacts = facts;
  for (const action of plan.actions) next = applyOne(next, action);
  return next;
}

function applyOne(facts: TaskFacts, action: TaskPlan["actions"][number]): TaskFacts {
  const { task } = facts;
  switch (action.kind) {
    case "addFinalizer":
      return withMetadata(facts, { finalizers: ["autoglm.io/results"] });
    case "removeFinalizer":
      return withMetadata(facts, { finalizers: [] });
    case "prepare":
      return { ...facts, isPrepared: true };
    case "writeStatus":
      return afterWrite(facts, {
        ...action.status,
        observedGeneration: task.metadata.generation,
        conditions: action.status.conditions.map((one) => ({
          ...one,
          lastTransitionTime: new Date(facts.nowMs).toISOString(),
        })),
      });
    case "activate":
      return {
        ...facts,
        highestEpoch: Math.max(facts.highestEpoch, action.key.epoch),
        held: {
          state: "active",
          nodeKey: facts.node?.publicKey,
          stateId: facts.node?.stateId,
          spec: facts.held?.spec ?? facts.specDigest ?? "",
          priority: action.priority,
          acceptedBefore: 0,
          acceptedThrough: -1,
        },
      };
    case "retire":
      return facts.held === undefined ? facts : { ...facts, held: { ...facts.held, state: "retiring" } };
    case "park":
      return facts.held === undefined ? facts : { ...facts, held: { ...facts.held, state: "parked" } };
    case "withdraw":
      return { ...facts, held: undefined, isPrepared: false };
    case "release":
      return { ...facts, holdsMemory: false };
    case "forget":
      return { ...facts, held: undefined };
    case "delete":
      return withMetadata(facts, { deletionTimestamp: new Date(facts.nowMs).toISOString() });
    default:
      return assertNever(action);
  }
}

/** What the status names is what the next look is about: another epoch has no report and no assignment yet. */
function afterWrite(facts: TaskFacts, status: TaskStatus): TaskFacts {
  const before = facts.task.status;
  const [old, now] = [before?.placements?.[0], status.placements?.[0]];
  const isRunNew = (before?.run ?? 0) !== (status.run ?? 0);
  const isSame = old?.epoch === now?.epoch && !isRunNew;
  const isMoved = now !== undefined && (old?.node !== now.node || !isSame);
  // The board offers only nodes that it hears.
  const staysAsItWas =
    facts.offer?.isPlaced !== true && facts.node?.name === now?.node && facts.node?.isGone === false;
  return {
    ...facts,
    task: { ...facts.task, status },
    offer: undefined,
    highestEpoch: isRunNew ? 0 : facts.highestEpoch,
    ...(isSame ? {} : { report: undefined, held: now === undefined ? facts.held : undefined }),
    ...(isMoved
      ? {
          holdsMemory: true,
          node: staysAsItWas ? facts.node : connected(now.node),
        }
      : {}),
    ...(now === undefined ? { node: undefined } : {}),
    ...(isRunNew ? { ledger: undefined } : {}),
  };
}

function withMetadata(facts: TaskFacts, change: Partial<AutoGLMTask["metadata"]>): TaskFacts {
  const { task } = facts;
  return { ...facts, task: { ...task, metadata: { ...task.metadata, ...change } } };
}

export const kinds = (plan: TaskPlan) => plan.actions.map(({ kind }) => kind);
export const written = (plan: TaskPlan): TaskStatusDraft => {
  const action = plan.actions.find(({ kind }) => kind === "writeStatus");
  if (action?.kind !== "writeStatus") throw new Error(`no status was written: ${kinds(plan).join()}`);
  return action.status;
};
export const later = (facts: TaskFacts, change: Partial<TaskFacts>): TaskFacts => ({ ...facts, ...change });
