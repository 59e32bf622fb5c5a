interface Span {
  readonly start: number;
  readonly end: number;
}

/**
 * Finds the places of words that a model named: each word at its first occurrence that no word before has taken. Offsets
 * are ours, never the model's: models can't count.
 */
export class SpanFinder {
  readonly #text: string;
  readonly #lowerCase: string;
  readonly #taken: Span[] = [];

  constructor(text: string) {
    this.#text = text;
    const lowerCase = text.toLowerCase();
    // A few letters change their length (İ): then only exact matches have offsets.
    this.#lowerCase = lowerCase.length === text.length ? lowerCase : text;
  }

  /** Takes the place; undefined when the text does not have the word (any more). */
  take(word: string): Span | undefined {
    const found = this.#find(word, (span) => this.#taken.every((other) => !overlap(span, other)));
    if (found !== undefined) this.#taken.push(found);
    return found;
  }

  /** The first occurrence, taken or not. */
  first(word: string): Span | undefined {
    return this.#find(word, () => true);
  }

  #find(word: string, isFree: (span: Span) => boolean): Span | undefined {
    const trimmed = word.trim();
    if (trimmed === "") return undefined;
    return firstOf(this.#text, trimmed, isFree) ?? firstOf(this.#lowerCase, trimmed.toLowerCase(), isFree);
  }
}

function firstOf(text: string, word: string, isFree: (span: Span) => boolean): Span | undefined {
  for (let start = text.indexOf(word); start >= 0; start = text.indexOf(word, start + 1)) {
    const span = { start, end: start + word.length };
    if (isFree(span)) return span;
  }
  return undefined;
}

const overlap = (a: Span, b: Span) => a.start < b.end && b.start < a.end;
