/** What to say about one model: which nodes have it, how far the others are. Pure. */
import type { AutoGLMModel, ModelStatus } from "@autoglm/api";
import { exactQuantity } from "@autoglm/core";
import type { ConditionDraft } from "@autoglm/kube";
import type { NodeHeartbeat } from "../../dispatch/heartbeats.ts";
import type { StatusDraftOf } from "../../store/object-store.ts";
import { saidConditions, stableText, writeTime } from "../stable-text.ts";

export interface ModelFacts {
  readonly model: AutoGLMModel;
  /** The last of every node that was heard since this process started. */
  readonly heartbeats: readonly NodeHeartbeat[];
  /** Names of the nodes that exist: what others held before counts no more. */
  readonly nodes: readonly string[];
  readonly sinceLastWriteMs: number;
  readonly statusIntervalMs: number;
}

export interface ModelAction {
  readonly kind: "writeStatus";
  readonly status: StatusDraftOf<"AutoGLMModel">;
  readonly because: string;
}

export interface ModelPlan {
  readonly actions: readonly ModelAction[];
  readonly recheckMs?: number | undefined;
}

type ModelOnNode = NonNullable<ModelStatus["nodes"]>[number];

const MAX_NODES = 256;
const MEMORY_STEP_BYTES = 16 * 2 ** 20;

export function planModel(facts: ModelFacts): ModelPlan {
  const { model } = facts;
  if (model.metadata.deletionTimestamp !== undefined) return { actions: [] };
  const holders = holdersOf(facts);
  const nodesReady = new Set(
    holders.filter(({ state }) => state === "Ready" || state === "Loaded").map(({ node }) => node),
  ).size;
  const status = {
    nodesReady,
    nodes: holders.slice(0, MAX_NODES),
    conditions: conditionsOf(nodesReady, holders),
  };
  const write = writeOf(facts, status);
  if (write === undefined) return { actions: [] };
  if (write !== "now") return { actions: [], recheckMs: write };
  return { actions: [{ kind: "writeStatus", status, because: `${nodesReady} nodes have it` }] };
}

/** By node and variant. A node that was not heard yet keeps what was said of it. */
function holdersOf({ model, heartbeats, nodes }: ModelFacts): readonly ModelOnNode[] {
  const { name } = model.metadata;
  const heard = new Set(heartbeats.map(({ heartbeat }) => heartbeat.nodeName));
  const exists = new Set(nodes);
  const kept = (model.status?.nodes ?? []).filter(({ node }) => exists.has(node) && !heard.has(node));
  const reported = heartbeats.flatMap(({ heartbeat }) =>
    heartbeat.models
      .filter((report) => report.model === name)
      .map((report): ModelOnNode => {
        const { variant, state, sizeBytes, downloadedBytes, etaSeconds, memoryBytes, itemMs, error } = report;
        const percent =
          sizeBytes === 0 ? 100 : Math.min(100, Math.floor((downloadedBytes / sizeBytes) * 100));
        const steps = Math.ceil((memoryBytes ?? 0) / MEMORY_STEP_BYTES);
        return {
          node: heartbeat.nodeName,
          variant,
          state,
          ...(state === "Downloading" ? { percent } : {}),
          ...(state === "Downloading" && etaSeconds !== undefined ? { etaSeconds } : {}),
          ...(steps > 0 ? { measuredMemory: exactQuantity(steps * MEMORY_STEP_BYTES) } : {}),
          ...(itemMs === undefined ? {} : { itemMs: Number(itemMs.toPrecision(1)) }),
          ...(error === undefined ? {} : { message: error.message.slice(0, 512) }),
        };
      }),
  );
  const key = (holder: ModelOnNode) => `${holder.node}/${holder.variant}`;
  return [...kept, ...reported].sort((a, b) => (key(a) < key(b) ? -1 : 1));
}

function conditionsOf(nodesReady: number, holders: readonly ModelOnNode[]): ConditionDraft[] {
  if (nodesReady > 0) return [{ type: "Ready", status: "True", reason: "Ready", message: "" }];
  const failed = holders.find(({ state }) => state === "Failed");
  const downloading = holders.filter(({ state }) => state === "Downloading").length;
  const [reason, message] =
    downloading > 0
      ? ["Downloading", `${downloading} nodes are getting it`]
      : failed === undefined
        ? ["OnNoNode", "no node has it; the first task that uses it brings it there"]
        : ["ModelUnavailable", `node ${failed.node}: ${failed.message ?? "failed"}`];
  return [{ type: "Ready", status: "False", reason, message }];
}

function writeOf(facts: ModelFacts, status: StatusDraftOf<"AutoGLMModel">): "now" | number | undefined {
  const { model, sinceLastWriteMs, statusIntervalMs } = facts;
  const { observedGeneration, ...before } = model.status ?? {};
  const all = (fields: object, conditions: ReturnType<typeof saidConditions>, generation: unknown) =>
    stableText({ ...fields, conditions, generation });
  const states = (nodes: readonly ModelOnNode[] = []) =>
    nodes.map(({ node, variant, state }) => ({ node, variant, state }));
  return writeTime({
    isChanged:
      all(before, saidConditions(before.conditions), observedGeneration) !==
      all(status, saidConditions(status.conditions), model.metadata.generation),
    isEssenceChanged:
      stableText([states(before.nodes), saidConditions(before.conditions)]) !==
      stableText([states(status.nodes), saidConditions(status.conditions)]),
    sinceLastWriteMs,
    intervalMs: statusIntervalMs,
  });
}
