import type { SpacyNerConfig } from "./spacy-config.ts";

/**
 * spaCy's tokenizer (https://spacy.io/usage/linguistic-features#how-tokenizer-works), with the model's own rules:
 *
 *   text → runs of white space and of other characters; a single space between two of these is nobody's
 *   run → special case, else prefixes and suffixes are taken off until nothing changes or a special case is left
 *   rest → special case, URL, else split at infixes
 *   tokens → sequences that spell a special case with affixes inside are replaced by its tokens, the longest first
 *
 * Words beyond MAX_WORD stay whole: taking affixes off costs the square of the length.
 */
export interface SpacyToken {
  readonly text: string;
  /** UTF-16 units from the start of the text. */
  readonly start: number;
  /** Norm of a special case; else the norm is that of the word. */
  readonly norm: string | undefined;
}

type Part = Pick<SpacyToken, "text" | "norm">;
/** Tokens of a special case that the affix rules would split, by their texts. */
type Trie = Map<string, { readonly next: Trie; complete: boolean }>;

const MAX_WORD = 1000;
const MAX_CACHED_WORDS = 10_000;
/** What Python's `str.isspace` says yes to. */
// oxlint-disable-next-line no-control-regex -- four separators among the control characters are white space there
const WHITE_SPACE = /[\t-\r\x1c-\x20\x85\xa0\u1680\u2000-\u200a\u2028\u2029\u202f\u205f\u3000]/;

export function isWhiteSpace(text: string): boolean {
  return WHITE_SPACE.test(text);
}

export class SpacyTokenizer {
  readonly #exceptions: ReadonlyMap<string, readonly Part[]>;
  readonly #prefix: RegExp;
  readonly #suffix: RegExp;
  readonly #infix: RegExp;
  readonly #url: RegExp;
  readonly #sequences: Trie = new Map();
  readonly #cache = new Map<string, readonly Part[]>();

  constructor({ patterns, exceptions }: SpacyNerConfig["tokenizer"]) {
    this.#prefix = new RegExp(patterns.prefix, "u");
    this.#suffix = new RegExp(patterns.suffix, "u");
    this.#infix = new RegExp(patterns.infix, "gu");
    this.#url = new RegExp(`^(?:${patterns.url})`, "u");
    this.#exceptions = new Map(
      Object.entries(exceptions).map(([word, parts]) => [
        word,
        parts.map(([text, norm]) => ({ text, norm })),
      ]),
    );
    for (const word of this.#exceptions.keys()) this.#addSequence(word);
  }

  tokenize(text: string): readonly SpacyToken[] {
    const tokens: SpacyToken[] = [];
    for (const run of runsOf(text)) {
      let start = run.start;
      for (const part of this.#partsOf(run.text)) {
        tokens.push({ ...part, start });
        start += part.text.length;
      }
    }
    return this.#withSequences(tokens, text);
  }

  #partsOf(word: string): readonly Part[] {
    if (word.length > MAX_WORD) return [{ text: word, norm: undefined }];
    const known = this.#exceptions.get(word) ?? this.#cache.get(word);
    if (known !== undefined) return known;
    const parts = this.#split(word, true);
    if (this.#cache.size >= MAX_CACHED_WORDS) this.#cache.clear();
    this.#cache.set(word, parts);
    return parts;
  }

  #split(word: string, withExceptions: boolean): readonly Part[] {
    const isException = (text: string) => withExceptions && this.#exceptions.has(text);
    const prefixes: Part[] = [];
    const suffixes: Part[] = [];
    let rest = word;
    for (let length = -1; rest !== "" && rest.length !== length && !isException(rest);) {
      length = rest.length;
      const prefix = this.#prefix.exec(rest)?.[0] ?? "";
      const withoutPrefix = rest.slice(prefix.length);
      if (prefix !== "" && isException(withoutPrefix)) {
        prefixes.push(plain(prefix));
        rest = withoutPrefix;
        break;
      }
      const suffix = this.#suffix.exec(withoutPrefix)?.[0] ?? "";
      const withoutSuffix = rest.slice(0, rest.length - suffix.length);
      if (suffix !== "" && isException(withoutSuffix)) {
        suffixes.push(plain(suffix));
        rest = withoutSuffix;
        break;
      }
      if (prefix !== "") prefixes.push(plain(prefix));
      if (suffix !== "") suffixes.push(plain(suffix));
      rest = withoutPrefix.slice(0, withoutPrefix.length - suffix.length);
    }
    const inner = rest === "" ? [] : this.#inner(rest, withExceptions);
    return [...prefixes, ...inner, ...suffixes.reverse()];
  }

  #inner(text: string, withExceptions: boolean): readonly Part[] {
    const exception = withExceptions ? this.#exceptions.get(text) : undefined;
    if (exception !== undefined) return exception;
    if (this.#url.test(text)) return [plain(text)];
    const parts: Part[] = [];
    let start = 0;
    for (const { 0: infix, index } of text.matchAll(this.#infix)) {
      if (index === 0) continue;
      if (index !== start) parts.push(plain(text.slice(start, index)));
      if (infix !== "") parts.push(plain(infix));
      start = index + infix.length;
    }
    if (start < text.length) parts.push(plain(text.slice(start)));
    return parts;
  }

  #addSequence(word: string): void {
    const hasAffix = [this.#prefix, this.#suffix, this.#infix].some((pattern) => word.search(pattern) >= 0);
    if (!hasAffix && !word.includes(" ")) return;
    let at = this.#sequences;
    const parts = runsOf(word).flatMap(({ text }) => this.#split(text, false));
    for (const [index, { text }] of parts.entries()) {
      const node = at.get(text) ?? { next: new Map(), complete: false };
      at.set(text, node);
      if (index === parts.length - 1) node.complete = true;
      at = node.next;
    }
  }

  #withSequences(tokens: readonly SpacyToken[], text: string): readonly SpacyToken[] {
    const found: { readonly start: number; readonly end: number }[] = [];
    for (const start of tokens.keys()) {
      let at: Trie | undefined = this.#sequences;
      for (let end = start; at !== undefined && end < tokens.length; end++) {
        const node: { next: Trie; complete: boolean } | undefined = at.get(tokens[end]?.text ?? "");
        if (node?.complete === true) found.push({ start, end: end + 1 });
        at = node?.next;
      }
    }
    if (found.length === 0) return tokens;
    found.sort((a, b) => b.end - b.start - (a.end - a.start) || a.start - b.start);
    const seen = new Set<number>();
    const replaced = new Map<number, (typeof found)[number]>();
    for (const span of found) {
      if (!seen.has(span.start) && !seen.has(span.end - 1)) replaced.set(span.start, span);
      for (let index = span.start; index < span.end; index++) seen.add(index);
    }
    const result: SpacyToken[] = [];
    for (let index = 0; index < tokens.length;) {
      const { end } = replaced.get(index) ?? { end: index + 1 };
      result.push(...this.#retokenize(tokens.slice(index, end), text, replaced.has(index)));
      index = end;
    }
    return result;
  }

  #retokenize(tokens: readonly SpacyToken[], text: string, isFound: boolean): readonly SpacyToken[] {
    const [first, last] = [tokens[0], tokens.at(-1)];
    if (!isFound || first === undefined || last === undefined) return tokens;
    const parts = this.#exceptions.get(text.slice(first.start, last.start + last.text.length));
    if (parts === undefined) return tokens;
    let { start } = first;
    return parts.map((part) => ({ ...part, start: (start += part.text.length) - part.text.length }));
  }
}

const plain = (text: string): Part => ({ text, norm: undefined });

/** Runs of white space and of other characters; the first space behind a run belongs to no run. */
function runsOf(text: string): readonly { readonly text: string; readonly start: number }[] {
  const runs: { text: string; start: number }[] = [];
  let start = 0;
  let inSpace = isWhiteSpace(text[0] ?? "");
  for (let at = 0; at < text.length; at++) {
    const character = text[at] ?? "";
    if (isWhiteSpace(character) === inSpace) continue;
    if (start < at) runs.push({ text: text.slice(start, at), start });
    start = character === " " ? at + 1 : at;
    inSpace = !inSpace;
  }
  if (start < text.length) runs.push({ text: text.slice(start), start });
  return runs;
}
