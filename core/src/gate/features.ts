/**
 * What the gate sees of an input before any model has run. Pure and cheap: a text counts by its beginning, for a
 * document of megabytes is no harder to route than its first page.
 *
 * The vector that the pre-gate network reads is fixed by {@link GATE_FEATURES_VERSION}; models/recipes/gate.py computes
 * the same numbers, and models/gate/vectors.json holds both to it.
 */

/** Raised when a number of the vector changes its meaning or its place. */
export const GATE_FEATURES_VERSION = 1;

/** UTF-16 units that are looked at. */
const LOOKED_AT = 4096;

/** The one-hot part of the vector, in this order for ever; a type that comes later goes to the end of a new version. */
const TYPES = [
  "text-classification",
  "zero-shot-classification",
  "token-classification",
  "relation-extraction",
  "question-answering",
  "summarization",
  "text-generation",
  "feature-extraction",
  "image-classification",
  "image-to-text",
  "image-text-matching",
  "object-detection",
  "automatic-speech-recognition",
  "tensor",
] as const;
const LANGUAGES = ["zh", "en", "other"] as const;
// Compiled once: as literals in a loop they are compiled again for every character.
const LETTER = /\p{L}/u;
const HAN = /\p{Script=Han}/u;
const LATIN = /\p{Script=Latin}/u;
const PUNCTUATION = /\p{P}|\p{S}/u;
const DIGIT = /\p{N}/u;
const SPACE = /\s/u;
/** Buckets of hashed characters and pairs of characters. */
const BUCKETS = 1024;
const NUMBERS = 6;
export const GATE_VECTOR_LENGTH = NUMBERS + LANGUAGES.length + TYPES.length + BUCKETS;

export interface GateFeatures {
  readonly taskType: string;
  /** Neither a text nor an image or the like: nothing to answer. */
  readonly isEmpty: boolean;
  /** Code points of the trimmed text; those beyond the part that is looked at count as UTF-16 units. */
  readonly characters: number;
  /** Shannon entropy of the characters, bits per character: 0 for no character and for one that repeats. */
  readonly entropy: number;
  /** By script: `zh` where most letters are Han, `en` where most are Latin. */
  readonly language: (typeof LANGUAGES)[number] | "none";
}

/** @param options.hasMedia an image or the like comes with the text, or in its place */
export function gateFeaturesOf(text: string, taskType: string, { hasMedia = false } = {}): GateFeatures {
  const trimmed = text.trim();
  const beginning = Array.from(beginningOf(trimmed));
  const beyond = Math.max(0, trimmed.length - LOOKED_AT);
  return {
    taskType,
    isEmpty: trimmed === "" && !hasMedia,
    characters: beginning.length + beyond,
    entropy: entropyOf(beginning),
    language: languageOf(beginning),
  };
}

/** Input of the pre-gate network, {@link GATE_VECTOR_LENGTH} numbers; a type or a language without a place has zeros. */
export function gateVectorOf(text: string, features: GateFeatures): Float32Array {
  const vector = new Float32Array(GATE_VECTOR_LENGTH);
  const beginning = Array.from(beginningOf(text.trim()).toLowerCase());
  const { characters, entropy } = features;
  const distinct = new Set(beginning).size;
  vector[0] = entropy / 8;
  vector[1] = Math.log1p(characters) / 8;
  vector[2] = beginning.length === 0 ? 0 : distinct / beginning.length;
  vector[3] = shareOf(beginning, PUNCTUATION);
  vector[4] = shareOf(beginning, DIGIT);
  vector[5] = shareOf(beginning, SPACE);
  const language = LANGUAGES.indexOf(features.language as (typeof LANGUAGES)[number]);
  if (language >= 0) vector[NUMBERS + language] = 1;
  const type = TYPES.indexOf(features.taskType as (typeof TYPES)[number]);
  if (type >= 0) vector[NUMBERS + LANGUAGES.length + type] = 1;
  const buckets = vector.subarray(NUMBERS + LANGUAGES.length + TYPES.length);
  const codes = beginning.map((character) => character.codePointAt(0) ?? 0);
  for (const [index, code] of codes.entries()) {
    count(buckets, hash(code, 0));
    const next = codes[index + 1];
    if (next !== undefined) count(buckets, hash(code, next));
  }
  // Counts on the scale of the other numbers: the vector of n-grams has length one.
  let squares = 0;
  for (let bucket = 0; bucket < BUCKETS; bucket++) squares += (buckets[bucket] ?? 0) ** 2;
  const length = Math.sqrt(squares);
  if (length > 0)
    for (let bucket = 0; bucket < BUCKETS; bucket++) buckets[bucket] = (buckets[bucket] ?? 0) / length;
  return vector;
}

/** Cut between characters. */
function beginningOf(trimmed: string): string {
  return trimmed.length > LOOKED_AT ? trimmed.slice(0, LOOKED_AT).toWellFormed() : trimmed;
}

function entropyOf(characters: readonly string[]): number {
  const counts = new Map<string, number>();
  for (const character of characters) counts.set(character, (counts.get(character) ?? 0) + 1);
  let bits = 0;
  for (const occurrences of counts.values()) {
    const share = occurrences / characters.length;
    bits -= share * Math.log2(share);
  }
  // −(1 · log2 1) is −0.
  return bits === 0 ? 0 : bits;
}

function languageOf(characters: readonly string[]): GateFeatures["language"] {
  let han = 0;
  let latin = 0;
  let letters = 0;
  for (const character of characters) {
    if (!LETTER.test(character)) continue;
    letters++;
    if (HAN.test(character)) han++;
    else if (LATIN.test(character)) latin++;
  }
  if (letters === 0) return "none";
  if (han * 2 >= letters) return "zh";
  return latin * 2 >= letters ? "en" : "other";
}

function shareOf(characters: readonly string[], kind: RegExp): number {
  if (characters.length === 0) return 0;
  return characters.filter((character) => kind.test(character)).length / characters.length;
}

/** FNV-1a over the bytes of two code points, folded into the buckets. */
function hash(first: number, second: number): number {
  let value = 0x811c9dc5;
  for (const code of [first, second]) {
    for (const shift of [0, 8, 16]) value = Math.imul(value ^ ((code >>> shift) & 0xff), 0x01000193);
  }
  return (value >>> 0) % BUCKETS;
}

function count(buckets: Float32Array, bucket: number): void {
  buckets[bucket] = (buckets[bucket] ?? 0) + 1;
}
