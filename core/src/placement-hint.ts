/**
 * One hint that would unblock a task that waits, as a command where one will do. A change of the task's placement is
 * offered only after the planner itself has placed the changed request on the same nodes.
 */
import {
  assertNever,
  compareTiers,
  formatQuantity,
  LABEL_TIER,
  TIERS,
  type PlacementSpec,
  type Tier,
} from "@autoglm/api";
import {
  leastNeed,
  placeTask,
  rejectionOf,
  untoleratedTaint,
  type NodeView,
  type PlacementRequest,
  type Unplaced,
} from "./placement.ts";

const LABEL = /^[A-Za-z0-9][\w./-]*=([A-Za-z0-9][\w.-]*)?$/;

export interface HintFacts {
  readonly request: PlacementRequest;
  readonly outcome: Unplaced;
  readonly nodes: readonly NodeView[];
  /** Working set of the smallest candidate: the task can't do with less. */
  readonly leastBytes: number;
}

export function hintFor(facts: HintFacts): string {
  const { request, outcome, nodes } = facts;
  switch (outcome.nodeReason) {
    case undefined:
      return "enrol a node: autoglm nodes enrol NODE";
    case "InsufficientMemory":
      return memoryHint(facts);
    case "InsufficientTier":
      return tierHint(facts);
    case "TierUnknown": {
      const node = kept(facts, "TierUnknown")[0];
      return `label the node with its tier: kubectl label autoglmnode ${node?.name ?? "NODE"} ${LABEL_TIER}=${request.tier}`;
    }
    case "NodeNotReady": {
      const names = kept(facts, "NodeNotReady").map(
        (node) => `${node.name} (${node.notReadyBecause ?? "not ready"})`,
      );
      return `bring a node back: ${names.slice(0, 5).join(", ")}`;
    }
    case "TaintNotTolerated": {
      const node = kept(facts, "TaintNotTolerated")[0];
      const taint = node && untoleratedTaint(node, request.placement.tolerations ?? []);
      const toleration = { key: taint?.key ?? "", operator: "Exists" as const };
      const tolerations = [...(request.placement.tolerations ?? []), toleration];
      return patchOf(request, { tolerations });
    }
    case "SelectorMismatch": {
      if (request.boundTo !== undefined) return `bring node ${request.boundTo} back: the input file is on it`;
      const pairs = Object.entries(request.placement.nodeSelector ?? {}).map(
        ([key, value]) => `${key}=${value}`,
      );
      // No node can have such a label, and in a command it would be an option or a command of its own.
      if (!pairs.every((pair) => LABEL.test(pair))) return patchOf(request, { nodeSelector: null });
      const node = kept(facts, "SelectorMismatch")[0];
      return `label a node: kubectl label autoglmnode ${node?.name ?? "NODE"} ${pairs.join(" ")}`;
    }
    case "PoolMismatch": {
      const pools = [...new Set(nodes.flatMap((node) => node.pool ?? []))].sort();
      return pools.length === 0
        ? patchOf(request, { nodePools: null })
        : `${patchOf(request, { nodePools: pools })} (pools there are: ${pools.join(", ")})`;
    }
    case "LocationMismatch":
      return patchOf(request, {
        strategy: request.placement.strategy === "EdgeOnly" ? "EdgeFirst" : "CloudFirst",
      });
    case "EndpointKeyMissing": {
      const names = leastNeed(request).keyNames ?? [];
      return `put the key into the file ${names[0] ?? "NAME"} in the folder of endpoint keys (AUTOGLM_ENDPOINT_KEYS_DIR) of a node, or name another model`;
    }
    default:
      return assertNever(outcome.nodeReason);
  }
}

/** What any node has. */
const ANY = { bytes: 0 };

/** Nodes that this reason keeps out, by name; no reason before InsufficientMemory depends on an amount. */
function kept({ request, nodes }: HintFacts, reason: Unplaced["nodeReason"]): readonly NodeView[] {
  return nodes
    .filter((node) => rejectionOf(node, request, ANY) === reason)
    .sort((a, b) => (a.name < b.name ? -1 : 1));
}

/** `kubectl patch` of the task's placement, ready to be pasted. */
function patchOf(
  request: PlacementRequest,
  placement: { readonly [Field in keyof PlacementSpec]?: PlacementSpec[Field] | null },
): string {
  // Tolerations are their author's text: a quote in them must not end the word that somebody else pastes.
  const patch = JSON.stringify({ spec: { placement } }).replaceAll("'", String.raw`\u0027`);
  return `kubectl patch agt/${request.name} -n ${request.namespace} --type merge -p '${patch}'`;
}

function memoryHint(facts: HintFacts): string {
  const { request, nodes, leastBytes } = facts;
  const inReach = nodes.filter((node) => rejectionOf(node, request, ANY) === undefined);
  const free = Math.max(0, ...inReach.map((node) => node.freeBytes));
  const capacity = Math.max(0, ...inReach.map((node) => node.capacityBytes));
  const asked = Math.min(...request.candidates.map((candidate) => candidate.bytes));
  if (request.placement.memory !== undefined && free >= leastBytes) {
    const memory = formatQuantity(free);
    const candidates = request.candidates.map((candidate) => ({ ...candidate, bytes: leastBytes }));
    if (placeTask({ ...request, candidates }, nodes).isPlaced) return patchOf(request, { memory });
  }
  if (asked <= capacity) {
    return `it starts when ${formatQuantity(asked - free)} more is free: wait, or end or suspend a task on ${holderNames(inReach, asked)}`;
  }
  const otherTier = request.placement.tier === undefined ? smallerTierThatFits(facts) : undefined;
  if (otherTier !== undefined) return patchOf(request, { tier: otherTier });
  return `add a node with ${formatQuantity(asked)} free; the largest has ${formatQuantity(capacity)}`;
}

function holderNames(nodes: readonly NodeView[], bytes: number): string {
  const names = nodes.filter((node) => node.capacityBytes >= bytes).map((node) => node.name);
  return names.sort().slice(0, 3).join(", ");
}

function tierHint(facts: HintFacts): string {
  const tier = smallerTierThatFits(facts);
  if (tier !== undefined) return patchOf(facts.request, { tier });
  return `add a node of tier ${facts.request.tier}, or of a higher one`;
}

/** The highest tier below the asked one at which the request would be placed now. */
function smallerTierThatFits({ request, nodes }: HintFacts): Tier | undefined {
  return TIERS.toReversed().find(
    (tier) => compareTiers(tier, request.tier) < 0 && placeTask({ ...request, tier }, nodes).isPlaced,
  );
}
