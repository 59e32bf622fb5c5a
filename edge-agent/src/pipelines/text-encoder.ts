import type { TaskType } from "@autoglm/api";
import {
  EMPTY_TEXT,
  type Pipeline,
  type PipelineFiles,
  type PipelineItem,
  type PipelineResult,
  type Session,
} from "./pipeline.ts";
import type { TextEncoderConfig } from "./text-encoder-config.ts";
import { TextEncoderGraph } from "./text-encoder-graph.ts";
import { ZeroShot } from "./zero-shot.ts";

/**
 * Sentence embeddings: the mean of the last states, scaled to length 1 unless `normalize` is false. A model whose
 * embeddings were measured to tell labels apart also classifies without training.
 */
export class TextEncoder implements Pipeline {
  readonly taskTypes: readonly TaskType[];
  readonly batching: Pipeline["batching"];
  readonly #graph: TextEncoderGraph;
  readonly #dimensions: number;
  readonly #zeroShot: ZeroShot | undefined;

  private constructor(graph: TextEncoderGraph, config: TextEncoderConfig) {
    this.#graph = graph;
    this.#dimensions = config.dimensions;
    this.batching = graph.batching;
    this.#zeroShot =
      config.zeroShot &&
      new ZeroShot(config.zeroShot, async (texts) => (await this.#embed(texts)).map(unitOf));
    this.taskTypes = [
      "feature-extraction",
      ...(config.zeroShot ? ["zero-shot-classification" as const] : []),
    ];
  }

  static async create(session: Session, config: TextEncoderConfig, files: PipelineFiles) {
    return new TextEncoder(await TextEncoderGraph.create(session, config, files), config);
  }

  async run(items: readonly PipelineItem[]): Promise<readonly PipelineResult[]> {
    const filled = items.filter(({ text }) => text.trim() !== "");
    await this.#zeroShot?.prepare(filled.filter(({ type }) => type === "zero-shot-classification"));
    const embeddings = await this.#embed(filled.map(({ text }) => text));
    const byItem = new Map(filled.map((item, index) => [item, embeddings[index]]));
    return items.map((item) => {
      const embedding = byItem.get(item);
      return embedding === undefined ? EMPTY_TEXT : this.#answer(item, embedding);
    });
  }

  #answer({ type, parameters }: PipelineItem, embedding: Float32Array): PipelineResult {
    if (type === "zero-shot-classification" && this.#zeroShot !== undefined) {
      return parameters.candidateLabels === undefined
        ? NO_LABELS
        : this.#zeroShot.answer(unitOf(embedding), parameters);
    }
    const scaled = parameters.normalize === false ? embedding : unitOf(embedding);
    return {
      output: {
        type: "feature-extraction",
        embedding: Array.from(scaled, roundComponent),
        scoreSource: "none",
      },
    };
  }

  async #embed(texts: readonly string[]): Promise<Float32Array[]> {
    const values = await this.#graph.run(texts.map((text) => this.#graph.encode(text)));
    return texts.map((_, index) => values.subarray(index * this.#dimensions, (index + 1) * this.#dimensions));
  }
}

const NO_LABELS: PipelineResult = {
  error: {
    code: "ItemInvalid",
    message: "there are no labels to choose from: name them in parameters.candidateLabels",
  },
};

function unitOf(embedding: Float32Array): Float32Array {
  const length = Math.hypot(...embedding);
  return embedding.map((value) => value / length);
}

/** Seven decimals: float32 holds no more, and JSON of it is half as long. */
function roundComponent(value: number): number {
  return Math.round(value * 1e7) / 1e7;
}
