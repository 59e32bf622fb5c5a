import type { ItemOutput } from "@autoglm/api";
import { decodeCtc, type CtcOptions } from "./ctc.ts";
import { cornersOf, distance, type Corners } from "./geometry.ts";
import { blankImage, decodeImage, planesOf, resizeImage, type DecodedImage, type RgbImage } from "./image.ts";
import { cropLine, laidDown, turned } from "./line-crop.ts";
import type { OcrConfig } from "./media-config.ts";
import {
  floatsOf,
  roundScore,
  type Media,
  type Pipeline,
  type PipelineFiles,
  type PipelineItem,
  type PipelineResult,
  type RunHooks,
  type Session,
} from "./pipeline.ts";
import { rowsOf } from "./reading-order.ts";
import { findTextBoxes } from "./text-boxes.ts";

/** Longer sides are shrunk as the image is decoded: 48 MB of pixels at most. */
const MAX_SIDE = 4000;
/** Sides of the detector's input are multiples of it. */
const STRIDE = 32;
const MAX_LINES = 1000;
const MIN_BOX_SIDE = 3;
/** Wider lines are squeezed; 60 times as wide as high. */
const MAX_LINE_WIDTH = 2880;
/** A box so much higher than wide is a line that stands upright. */
const UPRIGHT = 1.5;
const WARM_UP_SIDE = 640;

interface Line {
  readonly text: string;
  readonly score: number;
  readonly corners: Corners;
}

interface Sessions {
  readonly detection: Session;
  readonly recognition: Session;
  readonly orientation: Session | undefined;
}

/**
 * Text of an image: image → probability of text per pixel → boxes → each box straightened, turned upright if it stands on its
 * head → its characters (CTC) → lines in reading order.
 */
export class Ocr implements Pipeline {
  readonly taskTypes = ["image-to-text"] as const;
  readonly batching: Pipeline["batching"] = { maxItems: 1, maxLength: 1 };
  readonly sample: () => PipelineItem;
  readonly #sessions: Sessions;
  readonly #config: OcrConfig;
  readonly #gap: CtcOptions["gap"];

  private constructor(sessions: Sessions, config: OcrConfig, warmUpImage: Media) {
    this.#sessions = sessions;
    this.#config = config;
    const { characters, spaceSum } = config.recognition;
    // No words are set apart in Chinese text.
    const spaced = characters.map((character) =>
      /^[^\s\p{Script=Han}\u3000-\u303f\uff00-\uffef]$/u.test(character),
    );
    if (spaceSum !== undefined)
      this.#gap = {
        index: characters.lastIndexOf(" "),
        minSum: spaceSum,
        hasGaps: (index) => spaced[index] === true,
      };
    this.sample = () => ({ type: "image-to-text", text: "", media: warmUpImage, parameters: {} });
  }

  static async create(detection: Session, config: OcrConfig, { loadSession }: PipelineFiles): Promise<Ocr> {
    const recognition = await loadSession(config.recognition.file);
    const orientation =
      config.orientation === undefined ? undefined : await loadSession(config.orientation.file);
    const image = await blankImage(WARM_UP_SIDE, WARM_UP_SIDE);
    return new Ocr({ detection, recognition, orientation }, config, image);
  }

  async run(items: readonly PipelineItem[], { onProgress }: RunHooks): Promise<readonly PipelineResult[]> {
    const results: PipelineResult[] = [];
    for (const item of items) {
      const image = await decodeImage(item.media, MAX_SIDE);
      results.push("error" in image ? image : { output: await this.#read(image, item, onProgress) });
      onProgress();
    }
    return results;
  }

  async #read(
    image: DecodedImage,
    { parameters }: PipelineItem,
    onProgress: () => void,
  ): Promise<ItemOutput> {
    const minScore = parameters.threshold ?? this.#config.recognition.minScore;
    const lines: Line[] = [];
    for (const corners of await this.#boxesOf(image)) {
      const line = await this.#lineOf(image, corners);
      if (line.text !== "" && line.score >= minScore) lines.push(line);
      onProgress();
    }
    const rows = rowsOf(lines);
    return {
      type: "image-to-text",
      generated_text: rows.map((row) => row.map(({ text }) => text).join(" ")).join("\n"),
      lines: rows.flat().map(({ text, score, corners }) => ({
        text,
        score: roundScore(score),
        box: corners.map(({ x, y }): [number, number] => [
          Math.round(x * image.scaleX),
          Math.round(y * image.scaleY),
        ]),
      })),
      scoreSource: "probability",
    };
  }

  async #boxesOf(image: RgbImage): Promise<readonly Corners[]> {
    const { input, output, normalization, longestSide, maxScale, threshold, boxThreshold, unclipRatio } =
      this.#config.detection;
    const scale = Math.min(maxScale, longestSide / Math.max(image.width, image.height));
    const toStride = (size: number) => Math.max(STRIDE, Math.round((size * scale) / STRIDE) * STRIDE);
    const resized = await resizeImage(image, {
      width: toStride(image.width),
      height: toStride(image.height),
    });
    const { width, height } = resized;
    const session = this.#sessions.detection;
    const planes = session.float32(planesOf(resized, normalization), [1, 3, height, width]);
    const map = floatsOf(await session.run({ [input]: planes }), output);
    const options = { threshold, boxThreshold, unclipRatio, minSide: MIN_BOX_SIDE, maxBoxes: MAX_LINES };
    const [scaleX, scaleY] = [image.width / width, image.height / height];
    return findTextBoxes(map, width, height, options).map((box) => {
      const [a, b, c, d] = cornersOf(box);
      const place = ({ x, y }: { x: number; y: number }) => ({
        x: Math.min(image.width, Math.max(0, x * scaleX)),
        y: Math.min(image.height, Math.max(0, y * scaleY)),
      });
      return [place(a), place(b), place(c), place(d)];
    });
  }

  async #lineOf(image: RgbImage, corners: Corners): Promise<Line> {
    const [a, b, , d] = corners;
    const flat = distance(a, d) >= UPRIGHT * distance(a, b) ? laidDown(corners) : corners;
    const upright = (await this.#isOnItsHead(image, flat)) ? turned(flat) : flat;
    const { input, output, height, minWidth, normalization, characters } = this.#config.recognition;
    const crop = cropLine(image, upright, height, MAX_LINE_WIDTH);
    const width = Math.max(minWidth, crop.width);
    const session = this.#sessions.recognition;
    const planes = padded(planesOf(crop, normalization), crop.width, width);
    const outputs = await session.run({ [input]: session.float32(planes, [1, 3, height, width]) });
    const probabilities = floatsOf(outputs, output);
    const { classes, score } = decodeCtc(probabilities, {
      classes: characters.length,
      blank: 0,
      gap: this.#gap,
    });
    const text = classes.map((index) => characters[index] ?? "").join("");
    return { text: text.trim(), score, corners };
  }

  async #isOnItsHead(image: RgbImage, corners: Corners): Promise<boolean> {
    const { orientation: config } = this.#config;
    const { orientation: session } = this.#sessions;
    if (config === undefined || session === undefined) return false;
    const crop = cropLine(image, corners, config.height, config.width);
    const planes = padded(planesOf(crop, config.normalization), crop.width, config.width);
    const tensor = session.float32(planes, [1, 3, config.height, config.width]);
    const [, isTurned = 0] = floatsOf(await session.run({ [config.input]: tensor }), config.output);
    return isTurned > config.threshold;
  }
}

/** Rows of `planes` with zeros behind them: the middle grey that the networks were trained with. */
function padded(planes: Float32Array, width: number, target: number): Float32Array {
  if (width >= target) return planes;
  const rows = planes.length / width;
  const wide = new Float32Array(rows * target);
  for (let row = 0; row < rows; row++)
    wide.set(planes.subarray(row * width, (row + 1) * width), row * target);
  return wide;
}
