/**
 * Scores of choices from log-probabilities, with contextual calibration (Zhao et al. 2021, "Calibrate Before Use"): what a
 * model prefers for an input without content is its bias, and is divided out.
 */

/** A choice that a model hardly ever gives unasked must not win by that alone: no bias counts for less. */
const LEAST_BIAS = 0.01;
export const CONTENT_FREE_TEXTS = ["N/A", "", "[MASK]"] as const;

/** Probabilities over the choices. Undefined when no choice was seen at all. */
export function normalise(logprobs: readonly number[]): readonly number[] | undefined {
  const top = Math.max(...logprobs);
  if (!Number.isFinite(top)) return undefined;
  const weights = logprobs.map((logprob) => Math.exp(logprob - top));
  const total = weights.reduce((sum, weight) => sum + weight, 0);
  return weights.map((weight) => weight / total);
}

/** Mean of the probabilities for content-free inputs; even where none of them told anything. */
export function biasOf(answers: readonly (readonly number[])[], choices: number): readonly number[] {
  if (answers.length === 0) return Array.from({ length: choices }, () => 1 / choices);
  return Array.from(
    { length: choices },
    (_, index) => answers.reduce((sum, answer) => sum + (answer[index] ?? 0), 0) / answers.length,
  );
}

export function calibrate(probabilities: readonly number[], bias: readonly number[]): readonly number[] {
  const weights = probabilities.map((p, index) => p / Math.max(bias[index] ?? 0, LEAST_BIAS));
  const total = weights.reduce((sum, weight) => sum + weight, 0);
  return weights.map((weight) => weight / total);
}

export interface TokenLogprob {
  readonly token: string;
  readonly logprob: number;
}

/**
 * Mass of each answer from the likeliest first tokens: every token that begins one answer and no other counts for it, in
 * any case and with spaces around it.
 */
export function choicesFromTokens(
  tokens: readonly TokenLogprob[],
  answers: readonly string[],
): { readonly logprobs: readonly number[]; readonly coverage: number } {
  const masses = answers.map(() => 0);
  const lowered = answers.map((answer) => answer.toLowerCase());
  for (const { token, logprob } of tokens) {
    const index = answerBegunBy(token.trim().toLowerCase(), lowered);
    if (index !== undefined) masses[index] = (masses[index] ?? 0) + Math.exp(logprob);
  }
  const coverage = masses.reduce((sum, mass) => sum + mass, 0);
  return { logprobs: masses.map((mass) => Math.log(mass)), coverage: Math.min(1, coverage) };
}

function answerBegunBy(token: string, answers: readonly string[]): number | undefined {
  if (token === "") return undefined;
  const exact = answers.indexOf(token);
  if (exact >= 0) return exact;
  const begun = answers.flatMap((answer, index) => (answer.startsWith(token) ? [index] : []));
  return begun.length === 1 ? begun[0] : undefined;
}

/** The choice that a free answer names: alone, or followed by anything but a letter; in any case and quotation. */
export function choiceNamedIn(text: string, answers: readonly string[]): number | undefined {
  const said = text
    .trim()
    .replace(/^["'“‘「*`(]+/, "")
    .toLowerCase();
  const named = answers.flatMap((answer, index) => {
    const expected = answer.toLowerCase();
    const isNamed = said.startsWith(expected) && !/^[\p{Script=Latin}\d]/u.test(said.slice(expected.length));
    return isNamed ? [{ index, length: expected.length }] : [];
  });
  // "not spam" is not "not": the longest name is what was said.
  return named.sort((a, b) => b.length - a.length)[0]?.index;
}
