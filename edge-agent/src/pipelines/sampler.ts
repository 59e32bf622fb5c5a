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

export class Sampler {
  readonly #options: SamplerOptions;
  readonly #random: () => number;
  /** Tokens that occurred, with the logit that the model gave them at this step. */
  readonly #seen = new Map<number, number>();

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
    const ids: number[] = [];
    const weights: number[] = [];
    let total = 0;
    for (let id = 0; id < logits.length; id++) {
      const logit = logits[id] ?? -Infinity;
      const exponent = (logit - top) / temperature;
      if (logit < least || exponent < NEGLIGIBLE) continue;
      const weight = Math.exp(exponent);
      ids.push(id);
      weights.push(weight);
      total += weight;
    }
    return topP < 1 ? this.#drawFromNucleus(ids, weights, topP * total) : this.#draw(ids, weights, total);
  }

  #drawFromNucleus(ids: readonly number[], weights: readonly number[], mass: number): number {
    // Tokens of at most this weight hold no more than the rest of the mass all together: the nucleus is among the others.
    const floor = ((1 / this.#options.topP - 1) * mass) / weights.length;
    const weightOf = (position: number) => weights[position] ?? 0;
    const likely = [...weights.keys()].filter((position) => weightOf(position) > floor);
    likely.sort((a, b) => weightOf(b) - weightOf(a) || a - b);
    let held = 0;
    let size = 0;
    while (size < likely.length && held < mass) held += weightOf(likely[size++] ?? 0);
    const nucleus = likely.slice(0, size);
    const idOf = (position: number) => ids[position] ?? 0;
    return this.#draw(nucleus.map(idOf), nucleus.map(weightOf), held);
  }

  #draw(ids: readonly number[], weights: readonly number[], total: number): number {
    let left = this.#random() * total;
    for (const [position, weight] of weights.entries()) {
      left -= weight;
      if (left < 0) return ids[position] ?? 0;
    }
    return ids[0] ?? 0;
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
