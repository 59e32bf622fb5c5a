/**
 * The two hashes that name a row of spaCy's embedding tables: a string has a 64-bit id (MurmurHash64A, seed 1, or a
 * constant for some names), and an id has four rows in each table (MurmurHash3 x64 128 of its eight bytes, the halves of
 * both words). Source: https://github.com/aappleby/smhasher (public domain), as in spaCy's strings.pyx and thinc's
 * HashEmbed.
 */
const MASK = (1n << 64n) - 1n;
const multiply = (a: bigint, b: bigint) => (a * b) & MASK;
const rotate = (value: bigint, bits: bigint) => ((value << bits) | (value >> (64n - bits))) & MASK;
const encoder = new TextEncoder();

/** MurmurHash64A of the text's UTF-8, seed 1. */
export function hashString(text: string): bigint {
  const factor = 0xc6a4a7935bd1e995n;
  const bytes = encoder.encode(text);
  const view = new DataView(bytes.buffer);
  const { length } = bytes;
  let hash = 1n ^ multiply(BigInt(length), factor);
  let at = 0;
  for (; at + 8 <= length; at += 8) {
    let word = multiply(view.getBigUint64(at, true), factor);
    word = multiply(word ^ (word >> 47n), factor);
    hash = multiply(hash ^ word, factor);
  }
  if (at < length) {
    let rest = 0n;
    for (let index = length - 1; index >= at; index--) rest = (rest << 8n) | BigInt(bytes[index] ?? 0);
    hash = multiply(hash ^ rest, factor);
  }
  hash = multiply(hash ^ (hash >> 47n), factor);
  return hash ^ (hash >> 47n);
}

/** The four 32-bit numbers of MurmurHash3 x64 128 over the little-endian bytes of `id`. */
export function hashId(id: bigint, seed: number): readonly [number, number, number, number] {
  const start = BigInt(seed);
  const word = multiply(rotate(multiply(id, 0x87c37b91114253d5n), 31n), 0x4cf5ad432745937fn);
  let low = start ^ word ^ 8n;
  let high = start ^ 8n;
  low = (low + high) & MASK;
  high = (high + low) & MASK;
  low = mix(low);
  high = mix(high);
  low = (low + high) & MASK;
  high = (high + low) & MASK;
  return [lowerHalf(low), upperHalf(low), lowerHalf(high), upperHalf(high)];
}

const lowerHalf = (value: bigint) => Number(value & 0xffffffffn);
const upperHalf = (value: bigint) => Number(value >> 32n);

function mix(value: bigint): bigint {
  let mixed = multiply(value ^ (value >> 33n), 0xff51afd7ed558ccdn);
  mixed = multiply(mixed ^ (mixed >> 33n), 0xc4ceb9fe1a85ec53n);
  return mixed ^ (mixed >> 33n);
}
