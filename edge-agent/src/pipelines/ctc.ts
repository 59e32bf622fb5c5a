/**
 * Greedy decoding of connectionist temporal classification (Graves et al. 2006): the best class of each step, repetitions
 * joined, blanks left out.
 */
export interface CtcOptions {
  readonly classes: number;
  readonly blank: number;
  /**
   * A class that is worth a character though no step is its own: a network that spreads a gap between words over several
   * steps leaves each of them to the blank. It is put into a run of blanks whose values for it add up to `minSum`,
   * between two classes that have gaps.
   */
  readonly gap?:
    | {
        readonly index: number;
        readonly minSum: number;
        readonly hasGaps: (index: number) => boolean;
      }
    | undefined;
}

export interface CtcPath {
  readonly classes: readonly number[];
  /** Mean of the best class's value over the steps that begin a class; 0 for an empty path. */
  readonly score: number;
}

/** @param values [steps, classes], probabilities or anything that grows with them */
export function decodeCtc(values: Float32Array, { classes, blank, gap }: CtcOptions): CtcPath {
  const path: number[] = [];
  let sum = 0;
  let count = 0;
  let previous = blank;
  let gapSum = 0;
  for (let row = 0; row + classes <= values.length; row += classes) {
    let best = 0;
    for (let index = 1; index < classes; index++)
      if ((values[row + index] ?? 0) > (values[row + best] ?? 0)) best = index;
    if (best === blank) {
      gapSum += gap === undefined ? 0 : (values[row + gap.index] ?? 0);
    } else if (best !== previous) {
      const last = path.at(-1);
      const isGap = gap !== undefined && gapSum >= gap.minSum && last !== undefined;
      if (isGap && gap.hasGaps(last) && gap.hasGaps(best)) path.push(gap.index);
      path.push(best);
      sum += values[row + best] ?? 0;
      count++;
    }
    if (best !== blank) gapSum = 0;
    previous = best;
  }
  return { classes: path, score: count === 0 ? 0 : sum / count };
}
