/** Which variants of a model come into question for a tier, and which tier is the smallest that would do. */
import {
  compareTiers,
  DEFAULT_TIER_FLOOR_MIB,
  parseQuantityBytes,
  TASK_TYPE_CONTRACTS,
  TIERS,
  type ModelVariant,
  type TaskType,
  type Tier,
} from "@autoglm/api";
import type { TierFloors } from "./tier.ts";

export interface VariantCandidate {
  readonly variant: ModelVariant;
  /** What to reserve for it: its own working set, or more where the task asks for more. */
  readonly bytes: number;
  /** Keys for endpoints that the node must hold. */
  readonly keyNames?: readonly string[];
}

export type VariantChoice =
  | { readonly isPossible: true; readonly tier: Tier; readonly candidates: readonly VariantCandidate[] }
  | {
      readonly isPossible: false;
      readonly tier: Tier;
      /** The smallest tier that some variant fits. */
      readonly smallestTier: Tier;
      readonly smallestBytes: number;
    };

export interface VariantFacts {
  readonly type: TaskType;
  readonly variants: readonly ModelVariant[];
  /** The tier that the task names. Without one the type's default is raised to the smallest that some variant fits. */
  readonly tier?: Tier | undefined;
  /** Memory that the task asks for. */
  readonly memory?: string | undefined;
  /** What runs beside the model, behind its gate. */
  readonly beside?: { readonly bytes: number; readonly keyNames: readonly string[] } | undefined;
  readonly floors?: TierFloors;
}

/** The highest tier has no upper end: larger cards are of that tier, so memory decides there, node by node. */
function fitsTier(bytes: number, tier: Tier, floors: TierFloors): boolean {
  return tier === TIERS.at(-1) || bytes <= floors[tier] * 2 ** 20;
}

/** Candidates keep the model's order, best first. */
export function chooseVariants(facts: VariantFacts): VariantChoice {
  const { variants, floors = DEFAULT_TIER_FLOOR_MIB } = facts;
  const asked = facts.memory === undefined ? 0 : parseQuantityBytes(facts.memory);
  const { bytes: besideBytes = 0, keyNames: besideKeys = [] } = facts.beside ?? {};
  const own = variants.map((variant) => ({
    variant,
    bytes: parseQuantityBytes(variant.memory) + besideBytes,
    keyNames: [...keyNamesOf(variant), ...besideKeys],
  }));
  const smallestBytes = Math.min(...own.map(({ bytes }) => bytes));
  const smallestTier = TIERS.find((tier) => fitsTier(smallestBytes, tier, floors)) ?? "8Gi";
  const preset = TASK_TYPE_CONTRACTS[facts.type].defaultTier;
  const tier = facts.tier ?? (compareTiers(preset, smallestTier) < 0 ? smallestTier : preset);
  const candidates = own
    .filter(({ bytes }) => fitsTier(bytes, tier, floors))
    .map((candidate) => ({ ...candidate, bytes: Math.max(candidate.bytes, asked) }));
  return candidates.length > 0
    ? { isPossible: true, tier, candidates }
    : { isPossible: false, tier, smallestTier, smallestBytes };
}

/** Keys that a node needs to ask the variant's endpoint. */
export function keyNamesOf({ endpoint }: ModelVariant): readonly string[] {
  return endpoint?.keyName === undefined ? [] : [endpoint.keyName];
}
