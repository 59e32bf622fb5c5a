import { Tokenizer } from "@huggingface/tokenizers";
import { z } from "zod";
import { PipelineFailure } from "./failure.ts";

const tokenizerSchema = z.looseObject({ added_tokens: z.array(z.looseObject({ content: z.string() })) });

/** Characters per token beyond which a text is not read: no token that was seen is longer. */
const LONGEST_TOKEN = 64;

/**
 * Text to token ids, between the control tokens that the model's own post-processing puts around a text.
 *
 * A control token that stands in a text is these characters and nothing else.
 */
export class TextTokenizer {
  readonly #tokenizer: Tokenizer;
  readonly #controlTokens: RegExp;
  readonly #before: readonly number[];
  readonly #after: readonly number[];
  readonly #maxTokens: number;

  /** @throws PipelineFailure for a file of another form */
  constructor(file: unknown, maxTokens: number) {
    const parsed = tokenizerSchema.safeParse(file);
    if (!parsed.success)
      throw new PipelineFailure("ModelLoadFailed", "tokenizer.json has another form", { final: true });
    const { added_tokens: added } = parsed.data;
    this.#tokenizer = new Tokenizer(parsed.data, {});
    this.#controlTokens = new RegExp(
      added.map(({ content }) => content.replaceAll(/\W/g, "\\$&")).join("|") || "(?!)",
      "g",
    );
    const framed: readonly number[] = this.#tokenizer.encode("a").ids;
    const plain = this.#encodePart("a");
    const start = framed.findIndex((_, index) => plain.every((id, offset) => framed[index + offset] === id));
    this.#before = framed.slice(0, start);
    this.#after = framed.slice(start + plain.length);
    this.#maxTokens = maxTokens - this.#before.length - this.#after.length;
  }

  /** At most the tokens that the model takes: a longer text is known by its beginning. */
  encode(text: string): number[] {
    const limit = this.#maxTokens * LONGEST_TOKEN;
    // A cut inside a surrogate pair leaves half a character.
    const beginning = text.length > limit ? text.slice(0, limit).toWellFormed() : text;
    const ids = this.#encodePlain(beginning);
    return [...this.#before, ...ids.slice(0, this.#maxTokens), ...this.#after];
  }

  /** Cuts every control token of the text behind its first character, before the tokenizer could see it whole. */
  #encodePlain(text: string): number[] {
    const ids: number[] = [];
    let start = 0;
    for (const { index } of text.matchAll(this.#controlTokens)) {
      ids.push(...this.#encodePart(text.slice(start, index + 1)));
      start = index + 1;
    }
    return start === 0 ? this.#encodePart(text) : ids.concat(this.#encodePart(text.slice(start)));
  }

  #encodePart(text: string): number[] {
    return text === "" ? [] : this.#tokenizer.encode(text, { add_special_tokens: false }).ids;
  }
}
