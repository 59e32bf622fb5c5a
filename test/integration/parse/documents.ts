import { join } from "node:path";
import { isAutoglmError } from "@autoglm/api";
import {
  openDataFile,
  parseDocument,
  type ByteSource,
  type ParsedItem,
  type ParseOptions,
} from "../../../edge-agent/src/parse/index.ts";

export const AWKWARD = join(import.meta.dirname, "awkward");

/** What became of a document: a text, `[type]` of an image, or `code: message` of each item; or of the whole. */
export async function outcomes(source: ByteSource, options: Partial<ParseOptions> = {}): Promise<string[]> {
  const lines: string[] = [];
  let number = 0;
  try {
    for await (const item of parseDocument(source, { format: "auto", ...options })) {
      if (item.item !== number++) throw new Error(`item ${item.item} came as number ${number - 1}`);
      lines.push(textOf(item));
    }
  } catch (error) {
    if (!isAutoglmError(error)) throw error;
    lines.push(`thrown ${error.code}: ${error.message}`);
  }
  return lines;
}

function textOf(item: ParsedItem): string {
  if ("error" in item) return `${item.error.code}: ${item.error.message}`;
  return item.media === undefined ? item.text : `[${item.media.type}]${item.text}`;
}

export async function fileOutcomes(name: string, options: Partial<ParseOptions> = {}): Promise<string[]> {
  return outcomes(await openDataFile(AWKWARD, name), { name, ...options });
}

/** The same bytes as a stream without a file below it, in pieces. */
export function streamOf(bytes: Uint8Array, pieceBytes = 1000): ByteSource {
  async function* pieces(): AsyncGenerator<Uint8Array> {
    for (let at = 0; at < bytes.length; at += pieceBytes) yield bytes.subarray(at, at + pieceBytes);
  }
  return pieces();
}
