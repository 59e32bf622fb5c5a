/** Raw pixels as PNG (RFC 2083), so that a page of a PDF is an image like any other. */
import { crc32, deflateSync } from "node:zlib";
import { refuse } from "./items.ts";

const SIGNATURE = Buffer.from([0x89, 0x50, 0x4e, 0x47, 0x0d, 0x0a, 0x1a, 0x0a]);

/**
 * @param pixels rows without padding of 1 bit, or 1, 3 or 4 bytes (grey, RGB, RGBA) for each pixel
 * @throws AutoglmError `ItemInvalid` when the number of bytes fits none of them
 */
export function encodePng({
  width,
  height,
  data,
}: {
  readonly width: number;
  readonly height: number;
  readonly data: Uint8Array;
}): Uint8Array {
  const { bitDepth, colour, rowBytes } = layoutOf(width, height, data.length);
  const rows = Buffer.alloc((rowBytes + 1) * height);
  // Each row has its filter in front: 0, none.
  for (let row = 0; row < height; row++)
    rows.set(data.subarray(row * rowBytes, (row + 1) * rowBytes), row * (rowBytes + 1) + 1);
  const header = Buffer.alloc(13);
  header.writeUInt32BE(width, 0);
  header.writeUInt32BE(height, 4);
  header.set([bitDepth, colour, 0, 0, 0], 8);
  return Buffer.concat([
    SIGNATURE,
    chunk("IHDR", header),
    chunk("IDAT", deflateSync(rows, { level: 1 })),
    chunk("IEND", Buffer.alloc(0)),
  ]);
}

function layoutOf(width: number, height: number, length: number) {
  const packed = Math.ceil(width / 8);
  if (length === packed * height && length !== width * height)
    return { bitDepth: 1, colour: 0, rowBytes: packed };
  const channels = length / (width * height);
  const colour = { 1: 0, 3: 2, 4: 6 }[channels];
  if (colour === undefined) throw refuse("ItemInvalid", "the pixels of the image are in no known layout");
  return { bitDepth: 8, colour, rowBytes: width * channels };
}

function chunk(type: string, body: Uint8Array): Buffer {
  const bytes = Buffer.alloc(body.length + 12);
  bytes.writeUInt32BE(body.length, 0);
  bytes.write(type, 4, "latin1");
  bytes.set(body, 8);
  bytes.writeUInt32BE(crc32(bytes.subarray(4, body.length + 8)), body.length + 8);
  return bytes;
}
