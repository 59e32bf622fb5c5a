/**
 * What to do about one node of the fleet. Pure.
 *
 * Status is written when it changes, not on every heartbeat: amounts of memory are steadied before they come here, and
 * what only counts (reservations, models on their way) is written once per `statusIntervalMs`.
 */
import { NODE_CONDITIONS, type AutoGLMNode, type NodeStatus } from "@autoglm/api";
import { exactQuantity } from "@autoglm/core";
import type { ConditionDraft } from "@autoglm/kube";
import type { NodeHeartbeat } from "../../dispatch/heartbeats.ts";
import type { StatusDraftOf } from "../../store/object-store.ts";
import { saidConditions, stableText, writeTime } from "../stable-text.ts";
import type { NodeDescription } from "./description.ts";

export interface NodeFacts {
  readonly node?: AutoGLMNode | undefined;
  readonly isKubernetesNode: boolean;
  readonly heartbeat?: NodeHeartbeat | undefined;
  readonly description: NodeDescription;
  readonly reservedBytes: number;
  readonly assignments: number;
  /** Whether this process has told the bus of this revocation. */
  readonly isRevocationDone: boolean;
  readonly sinceLastWriteMs: number;
  readonly statusIntervalMs: number;
}

type NodeStatusDraft = StatusDraftOf<"AutoGLMNode">;

export type NodeAction =
  | { readonly kind: "create"; readonly because: string }
  | { readonly kind: "revoke"; readonly publicKey: string; readonly before: string; readonly because: string }
  | { readonly kind: "writeStatus"; readonly status: NodeStatusDraft; readonly because: string };

export interface NodePlan {
  readonly actions: readonly NodeAction[];
  readonly recheckMs?: number | undefined;
}

export function planNode(facts: NodeFacts): NodePlan {
  const { node, heartbeat, isKubernetesNode, description } = facts;
  if (node === undefined) {
    if (heartbeat === undefined || !isKubernetesNode) return { actions: [] };
    return { actions: [{ kind: "create", because: "a node of the cluster has an agent" }] };
  }
  if (node.metadata.deletionTimestamp !== undefined) return { actions: [] };
  const actions: NodeAction[] = [];
  const { revokedBefore } = node.spec;
  const publicKey = node.status?.publicKey;
  if (revokedBefore !== undefined && publicKey !== undefined && !facts.isRevocationDone) {
    actions.push({ kind: "revoke", publicKey, before: revokedBefore, because: "spec.revokedBefore is set" });
  }
  const status = statusOf(facts, node);
  const write = writeOf(facts, node, status);
  if (write === "now") actions.push({ kind: "writeStatus", status, because: `link ${status.link}` });
  const rechecks = [description.liveness.recheckMs, typeof write === "number" ? write : undefined].filter(
    (ms) => ms !== undefined,
  );
  return { actions, recheckMs: rechecks.length === 0 ? undefined : Math.max(1, Math.min(...rechecks)) };
}

function statusOf(facts: NodeFacts, node: AutoGLMNode): NodeStatusDraft {
  const { description, heartbeat } = facts;
  const previous = node.status;
  const { verdict, recognition, liveness } = description;
  const link = liveness.link;
  const isLinkChanged = link !== previous?.link;
  return {
    tier: verdict.tier ?? (heartbeat === undefined ? previous?.tier : undefined),
    tierSource: verdict.source ?? (heartbeat === undefined ? previous?.tierSource : undefined),
    tierConflicts: [...verdict.conflicts].slice(0, 8),
    location: recognition.location,
    pool: recognition.pool ?? (heartbeat === undefined ? previous?.pool : undefined),
    flavour: recognition.flavour,
    memory: memoryOf(facts, previous),
    link,
    lastSeen: isLinkChanged ? (heartbeat?.receivedAt ?? previous?.lastSeen) : previous?.lastSeen,
    agentVersion: heartbeat?.heartbeat.agentVersion ?? previous?.agentVersion,
    models: modelsOf(heartbeat) ?? previous?.models,
    assignments: facts.assignments,
    conditions: conditionsOf(description),
  };
}

function memoryOf(
  { description, heartbeat, reservedBytes }: NodeFacts,
  previous: NodeStatus | undefined,
): NodeStatus["memory"] {
  if (heartbeat === undefined || !description.isCapacityKnown) return previous?.memory;
  const { capacityBytes } = description;
  return {
    capacity: exactQuantity(capacityBytes),
    reserved: exactQuantity(reservedBytes),
    free: exactQuantity(Math.max(0, capacityBytes - reservedBytes)),
    measured: exactQuantity(heartbeat.usedByUsBytes),
    kind: heartbeat.heartbeat.memory.kind,
  };
}

function modelsOf(heartbeat: NodeHeartbeat | undefined): NodeStatus["models"] {
  return heartbeat?.heartbeat.models
    .map(({ model, variant, state }) => ({ model, variant, state }))
    .sort((a, b) => (`${a.model}/${a.variant}` < `${b.model}/${b.variant}` ? -1 : 1))
    .slice(0, 256);
}

function conditionsOf(description: NodeDescription): ConditionDraft[] {
  const { isReady, notReadyBecause = "", verdict, liveness } = description;
  const isUnknown = liveness.link === "Unknown" && !description.isRevoked;
  const states: Readonly<Record<(typeof NODE_CONDITIONS)[number], Omit<ConditionDraft, "type">>> = {
    Ready: {
      status: isReady ? "True" : isUnknown ? "Unknown" : "False",
      reason: isReady ? "Ready" : isUnknown ? "NodeUnreachable" : "NodeNotReady",
      message: notReadyBecause,
    },
    TierConflict: {
      status: verdict.conflicts.length > 0 ? "True" : "False",
      reason: verdict.conflicts.length > 0 ? "TierConflict" : "SourcesAgree",
      message: verdict.conflicts.join("; ").slice(0, 1024),
    },
  };
  return NODE_CONDITIONS.map((type) => ({ type, ...states[type] }));
}

function writeOf(facts: NodeFacts, node: AutoGLMNode, status: NodeStatusDraft): "now" | number | undefined {
  const { generation } = node.metadata;
  const {
    nodeId: _,
    publicKey: _k,
    usedTokenSha256: _t,
    enrolledAt: _e,
    observedGeneration,
    ...before
  } = node.status ?? {};
  const conditionsBefore = saidConditions(before.conditions);
  const conditions = saidConditions(status.conditions);
  return writeTime({
    isChanged:
      stableText({ ...before, conditions: conditionsBefore, generation: observedGeneration }) !==
      stableText({ ...status, conditions, generation }),
    isEssenceChanged:
      stableText({ ...before, ...COUNTED, conditions: conditionsBefore }) !==
      stableText({ ...status, ...COUNTED, conditions }),
    sinceLastWriteMs: facts.sinceLastWriteMs,
    intervalMs: facts.statusIntervalMs,
  });
}

const COUNTED = { memory: undefined, models: undefined, assignments: undefined };
