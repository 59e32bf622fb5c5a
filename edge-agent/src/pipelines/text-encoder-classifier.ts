import { bestLabels } from "./labels.ts";
import {
  EMPTY_TEXT,
  roundScore,
  type Parameters,
  type Pipeline,
  type PipelineFiles,
  type PipelineItem,
  type PipelineResult,
  type Session,
} from "./pipeline.ts";
import type { TextEncoderClassifierConfig } from "./text-encoder-config.ts";
import { TextEncoderGraph } from "./text-encoder-graph.ts";

/** An encoder with a trained head in its graph: text → probabilities of the labels. */
export class TextEncoderClassifier implements Pipeline {
  readonly taskTypes = ["text-classification"] as const;
  readonly labels: readonly string[];
  readonly batching: Pipeline["batching"];
  readonly #graph: TextEncoderGraph;

  private constructor(graph: TextEncoderGraph, config: TextEncoderClassifierConfig) {
    this.#graph = graph;
    this.labels = config.labels;
    this.batching = graph.batching;
  }

  static async create(session: Session, config: TextEncoderClassifierConfig, files: PipelineFiles) {
    return new TextEncoderClassifier(await TextEncoderGraph.create(session, config, files), config);
  }

  async run(items: readonly PipelineItem[]): Promise<readonly PipelineResult[]> {
    const filled = items.filter(({ text }) => text.trim() !== "");
    const values = await this.#graph.run(filled.map(({ text }) => this.#graph.encode(text)));
    let at = 0;
    return items.map((item) => {
      if (item.text.trim() === "") return EMPTY_TEXT;
      return this.#resultOf(values.subarray(at, (at += this.labels.length)), item.parameters);
    });
  }

  #resultOf(probabilities: Float32Array, parameters: Parameters): PipelineResult {
    const labels = this.labels.map((label, index) => ({
      label,
      score: roundScore(probabilities[index] ?? 0),
    }));
    return {
      output: {
        type: "text-classification",
        labels: bestLabels(labels, parameters),
        scoreSource: "probability",
      },
    };
  }
}
