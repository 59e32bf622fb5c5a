import { decodeImage, planesOf, resizeImage, type Normalization, type RgbImage } from "./image.ts";
import type { PipelineItem, PipelineResult } from "./pipeline.ts";

/** Longer sides are shrunk as the image is decoded: what graphs look at is a few hundred pixels wide. */
const MAX_SIDE = 2048;

export interface View {
  readonly width: number;
  readonly height: number;
  /** Share of the shorter side that is seen, from the middle. */
  readonly crop: number;
  readonly normalization: Normalization;
}

export type Refused = Extract<PipelineResult, { error: unknown }>;

/** The floats [3, height, width] of each item's image, or why there are none. */
export function viewsOf(
  items: readonly PipelineItem[],
  view: View,
): Promise<readonly (Float32Array | Refused)[]> {
  return Promise.all(
    items.map(async ({ media }) => {
      const image = await decodeImage(media, MAX_SIDE);
      return "error" in image ? image : planesOf(await cropMiddle(image, view), view.normalization);
    }),
  );
}

/** The largest part of that form in the middle, of which `crop` is seen. */
async function cropMiddle(image: RgbImage, { width, height, crop }: View): Promise<RgbImage> {
  const scale = crop * Math.min(image.width / width, image.height / height);
  const part = {
    width: Math.max(1, Math.round(width * scale)),
    height: Math.max(1, Math.round(height * scale)),
  };
  const left = Math.floor((image.width - part.width) / 2);
  const top = Math.floor((image.height - part.height) / 2);
  return resizeImage(image, { width, height }, { left, top, ...part });
}

/** Rows one behind the other: the batch of a graph. */
export function concatenated(rows: readonly Float32Array[]): Float32Array {
  const all = new Float32Array(rows.reduce((sum, { length }) => sum + length, 0));
  let at = 0;
  for (const row of rows) {
    all.set(row, at);
    at += row.length;
  }
  return all;
}
