/**
 * Which node takes a task. Pure: the nodes' free memory comes in, one node or one reason goes out.
 *
 *     nodes ──filters, in the order of NODE_REASONS──▶ those that fit ──score──▶ the best
 *                     └──▶ one reason per node ──▶ counts ──▶ one dominant reason
 *
 * Score, most important first: the preferred side; the smallest tier that satisfies (an 8 GB node is not wasted on 4 GB
 * work); the least memory left over in steps of 512 MiB; the model already there; the better link; fewer
 * assignments; the name. The variants are tried best first: a worse one is taken only where the better fits nowhere.
 *
 * The dominant reason is the one that a node came furthest with: what lies nearest to a placement is what is worth
 * mending. Ties can't occur, since the filters are ordered.
 */
import {
  assertNever,
  compareTiers,
  NODE_REASONS,
  type NodeReason,
  type PlacementSpec,
  type TaskReason,
  type Tier,
  type Toleration,
} from "@autoglm/api";
import type { Location } from "./node-recognition.ts";
import type { Labels } from "./tier.ts";
import type { VariantCandidate } from "./variants.ts";

export interface Taint {
  readonly key: string;
  readonly value?: string | undefined;
  readonly effect: string;
}

/** A node to decide on. */
export interface NodeView {
  readonly name: string;
  readonly labels: Labels;
  readonly taints: readonly Taint[];
  readonly location: Location;
  readonly pool?: string | undefined;
  readonly tier?: Tier | undefined;
  /** Enrolled, heard lately, not draining, not revoked, schedulable. */
  readonly isReady: boolean;
  /** Why it isn't, for people. */
  readonly notReadyBecause?: string | undefined;
  readonly capacityBytes: number;
  readonly freeBytes: number;
  /** `model/variant` of what it holds on disk, verified. */
  readonly heldVariants: ReadonlySet<string>;
  /** Names of the keys for endpoints that it holds. */
  readonly endpointKeys: ReadonlySet<string>;
  readonly assignments: number;
}

export interface PlacementRequest {
  readonly namespace: string;
  readonly name: string;
  readonly model: string;
  readonly tier: Tier;
  /** Best first; at least one. */
  readonly candidates: readonly VariantCandidate[];
  readonly placement: PlacementSpec;
  /** Only this node, because what the task reads is there. */
  readonly boundTo?: string | undefined;
  /** Taken only if no other fits: it failed there. */
  readonly avoid?: string | undefined;
}

export interface Placed {
  readonly isPlaced: true;
  readonly node: NodeView;
  readonly candidate: VariantCandidate;
  /** Why this node, in a sentence. */
  readonly because: string;
}

export interface Unplaced {
  readonly isPlaced: false;
  readonly reason: Extract<
    TaskReason,
    | "InsufficientMemory"
    | "InsufficientTier"
    | "EndpointKeyMissing"
    | "NoNodeMatches"
    | "NodeNotReady"
    | "NoNodes"
  >;
  /** How many nodes each reason keeps out. */
  readonly counts: Readonly<Partial<Record<NodeReason, number>>>;
  /** The reason that most nodes come furthest with; absent without nodes. */
  readonly nodeReason?: NodeReason;
  /** "3/8 InsufficientMemory, 5/8 TaintNotTolerated". */
  readonly message: string;
}

export type PlacementOutcome = Placed | Unplaced;

const LEFTOVER_STEP_BYTES = 512 * 2 ** 20;

/** What a node must have for one of the candidates. */
export type Need = Pick<VariantCandidate, "bytes" | "keyNames">;

/** What every candidate needs: what keeps that out keeps all out. */
export function leastNeed({ candidates }: PlacementRequest): Need {
  const [first, ...others] = candidates.map(({ keyNames = [] }) => keyNames);
  return {
    bytes: Math.min(...candidates.map(({ bytes }) => bytes)),
    keyNames: first?.filter((name) => others.every((names) => names.includes(name))) ?? [],
  };
}

/** Why a node can't take a request with such a need; undefined when it can. */
export function rejectionOf(
  node: NodeView,
  request: PlacementRequest,
  { bytes, keyNames = [] }: Need,
): NodeReason | undefined {
  const { strategy, nodePools, nodeSelector = {}, tolerations = [] } = request.placement;
  if (strategy === "EdgeOnly" && node.location !== "edge") return "LocationMismatch";
  if (strategy === "CloudOnly" && node.location !== "cloud") return "LocationMismatch";
  if (nodePools !== undefined && nodePools.length > 0 && !nodePools.includes(node.pool ?? "")) {
    return "PoolMismatch";
  }
  if (request.boundTo !== undefined && request.boundTo !== node.name) return "SelectorMismatch";
  if (Object.entries(nodeSelector).some(([key, value]) => node.labels[key] !== value))
    return "SelectorMismatch";
  if (untoleratedTaint(node, tolerations) !== undefined) return "TaintNotTolerated";
  if (!node.isReady) return "NodeNotReady";
  if (keyNames.some((name) => !node.endpointKeys.has(name))) return "EndpointKeyMissing";
  if (node.tier === undefined) return "TierUnknown";
  if (compareTiers(node.tier, request.tier) < 0) return "InsufficientTier";
  return node.freeBytes < bytes ? "InsufficientMemory" : undefined;
}

/** The first taint that keeps the task out. PreferNoSchedule keeps nothing out. */
export function untoleratedTaint(node: NodeView, tolerations: readonly Toleration[]): Taint | undefined {
  return node.taints.find(
    (taint) => taint.effect !== "PreferNoSchedule" && !tolerations.some((one) => tolerates(one, taint)),
  );
}

function tolerates(toleration: Toleration, taint: Taint): boolean {
  if (toleration.effect !== undefined && toleration.effect !== taint.effect) return false;
  if (toleration.key === undefined || toleration.key === "") return toleration.operator === "Exists";
  if (toleration.key !== taint.key) return false;
  return toleration.operator === "Exists" || (toleration.value ?? "") === (taint.value ?? "");
}

export function placeTask(request: PlacementRequest, nodes: readonly NodeView[]): PlacementOutcome {
  for (const candidate of request.candidates) {
    const fitting = nodes.filter((node) => rejectionOf(node, request, candidate) === undefined);
    const [best] = fitting.sort((a, b) =>
      compareByScore(scoreOf(a, request, candidate), scoreOf(b, request, candidate)),
    );
    if (best !== undefined) {
      return {
        isPlaced: true,
        node: best,
        candidate,
        because: becauseOf(best, request, candidate, fitting.length),
      };
    }
  }
  return explainUnplaced(request, nodes);
}

type Score = readonly (number | string)[];

function scoreOf(node: NodeView, request: PlacementRequest, candidate: VariantCandidate): Score {
  const preferred = request.placement.strategy === "CloudFirst" ? "cloud" : "edge";
  return [
    node.name === request.avoid ? 1 : 0,
    node.location === preferred ? 0 : 1,
    node.tier === undefined ? 9 : Number.parseInt(node.tier, 10),
    Math.floor((node.freeBytes - candidate.bytes) / LEFTOVER_STEP_BYTES),
    node.heldVariants.has(`${request.model}/${candidate.variant.name}`) ? 0 : 1,
    node.assignments,
    node.name,
  ];
}

function compareByScore(a: Score, b: Score): number {
  for (const [index, left] of a.entries()) {
    const right = b[index] ?? 0;
    if (left < right) return -1;
    if (left > right) return 1;
  }
  return 0;
}

function becauseOf(
  node: NodeView,
  request: PlacementRequest,
  candidate: VariantCandidate,
  count: number,
): string {
  const held = node.heldVariants.has(`${request.model}/${candidate.variant.name}`) ? ", has the model" : "";
  const choice = count === 1 ? "the only node that fits" : `best fit of ${count} nodes`;
  return `${choice}: ${node.location}, tier ${node.tier ?? "unknown"} for ${request.tier}${held}`;
}

function explainUnplaced(request: PlacementRequest, nodes: readonly NodeView[]): Unplaced {
  const need = leastNeed(request);
  if (nodes.length === 0) {
    return { isPlaced: false, reason: "NoNodes", counts: {}, message: "no node is enrolled" };
  }
  const counts: Partial<Record<NodeReason, number>> = {};
  for (const node of nodes) {
    const reason = rejectionOf(node, request, need);
    if (reason !== undefined) counts[reason] = (counts[reason] ?? 0) + 1;
  }
  const present = NODE_REASONS.filter((reason) => counts[reason] !== undefined).toReversed();
  const nodeReason = present[0] ?? "InsufficientMemory";
  const message = present.map((reason) => `${counts[reason]}/${nodes.length} ${reason}`).join(", ");
  return { isPlaced: false, reason: taskReasonOf(nodeReason), counts, nodeReason, message };
}

function taskReasonOf(reason: NodeReason): Unplaced["reason"] {
  switch (reason) {
    case "InsufficientMemory":
    case "NodeNotReady":
    case "InsufficientTier":
    case "EndpointKeyMissing":
      return reason;
    case "TierUnknown":
      return "InsufficientTier";
    case "LocationMismatch":
    case "PoolMismatch":
    case "SelectorMismatch":
    case "TaintNotTolerated":
      return "NoNodeMatches";
    default:
      return assertNever(reason);
  }
}
