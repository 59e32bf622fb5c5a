import { activate } from "./activation.ts";
import { blankImage, decodeImage, planesOf, resizeImage, type DecodedImage, type RgbImage } from "./image.ts";
import type { DetectorConfig } from "./media-config.ts";
import { suppressOverlaps, type Box, type Candidate } from "./overlap.ts";
import { PipelineFailure } from "./failure.ts";
import {
  floatsOf,
  roundScore,
  type Media,
  type Pipeline,
  type PipelineItem,
  type PipelineResult,
  type RunHooks,
  type Session,
  type Tensor,
} from "./pipeline.ts";

const MAX_SIDE = 4096;
const MAX_OBJECTS = 300;
/** Boxes beyond are not compared with each other. */
const MAX_CANDIDATES = 3000;
/** The grey that YOLO's training fills letterboxes with. */
const GREY = 114;

type Outputs = Readonly<Record<string, Tensor>>;

/** How pixels of the graph's input lie in the image: x = (X - left) × scaleX. */
interface Placement {
  readonly left: number;
  readonly top: number;
  readonly scaleX: number;
  readonly scaleY: number;
}

interface Found {
  readonly index: number;
  readonly score: number;
  /** In the form and the unit of the model. */
  readonly values: readonly [number, number, number, number];
}

/** Objects of an image: image → boxes with scores → those that are likely enough and don't lie on each other. */
export class Detector implements Pipeline {
  readonly taskTypes = ["object-detection"] as const;
  readonly batching: Pipeline["batching"] = { maxItems: 1, maxLength: 1 };
  readonly sample: () => PipelineItem;
  readonly #session: Session;
  readonly #config: DetectorConfig;

  private constructor(session: Session, config: DetectorConfig, media: Media) {
    this.#session = session;
    this.#config = config;
    this.sample = () => ({ type: "object-detection", text: "", media, parameters: {} });
  }

  static async create(session: Session, config: DetectorConfig): Promise<Detector> {
    return new Detector(session, config, await blankImage(config.width, config.height));
  }

  async run(items: readonly PipelineItem[], { onProgress }: RunHooks): Promise<readonly PipelineResult[]> {
    const results: PipelineResult[] = [];
    for (const item of items) {
      const image = await decodeImage(item.media, MAX_SIDE);
      results.push("error" in image ? image : await this.#detect(image, item));
      onProgress();
    }
    return results;
  }

  async #detect(image: DecodedImage, { parameters }: PipelineItem): Promise<PipelineResult> {
    const { input, width, height, normalization, labels, minScore, maxOverlap } = this.#config;
    const { view, placement } = await this.#fit(image);
    const tensor = this.#session.float32(planesOf(view, normalization), [1, 3, height, width]);
    const found = this.#found(await this.#session.run({ [input]: tensor }));
    const least = parameters.threshold ?? minScore;
    const candidates = found
      .filter(({ index, score }) => score >= least && (labels[index] ?? "") !== "")
      .sort((a, b) => b.score - a.score)
      .slice(0, MAX_CANDIDATES)
      .map(({ index, score, values }): Candidate => ({
        label: labels[index] ?? "",
        score: roundScore(score),
        box: this.#boxOf(values, placement, image),
      }))
      .filter(({ box }) => box.xmax > box.xmin && box.ymax > box.ymin);
    const objects = suppressOverlaps(candidates, maxOverlap, MAX_OBJECTS);
    return {
      output: { type: "object-detection", objects: [...objects], scoreSource: "probability" },
    };
  }

  async #fit(image: DecodedImage): Promise<{ readonly view: RgbImage; readonly placement: Placement }> {
    const { width, height, resize } = this.#config;
    if (resize === "stretch") {
      const view = await resizeImage(image, { width, height });
      const [scaleX, scaleY] = [image.width / width, image.height / height];
      return { view, placement: { left: 0, top: 0, scaleX, scaleY } };
    }
    const scale = Math.min(width / image.width, height / image.height);
    const inner = {
      width: Math.max(1, Math.round(image.width * scale)),
      height: Math.max(1, Math.round(image.height * scale)),
    };
    const left = Math.floor((width - inner.width) / 2);
    const top = Math.floor((height - inner.height) / 2);
    const { data } = await resizeImage(image, inner);
    const framed = new Uint8Array(width * height * 3).fill(GREY);
    for (let row = 0; row < inner.height; row++)
      framed.set(
        data.subarray(row * inner.width * 3, (row + 1) * inner.width * 3),
        ((top + row) * width + left) * 3,
      );
    const [scaleX, scaleY] = [image.width / inner.width, image.height / inner.height];
    return { view: { width, height, data: framed }, placement: { left, top, scaleX, scaleY } };
  }

  #found(outputs: Outputs): readonly Found[] {
    const { output } = this.#config;
    return output.layout === "yolo" ? this.#columns(outputs, output.name) : this.#rows(outputs, output);
  }

  /** [1, 4 + classes, n]: a column for each box. */
  #columns(outputs: Outputs, name: string): readonly Found[] {
    const values = floatsOf(outputs, name);
    const { length: classes } = this.#config.labels;
    const [, rows, count = 0] = outputs[name]?.dims ?? [];
    if (rows !== 4 + classes) throw this.#wrongShape(name);
    const at = (row: number, column: number) => values[row * count + column] ?? 0;
    return Array.from({ length: count }, (_, column) => {
      const scores = Float32Array.from({ length: classes }, (_, index) => at(4 + index, column));
      return {
        ...bestOf(scores),
        values: [at(0, column), at(1, column), at(2, column), at(3, column)],
      };
    });
  }

  #rows(
    outputs: Outputs,
    names: Extract<DetectorConfig["output"], { readonly layout: "boxes" }>,
  ): readonly Found[] {
    const boxes = floatsOf(outputs, names.boxes);
    const scores = floatsOf(outputs, names.scores);
    const classes = names.classes === undefined ? undefined : outputs[names.classes]?.data;
    const count = Math.floor(boxes.length / 4);
    const width = classes === undefined ? this.#config.labels.length : 1;
    if (boxes.length !== count * 4 || scores.length !== count * width) throw this.#wrongShape(names.scores);
    return Array.from({ length: count }, (_, row) => {
      const own = activate(scores.subarray(row * width, (row + 1) * width), names.activation);
      const best =
        classes === undefined
          ? bestOf(own)
          : { index: Number((classes as ArrayLike<number | bigint>)[row] ?? -1), score: own[0] ?? 0 };
      const [a = 0, b = 0, c = 0, d = 0] = boxes.subarray(row * 4, row * 4 + 4);
      return { ...best, values: [a, b, c, d] };
    });
  }

  #wrongShape(name: string): PipelineFailure {
    return new PipelineFailure(
      "ModelLoadFailed",
      `the output ${name} has another shape than pipeline.json with ${this.#config.labels.length} labels says`,
      { final: true },
    );
  }

  #boxOf(values: Found["values"], placement: Placement, image: DecodedImage): Box {
    const { boxes, width, height } = this.#config;
    const [sx, sy] = boxes.unit === "shares" ? [width, height] : [1, 1];
    const [a, b, c, d] = [values[0] * sx, values[1] * sy, values[2] * sx, values[3] * sy];
    const edges = {
      xyxy: [a, b, c, d],
      xywh: [a, b, a + c, b + d],
      cxcywh: [a - c / 2, b - d / 2, a + c / 2, b + d / 2],
    }[boxes.form];
    const [left = 0, top = 0, right = 0, bottom = 0] = edges;
    const x = (value: number) =>
      Math.min(image.width, Math.max(0, (value - placement.left) * placement.scaleX));
    const y = (value: number) =>
      Math.min(image.height, Math.max(0, (value - placement.top) * placement.scaleY));
    return {
      xmin: tenth(x(left) * image.scaleX),
      ymin: tenth(y(top) * image.scaleY),
      xmax: tenth(x(right) * image.scaleX),
      ymax: tenth(y(bottom) * image.scaleY),
    };
  }
}

/** Tenths of a pixel: what is beyond is noise. */
const tenth = (value: number) => Math.round(value * 10) / 10;

function bestOf(scores: Float32Array): { readonly index: number; readonly score: number } {
  let index = 0;
  for (const [at, score] of scores.entries()) if (score > (scores[index] ?? -Infinity)) index = at;
  return { index, score: scores[index] ?? 0 };
}
