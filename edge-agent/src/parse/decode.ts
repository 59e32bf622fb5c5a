import { isAscii } from "node:buffer";
import { TextDecoder } from "node:util";
import { analyse } from "chardet";
import { AutoglmError } from "@autoglm/api";

/** Bytes at the beginning that a byte order mark or UTF-16 is looked for in. */
const START_BYTES = 1024;
/** Bytes from the first non-ASCII one on that decide among the other charsets. */
const EVIDENCE_BYTES = 64 * 1024;
/** Characters of two bytes up to which a text is too short for chardet. */
const SHORT_PAIRS = 32;
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
 * ASCII is the same in all but UTF-16, so it passes at once; the decision falls at the first other byte, with 64 KiB from
 * there as evidence. Bytes that are invalid after that become U+FFFD. How the bytes are cut into chunks changes nothing.
 * @throws AutoglmError `InputFormatNotRecognised` when no charset fits
 */
export async function* decodeText(source: AsyncIterable<Uint8Array>): AsyncGenerator<string> {
  const decoder = new ChunkDecoder();
  for await (const chunk of source) {
    const text = decoder.push(chunk, false);
    if (text !== "") yield text;
  }
  const rest = decoder.push(new Uint8Array(0), true);
  if (rest !== "") yield rest;
}

class ChunkDecoder {
  #decoder: TextDecoder | undefined;
  #undecided = Buffer.alloc(0);
  #startIsKnown = false;

  push(chunk: Uint8Array, ended: boolean): string {
    if (this.#decoder !== undefined) return this.#decoder.decode(chunk, { stream: !ended });
    this.#undecided = Buffer.concat([this.#undecided, chunk]);
    let charset: string | undefined;
    if (!this.#startIsKnown) {
      if (this.#undecided.length < START_BYTES && !ended) return "";
      this.#startIsKnown = true;
      charset = charsetOfStart(this.#undecided.subarray(0, START_BYTES));
    }
    const ascii = charset === undefined ? this.#takeAscii() : "";
    if (this.#undecided.length >= EVIDENCE_BYTES || ended) {
      charset ??= charsetOf(this.#undecided.subarray(0, EVIDENCE_BYTES));
    }
    if (charset === undefined) return ascii;
    this.#decoder = new TextDecoder(charset);
    return ascii + this.#decoder.decode(this.#undecided, { stream: !ended });
  }

  /** The bytes before the first that is not ASCII. A zero byte is ASCII by number, but no text. */
  #takeAscii(): string {
    const bytes = this.#undecided;
    const plain = isAscii(bytes) && !bytes.includes(0);
    const length = plain ? bytes.length : bytes.findIndex((byte) => byte > 0x7f || byte === 0);
    this.#undecided = bytes.subarray(length);
    return bytes.toString("latin1", 0, length);
  }
}

function charsetOfStart(bytes: Buffer): string | undefined {
  const mark = BYTE_ORDER_MARKS.find(({ bytes: mark }) => mark.every((byte, index) => bytes[index] === byte));
  return mark?.charset ?? utf16WithoutMark(bytes);
}

function charsetOf(bytes: Buffer): string {
  if (isUtf8Prefix(bytes)) return "utf-8";
  if (!bytes.includes(0)) {
    if (isShortChinese(bytes)) return "gb18030";
    const guess = analyse(bytes).find((match) => MULTIBYTE_CHARSETS.has(match.name));
    if (guess !== undefined) return guess.name;
  }
  throw new AutoglmError(
    "InputFormatNotRecognised",
    "the input is not text: its bytes are no UTF-8, UTF-16 or GB18030",
  );
}

/**
 * A few characters fit several charsets, and chardet's frequencies say nothing yet. Chinese is the likelier here when
 * nearly all of them are of the 3755 common ones of GB 2312; Big5 and Japanese rarely look so.
 */
function isShortChinese(bytes: Buffer): boolean {
  let pairs = 0;
  let common = 0;
  for (let at = 0; at < bytes.length; at++) {
    const lead = bytes[at] ?? 0;
    if (lead < 0x80) continue;
    const trail = bytes[++at];
    if (trail === undefined) break;
    const isPunctuation = lead === 0xa1 || lead === 0xa3;
    if (isPunctuation && trail >= 0xa1) continue;
    pairs++;
    if (lead >= 0xb0 && lead <= 0xd7 && trail >= 0xa1) common++;
    if (pairs > SHORT_PAIRS) return false;
  }
  return pairs > 0 && common >= pairs * 0.75;
}

/** Zero bytes of ASCII characters stand at odd offsets in little endian, at even ones in big endian. */
function utf16WithoutMark(bytes: Buffer): "utf-16le" | "utf-16be" | undefined {
  const zeros = [0, 0] as [number, number];
  for (const [index, byte] of bytes.entries()) if (byte === 0) zeros[index % 2 === 0 ? 0 : 1] += 1;
  const [even, odd] = zeros;
  const many = bytes.length / 10;
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
