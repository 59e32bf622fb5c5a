import sharp from "sharp";
import type { Media, PipelineResult } from "./pipeline.ts";

/** Pixels of 8-bit RGB, row by row. */
export interface RgbImage {
  readonly width: number;
  readonly height: number;
  readonly data: Uint8Array;
}

export interface DecodedImage extends RgbImage {
  /** Pixels of the image as it came, turned as its EXIF says, per pixel here. */
  readonly scaleX: number;
  readonly scaleY: number;
}

type Refusal = Extract<PipelineResult, { error: unknown }>;

/** 64 megapixels take 192 MB as they are decoded; a file of a few bytes may promise any number. */
const MAX_PIXELS = 64_000_000;
const FORMATS: ReadonlySet<string> = new Set(["png", "jpeg", "webp"]);

// What else the library can open (SVG, PDF, TIFF) stays shut: the input is a stranger's.
sharp.block({ operation: ["VipsForeignLoad"] });
sharp.unblock({
  operation: ["VipsForeignLoadPngBuffer", "VipsForeignLoadJpegBuffer", "VipsForeignLoadWebpBuffer"],
});
// The processes share the cores among them, and an image is not seen twice.
sharp.concurrency(1);
sharp.cache(false);

const refusal = (message: string): Refusal => ({ error: { code: "ItemInvalid", message } });

/**
 * A PNG, JPEG or WebP image as RGB, turned upright by its EXIF orientation, on white where it is transparent.
 * @param maxSide longer sides are shrunk to this
 */
export async function decodeImage(
  media: Media | undefined,
  maxSide: number,
): Promise<DecodedImage | Refusal> {
  if (media === undefined)
    return refusal("the item is no image: an image of type png, jpeg or webp is needed");
  try {
    const source = sharp(media.bytes, { limitInputPixels: MAX_PIXELS, failOn: "error" });
    const { format, autoOrient } = await source.metadata();
    if (!FORMATS.has(format)) return refusal(NOT_READABLE);
    if (autoOrient.width * autoOrient.height > MAX_PIXELS) return refusal(TOO_LARGE);
    const { data, info } = await source
      .autoOrient()
      .flatten({ background: "white" })
      .resize({ width: maxSide, height: maxSide, fit: "inside", withoutEnlargement: true })
      .toColourspace("srgb")
      .raw({ depth: "uchar" })
      .toBuffer({ resolveWithObject: true });
    const { width, height } = info;
    return {
      width,
      height,
      data: info.channels === 3 ? data : asRgb(data, info.channels),
      scaleX: autoOrient.width / width,
      scaleY: autoOrient.height / height,
    };
  } catch (cause) {
    // The library has no codes; its messages never quote the image.
    const isBomb = cause instanceof Error && /pixel limit/i.test(cause.message);
    return refusal(isBomb ? TOO_LARGE : NOT_READABLE);
  }
}

const TOO_LARGE = `the image has more than ${MAX_PIXELS / 1e6} megapixels: shrink it first`;
const NOT_READABLE = "the image can't be read: it is damaged, cut short, or no png, jpeg or webp";

function asRgb(data: Uint8Array, channels: number): Uint8Array {
  const rgb = new Uint8Array((data.length / channels) * 3);
  for (let pixel = 0; pixel * channels < data.length; pixel++)
    for (let channel = 0; channel < 3; channel++)
      rgb[pixel * 3 + channel] = data[pixel * channels + (channels < 3 ? 0 : channel)] ?? 0;
  return rgb;
}

/** Part of an image, or all of it, in another size. */
export async function resizeImage(
  { width, height, data }: RgbImage,
  target: { readonly width: number; readonly height: number },
  from: { readonly left: number; readonly top: number; readonly width: number; readonly height: number } = {
    left: 0,
    top: 0,
    width,
    height,
  },
): Promise<RgbImage> {
  const resized = await sharp(data, { raw: { width, height, channels: 3 } })
    .extract(from)
    .resize({ ...target, fit: "fill", kernel: "cubic" })
    .raw({ depth: "uchar" })
    .toBuffer();
  return { ...target, data: resized };
}

export interface Normalization {
  /** Of the channels in the order that the graph wants, after division by 255. */
  readonly mean: readonly number[];
  readonly std: readonly number[];
  readonly channels: "RGB" | "BGR";
}

/** The floats [3, height, width] of an image. */
export function planesOf({ width, height, data }: RgbImage, normalization: Normalization): Float32Array {
  const size = width * height;
  const planes = new Float32Array(3 * size);
  for (let channel = 0; channel < 3; channel++) {
    const source = normalization.channels === "RGB" ? channel : 2 - channel;
    const scale = 1 / (255 * (normalization.std[channel] ?? 1));
    const shift = (normalization.mean[channel] ?? 0) / (normalization.std[channel] ?? 1);
    for (let pixel = 0; pixel < size; pixel++)
      planes[channel * size + pixel] = (data[pixel * 3 + source] ?? 0) * scale - shift;
  }
  return planes;
}

/** A white image, as a file: what pipelines are warmed up with. */
export async function blankImage(width: number, height: number): Promise<Media> {
  const create = { width, height, channels: 3 as const, background: "white" };
  return { type: "image/png", bytes: await sharp({ create }).png().toBuffer() };
}
