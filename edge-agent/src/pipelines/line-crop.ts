import { distance, type Corners } from "./geometry.ts";
import type { RgbImage } from "./image.ts";

/** Samples per pixel and axis at most: beyond, text is so large that nothing is lost. */
const MAX_SAMPLES = 4;

/** A line of text, straightened to `height` pixels; pixels beyond the image are those of its border. */
export function cropLine(image: RgbImage, corners: Corners, height: number, maxWidth: number): RgbImage {
  const [origin, right, , down] = corners;
  const lineHeight = Math.max(1, distance(origin, down));
  const width = Math.max(1, Math.min(maxWidth, Math.ceil((height * distance(origin, right)) / lineHeight)));
  const samples = Math.max(1, Math.min(MAX_SAMPLES, Math.round(lineHeight / height)));
  const data = new Uint8Array(width * height * 3);
  const step = 1 / samples;
  const color = [0, 0, 0];
  for (let y = 0; y < height; y++) {
    for (let x = 0; x < width; x++) {
      color.fill(0);
      for (let sub = 0; sub < samples * samples; sub++) {
        const u = (x + ((sub % samples) + 0.5) * step) / width;
        const v = (y + (Math.floor(sub / samples) + 0.5) * step) / height;
        addPixel(
          image,
          origin.x + u * (right.x - origin.x) + v * (down.x - origin.x) - 0.5,
          origin.y + u * (right.y - origin.y) + v * (down.y - origin.y) - 0.5,
          color,
        );
      }
      for (let channel = 0; channel < 3; channel++)
        data[(y * width + x) * 3 + channel] = Math.round((color[channel] ?? 0) * step * step);
    }
  }
  return { width, height, data };
}

/** Adds the colour at a place between four pixels. */
function addPixel({ width, height, data }: RgbImage, x: number, y: number, color: number[]): void {
  const cx = Math.min(width - 1, Math.max(0, x));
  const cy = Math.min(height - 1, Math.max(0, y));
  const left = Math.floor(cx);
  const top = Math.floor(cy);
  const fx = cx - left;
  const fy = cy - top;
  const a = (top * width + left) * 3;
  const b = left + 1 < width ? a + 3 : a;
  const below = top + 1 < height ? width * 3 : 0;
  for (let channel = 0; channel < 3; channel++) {
    const upper = (data[a + channel] ?? 0) * (1 - fx) + (data[b + channel] ?? 0) * fx;
    const lower = (data[a + below + channel] ?? 0) * (1 - fx) + (data[b + below + channel] ?? 0) * fx;
    color[channel] = (color[channel] ?? 0) + upper * (1 - fy) + lower * fy;
  }
}

/** The same line seen upside down. */
export const turned = ([a, b, c, d]: Corners): Corners => [c, d, a, b];

/** A line that stands upright, as it is read with the head to the left. */
export const laidDown = ([a, b, c, d]: Corners): Corners => [b, c, d, a];
