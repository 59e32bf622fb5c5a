/**
 * Chooses the next token from logits: penalty for what occurred, then greedy, or temperature and nucleus sampling with
 * the names and the meaning of Hugging Face's generation parameters. Deterministic for a seed.
 */
export interface SamplerOptions {
  /** 0: the most likely token each time. */
  readonly temperature: number;
  /** Mass of the smallest set of tokens that is sampled from, in (0, 1]. */
  readonly topP: number;
  /** Above 1: positive logits of tokens that occurred are divided by it, negative ones multiplied. */
  readonly repetitionPenalty: number;
  readonly seed: number;
}

export class Sampler {
  readonly #options: SamplerOptions;
  readonly #random: () => number;
  readonly #seen = new Set<number>();

  constructor(options: SamplerOptions, promptIds: readonly number[]) {
    this.#options = options;
    this.#random = mulberry32(options.seed);
    for (const id of promptIds) this.#seen.add(id);
  }

  /** The token, and the log-probability that the model itself gave it: before penalty and temperature. */
  next(logits: Float32Array): { readonly id: number; readonly logprob: number } {
    const adjusted = this.#penalize(logits);
    const id = this.#options.temperature === 0 ? indexOfLargest(adjusted) : this.#sample(adjusted);
    this.#seen.add(id);
    return { id, logprob: (logits[id] ?? 0) - logSumExp(logits) };
  }

  #penalize(logits: Float32Array): Float32Array {
    const { repetitionPenalty } = this.#options;
    if (repetitionPenalty === 1) return logits;
    const adjusted = logits.slice();
    for (const id of this.#seen) {
      const logit = adjusted[id] ?? 0;
      adjusted[id] = logit > 0 ? logit / repetitionPenalty : logit * repetitionPenalty;
    }
    return adjusted;
  }

  #sample(logits: Float32Array): number {
    const { temperature, topP } = this.#options;
    const top = logits[indexOfLargest(logits)] ?? 0;
    const weights = new Float64Array(logits).map((logit) => Math.exp((logit - top) / temperature));
    const total = weights.reduce((sum, weight) => sum + weight, 0);
    // Tokens below this weight hold less than 1 - topP of the mass all together: the nucleus is among the others.
    const floor = ((1 - topP) * total) / weights.length;
    const candidates: number[] = [];
    for (const [id, weight] of weights.entries()) if (weight > floor) candidates.push(id);
    const weightOf = (id: number) => weights[id] ?? 0;
    candidates.sort((a, b) => weightOf(b) - weightOf(a) || a - b);
    let nucleus = 0;
    let size = 0;
    while (size < candidates.length && nucleus < topP * total) nucleus += weightOf(candidates[size++] ?? 0);
    let left = this.#random() * nucleus;
    for (const id of candidates.slice(0, size)) {
      left -= weightOf(id);
      if (left < 0) return id;
    }
    return candidates[0] ?? 0;
  }
}

/** A small generator of full period; source: Tommy Ettinger's mulberry32. Numbers in [0, 1). */
function mulberry32(seed: number): () => number {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}

/** The lowest index on a tie. */
function indexOfLargest(values: Float32Array): number {
  let best = 0;
  let top = -Infinity;
  for (let index = 0; index < values.length; index++) {
    const value = values[index] ?? -Infinity;
    if (value > top) {
      top = value;
      best = index;
    }
  }
  return best;
}

function logSumExp(values: Float32Array): number {
  const top = values[indexOfLargest(values)] ?? 0;
  let sum = 0;
  for (const value of values) sum += Math.exp(value - top);
  return top + Math.log(sum);
}
