import type { SpacyNerConfig } from "./spacy-config.ts";
import { hashId, hashString } from "./spacy-hash.ts";
import type { SpacyToken } from "./spacy-tokenizer.ts";
import { lookUp } from "./tables.ts";

const MAX_CACHED_WORDS = 20_000;
const LONG_SHAPE = 100;
/** Characters with the numeric type "digit" that are no decimal digits: for Python they are digits. */
const OTHER_DIGIT =
  /[²³¹\u1369-\u1371\u19da⁰⁴-⁹₀-₉①-⑨⑴-⑼⒈-⒐⓪⓵-⓽⓿❶-❾➀-➈➊-➒\u{10A40}-\u{10A43}\u{10E60}-\u{10E68}\u{11052}-\u{1105A}\u{1F100}-\u{1F10A}]/u;

/** Rows of the embedding tables: four tables, four rows in each. */
export const ROWS_PER_TOKEN = 16;

/** What the network knows of a word: NORM, PREFIX, SUFFIX and SHAPE, each as four rows of its table. */
export class SpacyRows {
  readonly #config: SpacyNerConfig;
  readonly #cache = new Map<string, Int32Array>();

  constructor(config: SpacyNerConfig) {
    this.#config = config;
  }

  of({ text, norm }: Pick<SpacyToken, "text" | "norm">): Int32Array {
    const key = norm === undefined ? text : `${text}\0${norm}`;
    const known = this.#cache.get(key);
    if (known !== undefined) return known;
    const rows = this.#hash(text, norm ?? this.normOf(text));
    if (this.#cache.size >= MAX_CACHED_WORDS) this.#cache.clear();
    this.#cache.set(key, rows);
    return rows;
  }

  normOf(word: string): string {
    const { norms, normsByHash } = this.#config;
    return lookUp(normsByHash, String(this.#idOf(word))) ?? lookUp(norms, word) ?? word.toLowerCase();
  }

  #hash(word: string, norm: string): Int32Array {
    const characters = Array.from(word);
    const features = [norm, characters[0] ?? "", characters.slice(-3).join(""), shapeOf(word)];
    const rows = new Int32Array(ROWS_PER_TOKEN);
    for (const [table, { rows: size, seed }] of this.#config.embeddings.entries()) {
      const numbers = hashId(this.#idOf(features[table] ?? ""), seed);
      for (const [index, number] of numbers.entries()) rows[table * 4 + index] = number % size;
    }
    return rows;
  }

  #idOf(text: string): bigint {
    const symbol = lookUp(this.#config.symbols, text);
    return symbol === undefined ? hashString(text) : BigInt(symbol);
  }
}

/** `Xxxxx` for Monday, `dd` for 12, runs cut to four characters. */
export function shapeOf(word: string): string {
  const characters = Array.from(word);
  if (characters.length >= LONG_SHAPE) return "LONG";
  let shape = "";
  let last = "";
  let run = 0;
  for (const character of characters) {
    const mark = markOf(character);
    run = mark === last ? run + 1 : 0;
    last = mark;
    if (run < 4) shape += mark;
  }
  return shape;
}

function markOf(character: string): string {
  if (/\p{L}/u.test(character)) return /\p{Uppercase}/u.test(character) ? "X" : "x";
  return /\p{Nd}/u.test(character) || OTHER_DIGIT.test(character) ? "d" : character;
}
