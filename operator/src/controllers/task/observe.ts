/** Gathers every fact about one task into one value, and asks the board for a place where the task wants one. */
import {
  parseQuantityBytes,
  type AutoGLMModel,
  type AutoGLMTask,
  type PlacementStatus,
  type TaskType,
} from "@autoglm/api";
import { countItems, type PlacementRequest } from "@autoglm/core";
import { buildWork, type Work } from "../../dispatch/work-spec.ts";
import { keyOfObject } from "../../store/object-store.ts";
import { describeNodeNamed, heldEndpointKeys, type ControllerContext } from "../context.ts";
import type { PlacedNodeView, TaskFacts } from "./facts.ts";
import type { Resolved } from "./resolution.ts";
import { resolveDeepModel } from "./resolve-model.ts";
import { resolvePrompts } from "./resolve-prompt.ts";
import {
  languageOfInput,
  pickDocument,
  resolveTask,
  type InputDocument,
  type ResolveFacts,
} from "./resolve.ts";
import { isBoundToNode, keyOfPlacement, stageOf, type Stage } from "./stage.ts";

export interface TaskObservation {
  readonly facts: TaskFacts;
  readonly document: InputDocument;
}

/** Undefined when there is no such task. */
export async function observeTask(
  context: ControllerContext,
  key: string,
): Promise<TaskObservation | undefined> {
  const { store, board } = context;
  const task = store.get("AutoGLMTask", key);
  if (task === undefined) return undefined;
  const document = await readDocument(context, task);
  // From here on nothing waits: what is decided is decided on one moment.
  const observed = store.get("AutoGLMTask", key);
  if (observed === undefined) return undefined;
  const facts = factsOf(context, observed, document);
  const stage = stageOf(facts);
  if (stage.kind !== "seeking") board.stopSeeking(key);
  // Time alone may have made its node unfit, and then the board must know before it offers that very node.
  if (stage.kind === "seeking" && stage.from !== undefined) board.markStale();
  settleReservation(context, observed);
  const offer =
    stage.kind === "seeking" && facts.resolution.isResolved
      ? board.offer({
          key,
          priority: observed.spec.priority,
          createdAt: observed.metadata.creationTimestamp ?? "",
          request: requestOf(facts, facts.resolution, stage),
        })
      : undefined;
  return { document, facts: { ...facts, offer, holdsMemory: board.holds(key) } };
}

/** The ConfigMap is read only where something is to be made of it: not on every count of a running task. */
async function readDocument(context: ControllerContext, task: AutoGLMTask): Promise<InputDocument> {
  const { name, key } = task.spec.input.configMapRef ?? {};
  if (name === undefined) return { state: "none" };
  const quick = factsOf(context, task, { state: "none" });
  const stage = stageOf({ ...quick, resolution: { isResolved: true } });
  const isUnderWay = quick.held?.state === "active" && quick.isPrepared && stage.kind === "placed";
  const isSettled = stage.kind === "complete" || stage.kind === "completing" || stage.kind === "suspended";
  if (isUnderWay || isSettled || (stage.kind === "betweenRuns" && stage.dueInMs > 1))
    return { state: "none" };
  return pickDocument(await context.store.readConfigMap(task.metadata.namespace ?? "", name), key);
}

function factsOf(context: ControllerContext, task: AutoGLMTask, document: InputDocument): TaskFacts {
  const { store, assignments, heartbeats, ledgers, writes, settings } = context;
  const { uid } = task.metadata;
  const run = task.status?.run ?? 0;
  const placement = task.status?.placements?.[0];
  const entries = assignments.entriesOf(uid).filter((entry) => entry.run === run);
  const held = placement === undefined ? entries[0] : assignments.get(keyOfPlacement({ task }, placement));
  const work = placement === undefined ? undefined : currentWork(context, task, document);
  const nodeId = placement && store.get("AutoGLMNode", placement.node)?.status?.nodeId;
  const report =
    placement &&
    heartbeats
      .get(placement.node)
      ?.heartbeat.assignments.find(
        (one) =>
          one.task === uid &&
          one.run === run &&
          one.epoch === placement.epoch &&
          one.shard === placement.shard,
      );
  return {
    nowMs: context.nowMs(),
    task,
    resolution: resolveTask(resolveFactsOf(context, task, document)),
    ledger: ledgers.get(uid, run),
    node: placement && observePlacedNode(context, placement.node),
    report,
    held: held && {
      state: held.state,
      nodeKey: held.nodeKey,
      stateId: held.stateId,
      spec: held.spec,
      priority: held.priority,
      acceptedBefore: countItems(held.acceptedItems),
      acceptedThrough: held.acceptedThrough,
    },
    isPrepared: nodeId !== undefined && held !== undefined && assignments.isPrepared(nodeId, held.spec),
    specDigest: work?.spec.digest,
    holdsMemory: false,
    highestEpoch: assignments.highestEpoch(uid, run),
    sinceLastWriteMs: writes.sinceMs(`AutoGLMTask/${keyOfObject(task)}`),
    progressIntervalMs: settings.statusIntervalMs,
  };
}

function observePlacedNode(context: ControllerContext, name: string): PlacedNodeView | undefined {
  const node = context.store.get("AutoGLMNode", name);
  if (node === undefined) return undefined;
  const { liveness, isGone } = describeNodeNamed(context, name);
  const heartbeat = context.heartbeats.get(name);
  return {
    name,
    link: liveness.link,
    isGone,
    lastSeen: heartbeat?.receivedAt ?? node.status?.lastSeen,
    recheckMs: liveness.recheckMs,
    stateId: heartbeat?.heartbeat.stateId,
    publicKey: node.status?.publicKey,
  };
}

/** A placement that still counts: work that is done, has failed or is suspended holds no memory. */
export function settleReservation({ board }: ControllerContext, task: AutoGLMTask): void {
  const placement = task.status?.placements?.[0];
  if (placement === undefined || !holdsMemory(task, placement)) return;
  board.settle(keyOfObject(task), placement.node, parseQuantityBytes(placement.reservedMemory));
}

function holdsMemory(task: AutoGLMTask, { phase }: PlacementStatus): boolean {
  const { reason } = task.status ?? {};
  return (
    phase !== "Failed" && reason !== "Completed" && reason !== "WaitingForNextRun" && reason !== "Suspended"
  );
}

function requestOf(
  facts: TaskFacts,
  resolved: Resolved,
  stage: Extract<Stage, { kind: "seeking" }>,
): PlacementRequest {
  const { metadata, spec } = facts.task;
  return {
    namespace: metadata.namespace ?? "default",
    name: metadata.name,
    model: resolved.model.metadata.name,
    tier: resolved.tier,
    candidates: resolved.candidates,
    placement: spec.placement,
    boundTo: isBoundToNode(facts) ? stage.from?.node : undefined,
    avoid: stage.isRetry ? stage.from?.node : undefined,
  };
}

function resolveFactsOf(
  context: ControllerContext,
  task: AutoGLMTask,
  document: InputDocument,
): ResolveFacts {
  const { store, library } = context;
  const own = store
    .list("AutoGLMPrompt")
    .filter(({ metadata }) => (metadata.namespace ?? "default") === (task.metadata.namespace ?? "default"))
    .map(({ metadata, spec }) => ({ name: metadata.name, spec }));
  const names = new Set(own.map(({ name }) => name));
  return {
    task,
    document,
    models: store.list("AutoGLMModel"),
    prompts: [...own, ...library.filter(({ name }) => !names.has(name))],
    heldKeys: heldEndpointKeys(context),
  };
}

/** The work as it would be given out now for the variant in use; undefined where its parts are not at hand. */
export function currentWork(
  context: ControllerContext,
  task: AutoGLMTask,
  document: InputDocument,
  chosen: {
    readonly type?: TaskType | undefined;
    readonly model?: string | undefined;
    readonly variant?: string | undefined;
    readonly standInFor?: string | undefined;
  } = task.status ?? {},
): Work | undefined {
  const { type, model: modelName = "", variant: variantName, standInFor } = chosen;
  const model: AutoGLMModel | undefined = context.store.get("AutoGLMModel", modelName);
  const variant = model?.spec.variants.find(({ name }) => name === variantName);
  const needsDocument = task.spec.input.configMapRef !== undefined;
  if (type === undefined || model === undefined || variant === undefined) return undefined;
  if (needsDocument && document.state !== "present") return undefined;
  const facts = resolveFactsOf(context, task, document);
  const { gating } = task.spec;
  const deep = gating === undefined ? undefined : resolveDeepModel(facts, gating.model, type);
  if (deep !== undefined && "isResolved" in deep) return undefined;
  const prompts = resolvePrompts(facts, {
    type,
    language: languageOfInput(facts),
    model,
    deep: deep?.model,
  });
  if ("isResolved" in prompts) return undefined;
  return buildWork({
    task,
    type,
    model,
    variant,
    standInFor,
    prompts: prompts.prompts,
    deep,
    document: document.state === "present" ? document.text : undefined,
    modelServerUrl: context.settings.modelServerUrl,
  });
}
