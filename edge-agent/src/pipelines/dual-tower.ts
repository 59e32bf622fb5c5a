import { activate } from "./activation.ts";
import { blankImage } from "./image.ts";
import { concatenated, viewsOf } from "./image-batch.ts";
import { bestLabels } from "./labels.ts";
import type { DualTowerConfig } from "./media-config.ts";
import {
  floatsOf,
  roundScore,
  type Media,
  type Pipeline,
  type PipelineFiles,
  type PipelineItem,
  type PipelineResult,
  type Session,
} from "./pipeline.ts";
import { TextEncoderGraph } from "./text-encoder-graph.ts";

const MAX_BATCH_ITEMS = 8;
const MAX_TEXTS = 256;
const MAX_CACHED_TEXTS = 4096;

const NO_TEXTS: PipelineResult = {
  error: {
    code: "ItemInvalid",
    message: "there is no text to match the image with: give parameters.candidateLabels",
  },
};
const TOO_MANY_TEXTS: PipelineResult = {
  error: { code: "ItemInvalid", message: `an image is matched with ${MAX_TEXTS} texts at most` },
};

/**
 * Which of several texts fits an image: both have a vector of the same space, and the likelihood of a text is the softmax
 * of scaled cosines over all texts. With one text alone there is nothing to choose: its score is the cosine, 0 where that is
 * negative.
 */
export class DualTower implements Pipeline {
  readonly taskTypes = ["image-text-matching"] as const;
  readonly batching: Pipeline["batching"] = { maxItems: MAX_BATCH_ITEMS, maxLength: 1 };
  readonly sample: () => PipelineItem;
  readonly #images: Session;
  readonly #texts: TextEncoderGraph;
  readonly #config: DualTowerConfig;
  /** Texts are the same for many images. */
  readonly #vectors = new Map<string, Float32Array>();

  private constructor(images: Session, texts: TextEncoderGraph, config: DualTowerConfig, media: Media) {
    this.#images = images;
    this.#texts = texts;
    this.#config = config;
    const parameters = { candidateLabels: ["a", "b"] };
    this.sample = () => ({ type: "image-text-matching", text: "", media, parameters });
  }

  static async create(images: Session, config: DualTowerConfig, files: PipelineFiles): Promise<DualTower> {
    const session = await files.loadSession(config.text.file);
    const texts = await TextEncoderGraph.create(session, config.text, files);
    return new DualTower(images, texts, config, await blankImage(config.image.width, config.image.height));
  }

  async run(items: readonly PipelineItem[]): Promise<readonly PipelineResult[]> {
    const views = await viewsOf(items, this.#config.image);
    const vectors = await this.#imageVectors(views.filter((view) => view instanceof Float32Array));
    const results: PipelineResult[] = [];
    let at = 0;
    for (const [index, view] of views.entries()) {
      const item = items[index];
      if (!(view instanceof Float32Array)) results.push(view);
      else if (item !== undefined) results.push(await this.#match(vectors[at++], item));
    }
    return results;
  }

  async #imageVectors(images: readonly Float32Array[]): Promise<readonly Float32Array[]> {
    if (images.length === 0) return [];
    const { input, output, width, height } = this.#config.image;
    const tensor = this.#images.float32(concatenated(images), [images.length, 3, height, width]);
    return this.#rowsOf(floatsOf(await this.#images.run({ [input]: tensor }), output));
  }

  async #match(image: Float32Array | undefined, item: PipelineItem): Promise<PipelineResult> {
    const { candidateLabels, topK } = item.parameters;
    const texts = candidateLabels ?? [item.text, item.fields?.["text"] ?? ""].filter((text) => text !== "");
    if (image === undefined || texts.length === 0) return NO_TEXTS;
    if (texts.length > MAX_TEXTS) return TOO_MANY_TEXTS;
    const vectors = await this.#textVectors(texts);
    const cosines = Float32Array.from(vectors, (vector) => dot(image, vector));
    const isChoice = texts.length > 1;
    const scores = isChoice
      ? activate(
          cosines.map((cosine) => cosine * this.#config.logitScale),
          "softmax",
        )
      : cosines;
    const labels = texts.map((label, index) => ({ label, score: roundScore(scores[index] ?? 0) }));
    return {
      output: {
        type: "image-text-matching",
        labels: bestLabels(labels, { topK }),
        scoreSource: isChoice ? "probability" : "similarity",
      },
    };
  }

  async #textVectors(texts: readonly string[]): Promise<readonly Float32Array[]> {
    if (this.#vectors.size + texts.length > MAX_CACHED_TEXTS) this.#vectors.clear();
    const unknown = [...new Set(texts)].filter((text) => !this.#vectors.has(text));
    const rows = this.#rowsOf(await this.#texts.run(unknown.map((text) => this.#texts.encode(text))));
    for (const [index, text] of unknown.entries()) {
      const vector = rows[index];
      if (vector !== undefined) this.#vectors.set(text, vector);
    }
    return texts.flatMap((text) => this.#vectors.get(text) ?? []);
  }

  /** Rows of length 1. */
  #rowsOf(values: Float32Array): readonly Float32Array[] {
    const { dimensions } = this.#config;
    return Array.from({ length: values.length / dimensions }, (_, row) => {
      const vector = values.slice(row * dimensions, (row + 1) * dimensions);
      const length = Math.sqrt(dot(vector, vector));
      return length === 0 ? vector : vector.map((value) => value / length);
    });
  }
}

function dot(a: Float32Array, b: Float32Array): number {
  let sum = 0;
  for (const [index, value] of a.entries()) sum += value * (b[index] ?? 0);
  return sum;
}
