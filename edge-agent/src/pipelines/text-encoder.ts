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

/** Sentence embeddings: the mean of the last states, scaled to length 1 unless `normalize` is false. */
export class TextEncoder implements Pipeline {
  readonly taskTypes = ["feature-extraction"] as const;
  readonly batching: Pipeline["batching"];
  readonly #graph: TextEncoderGraph;
  readonly #dimensions: number;

  private constructor(graph: TextEncoderGraph, config: TextEncoderConfig) {
    this.#graph = graph;
    this.#dimensions = config.dimensions;
    this.batching = graph.batching;
  }

  static async create(session: Session, config: TextEncoderConfig, files: PipelineFiles) {
    return new TextEncoder(await TextEncoderGraph.create(session, config, files), config);
  }

  async run(items: readonly PipelineItem[]): Promise<readonly PipelineResult[]> {
    const filled = items.filter(({ text }) => text.trim() !== "");
    const values = await this.#graph.run(filled.map(({ text }) => this.#graph.encode(text)));
    let at = 0;
    return items.map((item): PipelineResult => {
      if (item.text.trim() === "") return EMPTY_TEXT;
      const embedding = values.subarray(at, (at += this.#dimensions));
      const scale = item.parameters.normalize === false ? 1 : 1 / Math.hypot(...embedding);
      return {
        output: {
          type: "feature-extraction",
          embedding: Array.from(embedding, (value) => roundComponent(value * scale)),
          scoreSource: "none",
        },
      };
    });
  }
}

/** Seven decimals: float32 holds no more, and JSON of it is half as long. */
function roundComponent(value: number): number {
  return Math.round(value * 1e7) / 1e7;
}
