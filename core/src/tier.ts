/**
 * The GPU-memory tier of a node, with where it comes from.
 *
 *     label autoglm.io/tier  →  GFD's nvidia.com/gpu.memory  →  the agent's own probe
 *
 * The first source that knows decides; later ones that say another tier are conflicts, listed and never obeyed. A part
 * with unified memory reports 0 or N/A: that is "not known", never a small tier.
 */
import {
  DEFAULT_TIER_FLOOR_MIB,
  LABEL_GFD_MEMORY_MIB,
  LABEL_GFD_PRODUCT,
  LABEL_GFD_REPLICAS,
  LABEL_TIER,
  TIERS,
  type Tier,
  type TierSource,
} from "@autoglm/api";

export type Labels = Readonly<Record<string, string>>;
/** Smallest capacity in MiB at which a card counts as its tier. */
export type TierFloors = Readonly<Record<Tier, number>>;

export interface TierFacts {
  readonly labels: Labels;
  /** What the agent found, where it could. */
  readonly probedTier?: Tier | undefined;
  readonly floors?: TierFloors;
}

export interface TierVerdict {
  readonly tier?: Tier;
  readonly source?: TierSource;
  /** Sentences for people: sources that say something else, labels that can't be read. */
  readonly conflicts: readonly string[];
}

/** Highest tier whose floor the capacity reaches; larger cards are of the highest tier. Undefined below the lowest. */
export function tierOfMib(mib: number, floors: TierFloors = DEFAULT_TIER_FLOOR_MIB): Tier | undefined {
  return TIERS.findLast((tier) => mib >= floors[tier]);
}

/** `4`, `4Gi` and so on; undefined for anything else. */
export function parseTierLabel(value: string): Tier | undefined {
  return TIERS.find((tier) => value === tier || `${value}Gi` === tier);
}

/**
 * MiB that one pod gets of the GPU, by the labels of GPU Feature Discovery: time-slicing does not divide the label, so a
 * `-SHARED` product is divided by its replicas. Undefined where GFD knows nothing.
 */
export function gfdMemoryMib(labels: Labels): number | undefined {
  const mib = Number(labels[LABEL_GFD_MEMORY_MIB]);
  if (!Number.isFinite(mib) || mib <= 0) return undefined;
  const replicas = Number(labels[LABEL_GFD_REPLICAS]);
  const isShared = labels[LABEL_GFD_PRODUCT]?.endsWith("-SHARED") === true;
  return isShared && replicas > 1 ? Math.floor(mib / replicas) : mib;
}

export function resolveTier(facts: TierFacts): TierVerdict {
  const floors = facts.floors ?? DEFAULT_TIER_FLOOR_MIB;
  const label = facts.labels[LABEL_TIER];
  const labelled = label === undefined ? undefined : parseTierLabel(label);
  const mib = gfdMemoryMib(facts.labels);
  const discovered = mib === undefined ? undefined : tierOfMib(mib, floors);

  const claims: { readonly source: TierSource; readonly tier: Tier; readonly text: string }[] = [];
  if (labelled !== undefined)
    claims.push({ source: "Label", tier: labelled, text: `label says ${labelled}` });
  if (discovered !== undefined) {
    claims.push({ source: "GFD", tier: discovered, text: `GFD says ${discovered} (${mib} MiB)` });
  }
  if (facts.probedTier !== undefined) {
    claims.push({
      source: "Probe",
      tier: facts.probedTier,
      text: `the agent's probe says ${facts.probedTier}`,
    });
  }
  const conflicts: string[] = [];
  if (label !== undefined && labelled === undefined) {
    conflicts.push(`label ${LABEL_TIER}=${label} is none of ${TIERS.join(", ")}`);
  }
  const [chosen, ...others] = claims;
  if (chosen === undefined) return { conflicts };
  conflicts.push(...others.filter((other) => other.tier !== chosen.tier).map((other) => other.text));
  return { tier: chosen.tier, source: chosen.source, conflicts };
}
