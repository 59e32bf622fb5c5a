import { bestLabels, type ScoredLabel } from "./labels.ts";
import { roundScore, type Parameters, type PipelineItem, type PipelineResult } from "./pipeline.ts";
import type { TextEncoderConfig, ZeroShotConfig } from "./text-encoder-config.ts";

/** Embeddings of hypotheses that are kept: labels come again with every item of a task. */
const MAX_KEPT = 1000;

type Embed = (texts: readonly string[]) => Promise<readonly Float32Array[]>;

/**
 * Labels judged by the similarity of a text's embedding to that of a sentence about each label.
 *
 *     one label:       softmax(similarities ÷ temperature)
 *     several labels:  each against "other", by a logistic function
 */
export class ZeroShot {
  readonly #config: NonNullable<TextEncoderConfig["zeroShot"]>;
  readonly #embed: Embed;
  readonly #kept = new Map<string, Float32Array>();

  /** @param embed gives embeddings of length 1 */
  constructor(config: NonNullable<TextEncoderConfig["zeroShot"]>, embed: Embed) {
    this.#config = config;
    this.#embed = embed;
  }

  /** Embeds the hypotheses of all items that are not known yet, in one run. */
  async prepare(items: readonly PipelineItem[]): Promise<void> {
    const wanted = new Set(items.flatMap(({ parameters }) => this.#hypothesesOf(parameters)));
    const missing = [...wanted].filter((hypothesis) => !this.#kept.has(hypothesis));
    if (this.#kept.size + missing.length > MAX_KEPT) {
      for (const hypothesis of this.#kept.keys()) if (!wanted.has(hypothesis)) this.#kept.delete(hypothesis);
    }
    const embeddings = await this.#embed(missing);
    for (const [index, hypothesis] of missing.entries()) {
      const embedding = embeddings[index];
      if (embedding !== undefined) this.#kept.set(hypothesis, embedding);
    }
  }

  /** @param embedding of the text, of length 1 */
  answer(embedding: Float32Array, parameters: Parameters): PipelineResult {
    const { candidateLabels = [], multiLabel = false } = parameters;
    const config = this.#configFor(candidateLabels);
    const similarities = candidateLabels.map((label) => this.#similarity(embedding, config, label));
    const scores = multiLabel
      ? oddsOf(similarities, this.#similarity(embedding, config, config.other), config)
      : softmax(similarities.map((similarity) => similarity / config.temperature));
    const labels: ScoredLabel[] = candidateLabels.map((label, index) => ({
      label,
      score: roundScore(scores[index] ?? 0),
    }));
    return {
      output: {
        type: "zero-shot-classification",
        labels: bestLabels(labels, parameters),
        scoreSource: "similarity",
      },
    };
  }

  #configFor(labels: readonly string[]): ZeroShotConfig {
    return labels.some((label) => /\p{Script=Han}/u.test(label)) ? this.#config.han : this.#config.other;
  }

  #hypothesesOf({ candidateLabels = [], multiLabel = false }: Parameters): string[] {
    const config = this.#configFor(candidateLabels);
    const labels = multiLabel ? [...candidateLabels, config.other] : candidateLabels;
    return labels.map((label) => hypothesisOf(config, label));
  }

  #similarity(embedding: Float32Array, config: ZeroShotConfig, label: string): number {
    const hypothesis = this.#kept.get(hypothesisOf(config, label));
    return hypothesis === undefined
      ? 0
      : embedding.reduce((sum, value, index) => sum + value * (hypothesis[index] ?? 0), 0);
  }
}

/** Every occurrence, and a `$` in a label stays one. */
const hypothesisOf = ({ hypothesis }: ZeroShotConfig, label: string) =>
  hypothesis.replaceAll("{}", () => label);

function oddsOf(similarities: readonly number[], other: number, { slope, offset }: ZeroShotConfig): number[] {
  return similarities.map((similarity) => 1 / (1 + Math.exp(-slope * (similarity - other) - offset)));
}

export function softmax(logits: readonly number[]): number[] {
  const top = Math.max(...logits);
  const weights = logits.map((logit) => Math.exp(logit - top));
  const sum = weights.reduce((total, weight) => total + weight, 0);
  return weights.map((weight) => weight / sum);
}
