import { isAscii } from "node:buffer";
import { TextDecoder } from "node:util";
import { analyse } from "chardet";
import { AutoglmError } from "@autoglm/api";

/** Bytes from the first non-ASCII one on that decide the charset. */
const EVIDENCE_BYTES = 64 * 1024;
/** What chardet may answer and a user may mean; its single-byte guesses fit any bytes, so they prove nothing. */
const MULTIBYTE_CHARSETS = new Set(["GB18030", "Big5", "Shift_JIS", "EUC-JP", "EUC-KR"]);
const BYTE_ORDER_MARKS = [
  { bytes: [0xef, 0xbb, 0xbf], charset: "utf-8" },
  { bytes: [0xff, 0xfe], charset: "utf-16le" },
  { bytes: [0xfe, 0xff], charset: "utf-16be" },
] as const;

/**
 * Decodes text of unknown charset: UTF-8 or UTF-16 by byte order mark, UTF-16 by its zero bytes, UTF-8 where the bytes
 * are valid, else GB18030 and its East Asian relatives as chardet judges.
 *
 * ASCII is the same in all but UTF-16, so it passes at once; the decision falls at the first other byte, with up to 64 KiB
 * from there as evidence. Bytes that are invalid after that become U+FFFD.
 * @throws AutoglmError `InputFormatNotRecognised` when no charset fits
 */
export async function* decodeText(source: AsyncIterable<Uint8Array>): AsyncGenerator<string> {
  let decoder: TextDecoder | undefined;
  let evidence = Buffer.alloc(0);
  let atStart = true;
  for await (const chunk of source) {
    if (decoder !== undefined) {
      yield decoder.decode(chunk, { stream: true });
      continue;
    }
    evidence = evidence.length === 0 ? Buffer.from(chunk) : Buffer.concat([evidence, chunk]);
    if (atStart && evidence.length < 4) continue;
    if (isPlainAscii(evidence)) {
      yield evidence.toString("latin1");
      evidence = Buffer.alloc(0);
      atStart = false;
    } else if (evidence.length >= EVIDENCE_BYTES) {
      decoder = new TextDecoder(charsetOf(evidence, atStart));
      yield decoder.decode(evidence, { stream: true });
    }
  }
  if (decoder === undefined) decoder = new TextDecoder(charsetOf(evidence, atStart));
  else evidence = Buffer.alloc(0);
  const rest = decoder.decode(evidence);
  if (rest !== "") yield rest;
}

/** A zero byte is ASCII by number, and in text a sign of UTF-16. */
function isPlainAscii(bytes: Buffer): boolean {
  return isAscii(bytes) && !bytes.includes(0);
}

function charsetOf(bytes: Buffer, atStart: boolean): string {
  if (atStart) {
    const mark = BYTE_ORDER_MARKS.find(({ bytes: mark }) =>
      mark.every((byte, index) => bytes[index] === byte),
    );
    if (mark !== undefined) return mark.charset;
    const utf16 = utf16WithoutMark(bytes);
    if (utf16 !== undefined) return utf16;
  }
  if (isUtf8Prefix(bytes)) return "utf-8";
  const guess = analyse(bytes).find((match) => MULTIBYTE_CHARSETS.has(match.name));
  if (guess !== undefined && !bytes.includes(0)) return guess.name;
  throw new AutoglmError(
    "InputFormatNotRecognised",
    "the input is not text: its bytes are no UTF-8, UTF-16 or GB18030",
  );
}

/** Zero bytes of ASCII characters stand at odd offsets in little endian, at even ones in big endian. */
function utf16WithoutMark(bytes: Buffer): "utf-16le" | "utf-16be" | undefined {
  const zeros = [0, 0] as [number, number];
  const sample = bytes.subarray(0, 4096);
  for (const [index, byte] of sample.entries()) if (byte === 0) zeros[index % 2 === 0 ? 0 : 1] += 1;
  const [even, odd] = zeros;
  const many = sample.length / 10;
  if (odd > many && even === 0) return "utf-16le";
  if (even > many && odd === 0) return "utf-16be";
  return undefined;
}

/** True for bytes that are UTF-8, or its beginning cut anywhere. */
function isUtf8Prefix(bytes: Buffer): boolean {
  try {
    new TextDecoder("utf-8", { fatal: true }).decode(bytes, { stream: true });
    return true;
  } catch {
    return false;
  }
}
