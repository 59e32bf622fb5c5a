import { activate } from "./activation.ts";
import { blankImage } from "./image.ts";
import { concatenated, viewsOf } from "./image-batch.ts";
import { bestLabels } from "./labels.ts";
import type { ImageClassifierConfig } from "./media-config.ts";
import {
  floatsOf,
  roundScore,
  type Media,
  type Pipeline,
  type PipelineItem,
  type PipelineResult,
  type Session,
} from "./pipeline.ts";

const MAX_BATCH_ITEMS = 8;

/** Image → the middle of it in the size of the graph → probabilities of labels. */
export class ImageClassifier implements Pipeline {
  readonly taskTypes = ["image-classification"] as const;
  readonly batching: Pipeline["batching"] = { maxItems: MAX_BATCH_ITEMS, maxLength: 1 };
  readonly sample: () => PipelineItem;
  readonly #session: Session;
  readonly #config: ImageClassifierConfig;

  private constructor(session: Session, config: ImageClassifierConfig, warmUpImage: Media) {
    this.#session = session;
    this.#config = config;
    this.sample = () => ({ type: "image-classification", text: "", media: warmUpImage, parameters: {} });
  }

  static async create(session: Session, config: ImageClassifierConfig): Promise<ImageClassifier> {
    return new ImageClassifier(session, config, await blankImage(config.width, config.height));
  }

  async run(items: readonly PipelineItem[]): Promise<readonly PipelineResult[]> {
    const views = await viewsOf(items, this.#config);
    const images = views.filter((view) => view instanceof Float32Array);
    const { input, output, width, height, labels } = this.#config;
    const values =
      images.length === 0
        ? new Float32Array(0)
        : floatsOf(
            await this.#session.run({
              [input]: this.#session.float32(concatenated(images), [images.length, 3, height, width]),
            }),
            output,
          );
    let at = 0;
    return views.map((view, index) => {
      if (!(view instanceof Float32Array)) return view;
      const row = values.subarray(at, (at += labels.length));
      return this.#resultOf(row, items[index]?.parameters ?? {});
    });
  }

  #resultOf(values: Float32Array, parameters: PipelineItem["parameters"]): PipelineResult {
    const { labels, activation } = this.#config;
    const probabilities = activate(values, activation);
    const scored = labels.map((label, index) => ({ label, score: roundScore(probabilities[index] ?? 0) }));
    return {
      output: {
        type: "image-classification",
        labels: bestLabels(scored, { ...parameters, topK: parameters.topK ?? DEFAULT_LABELS }),
        scoreSource: "probability",
      },
    };
  }
}

/** Of the thousand that a model may have. */
const DEFAULT_LABELS = 5;
