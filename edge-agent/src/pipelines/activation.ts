export type Activation = "none" | "softmax" | "sigmoid";

/** Probabilities of what a graph says of one item. */
export function activate(values: Float32Array, activation: Activation): Float32Array {
  if (activation === "none") return values;
  if (activation === "sigmoid") return values.map((value) => 1 / (1 + Math.exp(-value)));
  const top = values.reduce((best, value) => Math.max(best, value), -Infinity);
  const powers = values.map((value) => Math.exp(value - top));
  const sum = powers.reduce((total, power) => total + power, 0);
  return powers.map((power) => power / sum);
}
