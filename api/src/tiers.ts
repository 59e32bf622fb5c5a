/** GPU-memory tiers, smallest first, as Kubernetes quantities. */
export const TIERS = ["4Gi", "6Gi", "8Gi"] as const;
export type Tier = (typeof TIERS)[number];

/**
 * Smallest real capacity, in MiB, at which a card counts as its nominal tier: cards report less than what
 * their box says (an "8 GB" card shows about 7,800 MiB).
 */
export const DEFAULT_TIER_FLOOR_MIB: Readonly<Record<Tier, number>> = {
  "4Gi": 3800,
  "6Gi": 5700,
  "8Gi": 7600,
};

/** Negative when a is the smaller tier. */
export function compareTiers(a: Tier, b: Tier): number {
  return TIERS.indexOf(a) - TIERS.indexOf(b);
}
