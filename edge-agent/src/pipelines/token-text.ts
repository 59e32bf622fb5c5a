/**
 * Text of an answer while its tokens come in.
 *
 *     tokens ──▶ whole characters ──▶ no longer part of a stop text ──▶ out
 *
 * A token may be a part of a character: its bytes wait for the others. A piece that a stop text may begin with waits until
 * it is clear. Each token decodes a window of a few, not the answer from its start; the window begins one piece early,
 * since what a decoder says of a token may depend on the one before (a leading space, say).
 */
const REPLACEMENT = "\uFFFD";
/** A character has at most four bytes: beyond as many tokens, what stands before the last of them is clear. */
const LONGEST_CHARACTER = 4;
/** Tokens that may each end within a character, one after the other, before the last of them is cut. */
const LONGEST_WINDOW = 64;

export interface TokenTextOptions {
  readonly decode: (ids: readonly number[]) => string;
  readonly stops: readonly string[];
  /** Gets the text piece by piece; the pieces are the text. */
  readonly onText?: ((piece: string) => void) | undefined;
}

export class TokenText {
  readonly #options: TokenTextOptions;
  readonly #stops: readonly string[];
  /** Tokens from the window's start on. */
  #window: number[] = [];
  /** Of the window: those that are text already, and that text. */
  #settled = 0;
  #settledText = "";
  #held = "";
  #text = "";

  constructor(options: TokenTextOptions) {
    this.#options = options;
    this.#stops = options.stops.filter((stop) => stop !== "");
  }

  /** What is out; the whole answer once ended or stopped. */
  get text(): string {
    return this.#text;
  }

  /** @returns whether a stop text is complete: the answer ends before it */
  push(id: number): boolean {
    this.#window.push(id);
    const decoded = this.#options.decode(this.#window);
    const open = openEnd(decoded);
    if (open === 0 || this.#window.length >= LONGEST_WINDOW) return this.#settle(decoded);
    const clear = decoded.slice(0, -open);
    const waits = this.#window.length - this.#settled;
    return waits > LONGEST_CHARACTER && clear.length > this.#settledText.length && this.#take(clear);
  }

  /** No more tokens: what was held back is text. @returns as {@link push} */
  end(): boolean {
    const isStopped = this.#settled < this.#window.length && this.#settle(this.#options.decode(this.#window));
    if (!isStopped) this.#release(this.#held.length);
    return isStopped;
  }

  /** All tokens are text: the window begins anew. */
  #settle(decoded: string): boolean {
    if (this.#take(decoded)) return true;
    this.#window = this.#window.slice(this.#settled);
    this.#settled = this.#window.length;
    this.#settledText = this.#options.decode(this.#window);
    return false;
  }

  /** @param decoded the window's text, as far as it is clear */
  #take(decoded: string): boolean {
    this.#held += decoded.slice(this.#settledText.length);
    this.#settledText = decoded;
    const starts = this.#stops.map((stop) => this.#held.indexOf(stop)).filter((start) => start >= 0);
    if (starts.length > 0) {
      this.#release(Math.min(...starts));
      this.#held = "";
      return true;
    }
    this.#release(this.#held.length - Math.max(0, ...this.#stops.map((stop) => overlap(this.#held, stop))));
    return false;
  }

  #release(length: number): void {
    if (length === 0) return;
    const piece = this.#held.slice(0, length);
    this.#held = this.#held.slice(length);
    this.#text += piece;
    this.#options.onText?.(piece);
  }
}

/** How much of the end may be the bytes of a character that is not whole; one replacement for each byte or for all. */
function openEnd(text: string): number {
  let length = 0;
  while (length < LONGEST_CHARACTER - 1 && text.endsWith(REPLACEMENT, text.length - length)) length++;
  return length;
}

/** Length of the longest end of `text` that `stop` begins with. */
function overlap(text: string, stop: string): number {
  for (let length = Math.min(text.length, stop.length - 1); length > 0; length--) {
    if (text.endsWith(stop.slice(0, length))) return length;
  }
  return 0;
}
