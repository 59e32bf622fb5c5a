/**
 * How far a score can be believed.
 *
 *     confidence = σ(w₀ · logit(score) + w₁ · logit(P(hard)) + w₂)
 *
 * is the probability that the edge's answer is the one that the deep model would give. It begins as temperature scaling
 * (w = [1/T, 0, 0]; Guo et al. 2017, "On Calibration of Modern Neural Networks") and learns from outcomes: logistic
 * regression, one AdaGrad step for each item that both models answered. An item that was escalated is an outcome anyway;
 * a confident one is only when it was drawn for an audit, so that it counts 1/auditShare times (inverse propensity): what
 * is learned holds for all items, not for the hard ones alone.
 *
 * Refuses to learn itself into a corner: weights are pulled back to where they began, and the score's stays positive, so
 * that more confidence is never less.
 */
export interface CalibrationState {
  readonly v: 1;
  /** Of logit(score), logit(P(hard)) and of one. */
  readonly weights: readonly [number, number, number];
  /** Sums of squared gradients. */
  readonly squares: readonly [number, number, number];
  /** What the weights are pulled back to. */
  readonly temperature: number;
  /** Outcomes learned from, and in how many of them both models agreed. */
  readonly outcomes: number;
  readonly agreed: number;
}

export interface CalibrationInput {
  /** The edge model's own, 0..1. */
  readonly score: number;
  readonly pHard: number | null;
}

const STEP = 0.3;
const PULL = 1e-3;
const LARGEST_WEIGHT = 20;
const LEAST_SLOPE = 0.05;
/** A score of exactly one would be infinitely sure. */
const CLOSEST = 1e-6;

export function initialCalibration(temperature = 1): CalibrationState {
  return {
    v: 1,
    weights: [1 / temperature, 0, 0],
    // Not zero: the first outcome is one of many.
    squares: [10, 10, 10],
    temperature,
    outcomes: 0,
    agreed: 0,
  };
}

export function calibratedConfidence({ weights }: CalibrationState, input: CalibrationInput): number {
  const inputs = inputsOf(input);
  return sigmoid(dot(weights, inputs));
}

/** @param share with which an item like this one gets an outcome: 1, or the audit share */
export function learnOutcome(
  state: CalibrationState,
  outcome: CalibrationInput & { readonly agrees: boolean; readonly share: number },
): CalibrationState {
  const inputs = inputsOf(outcome);
  const importance = Math.min(LARGEST_WEIGHT, 1 / outcome.share);
  const error = (sigmoid(dot(state.weights, inputs)) - (outcome.agrees ? 1 : 0)) * importance;
  const home = initialCalibration(state.temperature).weights;
  const step = (at: 0 | 1 | 2) => {
    const gradient = error * inputs[at] + PULL * (state.weights[at] - home[at]);
    const square = state.squares[at] + gradient * gradient;
    return { square, weight: state.weights[at] - (STEP * gradient) / Math.sqrt(square) };
  };
  const [slope, hardness, bias] = [step(0), step(1), step(2)] as const;
  return {
    ...state,
    weights: [Math.max(LEAST_SLOPE, slope.weight), hardness.weight, bias.weight],
    squares: [slope.square, hardness.square, bias.square],
    outcomes: state.outcomes + 1,
    agreed: state.agreed + (outcome.agrees ? 1 : 0),
  };
}

export interface ScoredAnswer {
  readonly score: number;
  readonly isRight: boolean;
}

/** Temperature with the least log loss, by golden section: the loss has one valley. */
export function fitTemperature(answers: readonly ScoredAnswer[]): number {
  if (answers.length === 0) return 1;
  const logits = answers.map(({ score }) => logit(score));
  const loss = (exponent: number) => {
    let sum = 0;
    for (const [index, { isRight }] of answers.entries()) {
      const z = (logits[index] ?? 0) / Math.exp(exponent);
      sum += Math.log1p(Math.exp(isRight ? -z : z));
    }
    return sum;
  };
  const ratio = (Math.sqrt(5) - 1) / 2;
  let [low, high] = [Math.log(0.05), Math.log(20)];
  while (high - low > 1e-4) {
    const [left, right] = [high - ratio * (high - low), low + ratio * (high - low)];
    if (loss(left) <= loss(right)) high = right;
    else low = left;
  }
  return Math.exp((low + high) / 2);
}

/** Expected calibration error: mean gap between score and share of right answers, in bins of equal width. */
export function calibrationError(answers: readonly ScoredAnswer[], bins = 10): number {
  const gaps = new Float64Array(bins);
  for (const { score, isRight } of answers) {
    const bin = Math.min(bins - 1, Math.floor(score * bins));
    gaps[bin] = (gaps[bin] ?? 0) + score - (isRight ? 1 : 0);
  }
  return answers.length === 0 ? 0 : gaps.reduce((sum, gap) => sum + Math.abs(gap), 0) / answers.length;
}

function inputsOf({ score, pHard }: CalibrationInput): readonly [number, number, number] {
  return [logit(score), pHard === null ? 0 : logit(pHard), 1];
}

function dot(a: readonly [number, number, number], b: readonly [number, number, number]): number {
  return a[0] * b[0] + a[1] * b[1] + a[2] * b[2];
}

function logit(probability: number): number {
  const inside = Math.min(1 - CLOSEST, Math.max(CLOSEST, probability));
  return Math.log(inside / (1 - inside));
}

function sigmoid(z: number): number {
  return 1 / (1 + Math.exp(-z));
}
