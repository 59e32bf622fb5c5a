/** A figure with its 95 % interval; bounds in the unit of the figure. */
export interface Estimate {
  readonly value: number;
  readonly low: number;
  readonly high: number;
  /** Items that it was taken over. */
  readonly count: number;
}

const Z95 = 1.959963984540054;

/** Share of successes with Wilson's interval, which holds for few items and for shares near 0 and 1. */
export function proportion(successes: number, count: number): Estimate {
  if (count === 0) return { value: 0, low: 0, high: 1, count };
  const share = successes / count;
  const z2 = Z95 ** 2;
  const centre = (share + z2 / (2 * count)) / (1 + z2 / count);
  const half = (Z95 / (1 + z2 / count)) * Math.sqrt((share * (1 - share)) / count + z2 / (4 * count ** 2));
  return { value: share, low: Math.max(0, centre - half), high: Math.min(1, centre + half), count };
}

const RESAMPLES = 1000;

/**
 * A figure over items with a percentile bootstrap: for what is no share of items, such as F1.
 * @param random numbers in [0, 1); the same ones give the same interval
 */
export function bootstrap<Item>(
  items: readonly Item[],
  figure: (items: readonly Item[]) => number,
  random: () => number,
): Estimate {
  const value = figure(items);
  if (items.length === 0) return { value, low: value, high: value, count: 0 };
  const figures = Array.from({ length: RESAMPLES }, () => {
    const sample = items.map((_, __, all) => all[Math.floor(random() * all.length)]);
    return figure(sample.filter((item) => item !== undefined));
  }).sort((a, b) => a - b);
  const at = (share: number) => figures[Math.min(RESAMPLES - 1, Math.floor(share * RESAMPLES))] ?? value;
  return { value, low: at(0.025), high: at(0.975), count: items.length };
}

/** Numbers in [0, 1) from a seed: Tommy Ettinger's mulberry32. */
export function seededRandom(seed: number): () => number {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}
