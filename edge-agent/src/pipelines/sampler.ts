/**
 * Chooses the next token from logits: penalty for what occurred, then greedy, or temperature, the k likeliest and the
 * nucleus, in this order, with the names and the meaning of Hugging Face's generation parameters. Deterministic for a seed.
 *
 * A vocabulary has 50,000 to 150,000 tokens and a step a few milliseconds, so nothing here sorts or copies all of it.
 */
export interface SamplerOptions {
  /** 0: the most likely token each time. */
  readonly temperature: number;
  /** Sampled from these many likeliest tokens; 0: from all. */
  readonly topK: number;
  /** Mass of the smallest set of tokens that is sampled from, in (0, 1]. */
  readonly topP: number;
  /** Above 1: positive logits of tokens that occurred are divided by it, negative ones multiplied. */
  readonly repetitionPenalty: number;
  readonly seed: number;
}

/** exp of this is 9e-14: all tokens below it together weigh nothing that a float32 would show. */
const NEGLIGIBLE = -30;
/** Buckets of likelihood per unit of the exponent: the nucleus ends in one of them, and only that one is sorted. */
const BUCKETS_PER_UNIT = 32;
const BUCKETS = 1 - NEGLIGIBLE * BUCKETS_PER_UNIT;

export class Sampler {
  readonly #options: SamplerOptions;
  readonly #random: () => number;
  /** Tokens that occurred, with the logit that the model gave them at this step. */
  readonly #seen = new Map<number, number>();
  /** exp of the scaled logit below the largest; 0 for what is not sampled from. */
  #weights = new Float64Array(0);
  #buckets = new Uint16Array(0);

  constructor(options: SamplerOptions, promptIds: readonly number[]) {
    this.#options = options;
    this.#random = mulberry32(options.seed);
    for (const id of promptIds) this.#seen.set(id, 0);
  }

  /** The token, and the logit that the model itself gave it. Changes `logits`: they are penalized in place. */
  next(logits: Float32Array): { readonly id: number; readonly logit: number } {
    const { temperature, repetitionPenalty } = this.#options;
    if (repetitionPenalty !== 1) this.#penalize(logits, repetitionPenalty);
    const best = indexOfLargest(logits);
    const id = temperature === 0 ? best : this.#sample(logits, logits[best] ?? 0);
    const before = repetitionPenalty === 1 ? undefined : this.#seen.get(id);
    this.#seen.set(id, 0);
    return { id, logit: before ?? logits[id] ?? 0 };
  }

  #penalize(logits: Float32Array, penalty: number): void {
    for (const id of this.#seen.keys()) {
      const logit = logits[id] ?? 0;
      this.#seen.set(id, logit);
      logits[id] = logit > 0 ? logit / penalty : logit * penalty;
    }
  }

  #sample(logits: Float32Array, top: number): number {
    const { temperature, topK, topP } = this.#options;
    const least = topK > 0 && topK < logits.length ? nthLargest(logits, topK) : -Infinity;
    if (this.#weights.length !== logits.length) {
      this.#weights = new Float64Array(logits.length);
      this.#buckets = new Uint16Array(logits.length);
    }
    const weights = this.#weights;
    const buckets = this.#buckets;
    let total = 0;
    for (let id = 0; id < logits.length; id++) {
      const logit = logits[id] ?? -Infinity;
      const exponent = (logit - top) / temperature;
      if (logit < least || exponent < NEGLIGIBLE) {
        weights[id] = 0;
        continue;
      }
      const weight = Math.exp(exponent);
      weights[id] = weight;
      buckets[id] = -exponent * BUCKETS_PER_UNIT;
      total += weight;
    }
    return this.#draw(topP < 1 ? this.#keepNucleus(topP * total) : total);
  }

  /** Sets the weights outside of the smallest set that holds the mass to 0. @returns what the set holds */
  #keepNucleus(mass: number): number {
    const weights = this.#weights;
    const buckets = this.#buckets;
    const held = new Float64Array(BUCKETS);
    for (let id = 0; id < weights.length; id++) {
      const weight = weights[id] ?? 0;
      const bucket = buckets[id] ?? 0;
      if (weight > 0) held[bucket] = (held[bucket] ?? 0) + weight;
    }
    let sum = 0;
    let last = 0;
    while (last < BUCKETS - 1 && sum + (held[last] ?? 0) < mass) sum += held[last++] ?? 0;
    const border: number[] = [];
    for (let id = 0; id < weights.length; id++) {
      if (weights[id] === 0) continue;
      const bucket = buckets[id] ?? 0;
      if (bucket === last) border.push(id);
      else if (bucket > last) weights[id] = 0;
    }
    border.sort((a, b) => (weights[b] ?? 0) - (weights[a] ?? 0) || a - b);
    for (const id of border) {
      if (sum >= mass) weights[id] = 0;
      else sum += weights[id] ?? 0;
    }
    return sum;
  }

  #draw(total: number): number {
    let left = this.#random() * total;
    let last = 0;
    for (let id = 0; id < this.#weights.length; id++) {
      const weight = this.#weights[id] ?? 0;
      if (weight === 0) continue;
      left -= weight;
      if (left < 0) return id;
      last = id;
    }
    // Rounding may leave a crumb behind the last of them.
    return last;
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

/** The n-th largest value, by a heap of n whose root is the least; n is small beside the number of values. */
function nthLargest(values: Float32Array, n: number): number {
  const heap = values.slice(0, n).sort();
  for (let index = n; index < values.length; index++) {
    const value = values[index] ?? -Infinity;
    if (value > (heap[0] ?? -Infinity)) replaceLeast(heap, value);
  }
  return heap[0] ?? -Infinity;
}

function replaceLeast(heap: Float32Array, value: number): void {
  let at = 0;
  for (;;) {
    const left = 2 * at + 1;
    if (left >= heap.length) break;
    const right = left + 1;
    const least = right < heap.length && (heap[right] ?? 0) < (heap[left] ?? 0) ? right : left;
    if ((heap[least] ?? 0) >= value) break;
    heap[at] = heap[least] ?? 0;
    at = least;
  }
  heap[at] = value;
}
