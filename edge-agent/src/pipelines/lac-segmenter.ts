/**
 * Words of a Chinese text as LAC's `fast_cut` finds them: the path through all words of the dictionary with the highest
 *
 *     Σ log(weight) - logTotal        weight = characters of a word of the dictionary, 1 for any other character
 *
 * found from the end backwards, the longer word on a tie; ASCII letters and digits that end up alone beside each other
 * are one word again. Characters are code points. Source: github.com/baidu/lac, Apache-2.0.
 */
export class LacSegmenter {
  readonly #words: ReadonlySet<string>;
  /** By the first code point of words: the length of the longest of them, at least in code points. */
  readonly #longest = new Map<number, number>();
  readonly #logTotal: number;

  constructor(config: { readonly words: readonly string[]; readonly logTotal: number }) {
    this.#words = new Set(config.words);
    this.#logTotal = config.logTotal;
    for (const word of this.#words) {
      const first = word.codePointAt(0) ?? 0;
      if (word.length > (this.#longest.get(first) ?? 1)) this.#longest.set(first, word.length);
    }
  }

  segment(text: string): string[] {
    const offsets = characterOffsets(text);
    const slice = (start: number, end: number) => text.slice(offsets[start], offsets[end]);
    const next = this.#bestEnds(offsets.length - 1, slice);
    const words: string[] = [];
    let run = "";
    for (let at = 0; at < next.length;) {
      const end = next[at] ?? next.length;
      const word = slice(at, end);
      at = end;
      if (/^[a-zA-Z0-9]$/.test(word)) {
        run += word;
        continue;
      }
      if (run !== "") words.push(run);
      words.push(word);
      run = "";
    }
    if (run !== "") words.push(run);
    return words;
  }

  /** For each character the end of the word that starts with it on the best path from there. */
  #bestEnds(size: number, slice: (start: number, end: number) => string): Int32Array {
    const scores = new Float64Array(size + 1);
    const ends = new Int32Array(size);
    for (let start = size - 1; start >= 0; start--) {
      let best = -Infinity;
      const last = Math.min(
        size,
        start + (this.#longest.get(slice(start, start + 1).codePointAt(0) ?? 0) ?? 1),
      );
      for (let end = start + 1; end <= last; end++) {
        const length = end - start;
        if (length > 1 && !this.#words.has(slice(start, end))) continue;
        const score = Math.log(length) - this.#logTotal + (scores[end] ?? 0);
        if (score >= best) {
          best = score;
          ends[start] = end;
        }
      }
      scores[start] = best;
    }
    return ends;
  }
}

/** UTF-16 offset of each code point, and the length of the text at the end. */
function characterOffsets(text: string): readonly number[] {
  const offsets = [0];
  for (const character of text) offsets.push((offsets.at(-1) ?? 0) + character.length);
  return offsets;
}
