/**
 * What a document is by its first bytes, whatever its name. Signatures decide for binary formats; they are few, fixed
 * and documented by the formats themselves, so that a model for file types (Magika, 3 MB and a run per document) could
 * only repeat them, and be wrong now and then. Which text format a text has is decided on its decoded sample instead.
 */
import type { MediaType } from "./items.ts";

export type BinaryKind =
  | { readonly kind: "media"; readonly type: MediaType }
  | { readonly kind: "zip" | "gzip" | "tar" | "pdf" | "parquet" }
  | { readonly kind: "unsupported"; readonly what: string; readonly mend: string };

/** Bytes that are enough to decide. */
export const SNIFF_BYTES = 1024;

/** undefined: it may be text. */
export function sniffBytes(head: Uint8Array): BinaryKind | undefined {
  const bytes = Buffer.from(head.buffer, head.byteOffset, Math.min(head.byteLength, SNIFF_BYTES));
  const ascii = (start: number, end: number) => bytes.toString("latin1", start, end);
  const type = mediaType(bytes);
  if (type !== undefined) return { kind: "media", type };
  if (["PK\x03\x04", "PK\x05\x06", "PK\x07\x08"].includes(ascii(0, 4))) return { kind: "zip" };
  if (bytes[0] === 0x1f && bytes[1] === 0x8b) return { kind: "gzip" };
  // Behind the magic number comes Thrift, which begins with an i32 as field 1.
  if (ascii(0, 4) === "PAR1" && (bytes[4] === 0x15 || bytes.length === 4)) return { kind: "parquet" };
  // Readers accept what some printers write in front of it.
  if (bytes.length >= 5 && ascii(0, 512).includes("%PDF-") && !/^\s*[[{<]/.test(ascii(0, 16)))
    return { kind: "pdf" };
  if (ascii(257, 262) === "ustar") return { kind: "tar" };
  if (ascii(0, 8) === "\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1") {
    return {
      kind: "unsupported",
      what: "an old Office document (.doc, .xls)",
      mend: "save it as .docx or .xlsx",
    };
  }
  if (/^(GIF8[79]a|BM[\s\S]{4}\0{4}|II\*\0|MM\0\*)/.test(ascii(0, 10))) {
    return { kind: "unsupported", what: "a GIF, BMP or TIFF image", mend: "convert it to png, jpeg or webp" };
  }
  if (/^(7z\xbc\xaf|Rar!|BZh[1-9]|\xfd7zXZ|\x28\xb5\x2f\xfd)/.test(ascii(0, 6))) {
    return {
      kind: "unsupported",
      what: "a 7z, rar, bzip2, xz or zstd archive",
      mend: "pack it as zip or tar.gz",
    };
  }
  return undefined;
}

function mediaType(bytes: Buffer): MediaType | undefined {
  const ascii = (start: number, end: number) => bytes.toString("latin1", start, end);
  if (ascii(0, 8) === "\x89PNG\r\n\x1a\n") return "image/png";
  if (ascii(0, 3) === "\xff\xd8\xff") return "image/jpeg";
  if (ascii(0, 4) === "RIFF" && ascii(8, 12) === "WEBP") return "image/webp";
  if (ascii(0, 4) === "RIFF" && ascii(8, 12) === "WAVE") return "audio/wav";
  if (ascii(0, 4) === "fLaC") return "audio/flac";
  if (ascii(0, 4) === "OggS") return "audio/ogg";
  if (ascii(0, 3) === "ID3" && (bytes[3] ?? 255) < 16) return "audio/mpeg";
  return undefined;
}
