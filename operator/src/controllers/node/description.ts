/** What is known about one node, brought together: its tier, its side, its memory, whether work may be placed on it. Pure. */
import { ANNOTATION_OPENYURT_AUTONOMY, type AutoGLMNode } from "@autoglm/api";
import {
  capacityBytes,
  gfdMemoryMib,
  judgeLiveness,
  parseGoDurationMs,
  recogniseNode,
  resolveTier,
  type Labels,
  type Liveness,
  type NodeRecognition,
  type TierVerdict,
} from "@autoglm/core";
import type { Node } from "@autoglm/kube";
import type { NodeHeartbeat } from "../../dispatch/heartbeats.ts";
import type { NodeDraft } from "../board.ts";

export interface NodeSources {
  readonly name: string;
  readonly kubeNode?: Node | undefined;
  readonly autoglmNode?: AutoGLMNode | undefined;
  readonly heartbeat?: NodeHeartbeat | undefined;
  readonly silentForMs?: number | undefined;
  readonly listeningForMs: number;
  readonly poolTypes: Readonly<Record<string, string>>;
  readonly heartbeatTimeoutMs: number;
  readonly patienceMs: number;
}

export interface NodeDescription extends NodeDraft {
  readonly verdict: TierVerdict;
  readonly recognition: NodeRecognition;
  readonly liveness: Liveness;
  readonly isRevoked: boolean;
  /** Its work is to go elsewhere. */
  readonly isGone: boolean;
  readonly isCapacityKnown: boolean;
}

/** Taints about the kubelet's state: whether the agent can be reached is what its heartbeats say. */
const KUBELET_TAINTS = /^node\.kubernetes\.io\//;

export function describeNode(sources: NodeSources): NodeDescription {
  const { name, kubeNode, autoglmNode, heartbeat } = sources;
  const beat = heartbeat?.heartbeat;
  const labels: Labels = { ...kubeNode?.metadata.labels, ...autoglmNode?.metadata.labels };
  const verdict = resolveTier({ labels, probedTier: beat?.probedTier });
  const recognition = recogniseNode({
    labels,
    isKubernetesNode: kubeNode !== undefined,
    declaredLocation: beat?.location,
    declaredPool: beat?.pool,
    poolTypes: sources.poolTypes,
  });
  const annotations = { ...kubeNode?.metadata.annotations, ...autoglmNode?.metadata.annotations };
  const autonomy = annotations[ANNOTATION_OPENYURT_AUTONOMY];
  const liveness = judgeLiveness({
    silentForMs: sources.silentForMs,
    listeningForMs: sources.listeningForMs,
    previousLink: autoglmNode?.status?.link,
    heartbeatTimeoutMs: sources.heartbeatTimeoutMs,
    patienceMs: sources.patienceMs,
    autonomyMs: autonomy === undefined ? undefined : parseGoDurationMs(autonomy),
  });
  const capacity = capacityOf(labels, heartbeat);
  const isRevoked = wasRevoked(autoglmNode);
  const notReadyBecause = obstacleOf(sources, { liveness, isRevoked, capacity });
  return {
    name,
    labels,
    taints: (kubeNode?.spec?.taints ?? []).filter(({ key }) => !KUBELET_TAINTS.test(key)),
    location: recognition.location,
    pool: recognition.pool,
    tier: verdict.tier,
    isReady: notReadyBecause === undefined,
    notReadyBecause,
    capacityBytes: capacity ?? 0,
    heldVariants: heldVariants(heartbeat),
    endpointKeys: new Set(heartbeat?.heartbeat.endpointKeys),
    verdict,
    recognition,
    liveness,
    isRevoked,
    isGone: liveness.isGone || isRevoked || autoglmNode === undefined,
    isCapacityKnown: capacity !== undefined,
  };
}

/** The part that placement decides on. */
export function draftOf(description: NodeDescription): NodeDraft {
  const {
    verdict: _,
    recognition: _r,
    liveness: _l,
    isRevoked: _v,
    isGone: _g,
    isCapacityKnown: _c,
    ...draft
  } = description;
  return draft;
}

/** Credentials from before `revokedBefore` are refused; a key that was signed later is a new start. */
export function wasRevoked(node: AutoGLMNode | undefined): boolean {
  const revokedBefore = node?.spec.revokedBefore;
  if (revokedBefore === undefined) return false;
  return Date.parse(node?.status?.enrolledAt ?? "1970-01-01T00:00:00Z") <= Date.parse(revokedBefore);
}

function capacityOf(labels: Labels, heartbeat: NodeHeartbeat | undefined): number | undefined {
  if (heartbeat === undefined) return undefined;
  const { kind, totalBytes } = heartbeat.heartbeat.memory;
  const discovered = kind === "gpu" ? gfdMemoryMib(labels) : undefined;
  const totals = [totalBytes, ...(discovered === undefined ? [] : [discovered * 2 ** 20])];
  return capacityBytes(totals, heartbeat.usedByOthersBytes);
}

function obstacleOf(
  { kubeNode, autoglmNode, heartbeat }: NodeSources,
  known: { readonly liveness: Liveness; readonly isRevoked: boolean; readonly capacity: number | undefined },
): string | undefined {
  if (autoglmNode?.status?.publicKey === undefined) return "not enrolled";
  if (autoglmNode.metadata.deletionTimestamp !== undefined) return "being deleted";
  if (known.isRevoked) return "revoked";
  if (heartbeat === undefined) return "not heard yet";
  if (known.liveness.link !== "Connected") return "no heartbeat";
  if (heartbeat.heartbeat.draining) return "draining";
  if (kubeNode?.spec?.unschedulable === true) return "cordoned";
  return known.capacity === undefined ? "memory unknown" : undefined;
}

function heldVariants(heartbeat: NodeHeartbeat | undefined): ReadonlySet<string> {
  const models = heartbeat?.heartbeat.models ?? [];
  const held = models.filter(({ state }) => state === "Ready" || state === "Loaded");
  return new Set(held.map(({ model, variant }) => `${model}/${variant}`).sort());
}
