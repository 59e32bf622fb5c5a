import { Template } from "@huggingface/jinja";
import { Tokenizer } from "@huggingface/tokenizers";
import { z } from "zod";
import { PipelineFailure } from "./failure.ts";

const tokenizerSchema = z.looseObject({ added_tokens: z.array(z.looseObject({ content: z.string() })) });
const tokenizerConfigSchema = z.looseObject({ chat_template: z.string().optional() });

/** Stands for the user's text while the template is rendered; a noncharacter, so no template contains it. */
const PLACEHOLDER = "\uFDD0user\uFDD0";

/**
 * Tokenizer of a chat model, and its prompt for one user message.
 *
 * The template is rendered once, around a placeholder. What the template says is encoded with the control tokens, what
 * the user says without: `<|im_start|>` in a text is these characters, never a role.
 */
export class ChatPrompt {
  readonly #tokenizer: Tokenizer;
  readonly #controlTokens: RegExp;
  readonly #before: readonly number[];
  readonly #after: readonly number[];

  /** @throws PipelineFailure for files of another form, or a template that drops the user's text */
  constructor(files: {
    readonly tokenizer: unknown;
    readonly config: unknown;
    readonly systemPrompt: string | null;
  }) {
    const tokenizer = tokenizerSchema.safeParse(files.tokenizer);
    const config = tokenizerConfigSchema.safeParse(files.config);
    if (!tokenizer.success || !config.success)
      throw unusable("tokenizer.json or tokenizer_config.json has another form");
    this.#tokenizer = new Tokenizer(tokenizer.data, config.data);
    const controlTokens = tokenizer.data.added_tokens.map(({ content }) => content.replaceAll(/\W/g, "\\$&"));
    this.#controlTokens = new RegExp(controlTokens.join("|") || "(?!)", "g");
    const rendered = renderTemplate(config.data.chat_template, files.systemPrompt).split(PLACEHOLDER);
    const [before, after] = rendered;
    if (before === undefined || after === undefined || rendered.length !== 2) {
      throw unusable("the chat template does not contain the user's text exactly once");
    }
    this.#before = this.#encode(before);
    this.#after = this.#encode(after);
  }

  /** Token ids of the whole prompt. */
  encode(text: string): number[] {
    return [...this.#before, ...this.#encodePlain(text), ...this.#after];
  }

  decode(ids: readonly number[]): string {
    // The tokenizer refuses an empty list; an answer may end with its first token.
    if (ids.length === 0) return "";
    return this.#tokenizer.decode([...ids], {
      skip_special_tokens: true,
      clean_up_tokenization_spaces: false,
    });
  }

  #encode(text: string): readonly number[] {
    return text === "" ? [] : this.#tokenizer.encode(text, { add_special_tokens: false }).ids;
  }

  /** Cuts every control token of the text behind its first character, before the tokenizer could see it whole. */
  #encodePlain(text: string): number[] {
    const ids: number[] = [];
    let start = 0;
    for (const { index } of text.matchAll(this.#controlTokens)) {
      ids.push(...this.#encode(text.slice(start, index + 1)));
      start = index + 1;
    }
    return ids.concat(this.#encode(text.slice(start)));
  }
}

function renderTemplate(template: string | undefined, systemPrompt: string | null): string {
  if (template === undefined) return PLACEHOLDER;
  const messages = [
    ...(systemPrompt === null ? [] : [{ role: "system", content: systemPrompt }]),
    { role: "user", content: PLACEHOLDER },
  ];
  try {
    return new Template(template).render({ messages, add_generation_prompt: true });
  } catch (cause) {
    throw unusable("the chat template can't be rendered", cause);
  }
}

function unusable(problem: string, cause?: unknown): PipelineFailure {
  return new PipelineFailure("ModelLoadFailed", problem, { final: true, cause });
}
