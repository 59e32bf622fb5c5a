import { Template } from "@huggingface/jinja";
import { Tokenizer } from "@huggingface/tokenizers";
import { z } from "zod";
import { PipelineFailure } from "./failure.ts";
import type { ChatMessage } from "./pipeline.ts";

const tokenName = z.union([z.string(), z.looseObject({ content: z.string() })]).nullish();
const namedTemplates = z.array(z.looseObject({ name: z.string(), template: z.string() }));
const tokenizerSchema = z.looseObject({
  added_tokens: z.array(z.looseObject({ id: z.int(), content: z.string() })),
});
const tokenizerConfigSchema = z.looseObject({
  chat_template: z.union([z.string(), namedTemplates]).nullish(),
  bos_token: tokenName,
  eos_token: tokenName,
});
type TokenizerConfig = z.infer<typeof tokenizerConfigSchema>;

/** Around the number of a message while the template is rendered; noncharacters, so no template contains them. */
const OPEN = "\uFDD0";
const CLOSE = "\uFDD1";
const PLACEHOLDER = new RegExp(`${OPEN}(\\d+)${CLOSE}`);
/** Sequences of roles whose rendering is kept; conversations differ in their texts, hardly in their roles. */
const MAX_RENDERINGS = 64;

/** The template does not take such a conversation; what it says is its own text, never the user's. */
export class TemplateRefused extends Error {}

/** Token ids that the template gives, or the number of a message whose content belongs here. */
type Piece = readonly number[] | number;

/**
 * Tokenizer of a chat model, and its prompts.
 *
 * The template is rendered around placeholders. What the template says is encoded with the control tokens, what the
 * messages say without: `<|im_start|>` or `[gMASK]` in a message is these characters, never a role.
 */
export class ChatPrompt {
  readonly #tokenizer: Tokenizer;
  readonly #template: Template | undefined;
  readonly #variables: Readonly<Record<string, unknown>>;
  readonly #systemPrompt: string | null;
  readonly #controlTokens: RegExp;
  readonly #controlIds: ReadonlySet<number>;
  readonly #renderings = new Map<string, readonly Piece[]>();

  /** @throws PipelineFailure for files of another form, or a template that drops the user's text */
  constructor(files: {
    readonly tokenizer: unknown;
    readonly config: unknown;
    /** Said before conversations that have no system message of their own. */
    readonly systemPrompt: string | null;
  }) {
    const tokenizer = tokenizerSchema.safeParse(files.tokenizer);
    const config = tokenizerConfigSchema.safeParse(files.config);
    if (!tokenizer.success || !config.success)
      throw unusable("tokenizer.json or tokenizer_config.json has another form");
    const { added_tokens: controlTokens } = tokenizer.data;
    this.#tokenizer = new Tokenizer(tokenizer.data, config.data);
    this.#controlIds = new Set(controlTokens.map(({ id }) => id));
    const contents = controlTokens
      .map(({ content }) => content)
      .toSorted((a, b) => b.length - a.length)
      .map((content) => content.replaceAll(/\W/g, "\\$&"));
    this.#controlTokens = new RegExp(contents.join("|") || "(?!)", "g");
    this.#systemPrompt = files.systemPrompt;
    this.#variables = {
      add_generation_prompt: true,
      bos_token: contentOf(config.data.bos_token),
      eos_token: contentOf(config.data.eos_token),
    };
    this.#template = parseTemplate(config.data);
    try {
      this.#piecesFor([{ role: "user", content: "" }]);
    } catch (error) {
      throw error instanceof TemplateRefused ? unusable(error.message, error) : error;
    }
  }

  /** Token ids of the whole prompt. @throws TemplateRefused for roles in an order that the template does not take */
  encode(messages: readonly ChatMessage[]): number[] {
    const hasSystem = messages.some(({ role }) => role === "system");
    const all: readonly ChatMessage[] =
      hasSystem || this.#systemPrompt === null
        ? messages
        : [{ role: "system", content: this.#systemPrompt }, ...messages];
    return this.#piecesFor(all).flatMap((piece) =>
      typeof piece === "number" ? this.encodeText(all[piece]?.content ?? "") : piece,
    );
  }

  /** Ids of a text in which control tokens are mere characters. */
  encodeText(text: string): number[] {
    // Cuts each control token behind its first character, before the tokenizer could see it whole.
    const ids: number[] = [];
    let start = 0;
    for (const { index } of text.matchAll(this.#controlTokens)) {
      const [first = ""] = text.slice(index);
      ids.push(...this.#encodePart(text.slice(start, index + first.length)));
      start = index + first.length;
    }
    return ids.concat(this.#encodePart(text.slice(start)));
  }

  decode(ids: readonly number[]): string {
    // The tokenizer refuses an empty list; an answer may end with its first token.
    if (ids.length === 0) return "";
    return this.#tokenizer.decode([...ids], {
      skip_special_tokens: true,
      clean_up_tokenization_spaces: false,
    });
  }

  /** A normalizer may still make a control token of what looked like none (full-width brackets): then by characters. */
  #encodePart(text: string): readonly number[] {
    const ids = this.#encodeWithControls(text);
    if (!ids.some((id) => this.#controlIds.has(id))) return ids;
    return Array.from(text).flatMap((character) =>
      this.#encodeWithControls(character).filter((id) => !this.#controlIds.has(id)),
    );
  }

  #encodeWithControls(text: string): readonly number[] {
    return text === "" ? [] : this.#tokenizer.encode(text, { add_special_tokens: false }).ids;
  }

  #piecesFor(messages: readonly ChatMessage[]): readonly Piece[] {
    const key = messages.map(({ role }) => role).join();
    const kept = this.#renderings.get(key);
    if (kept !== undefined) return kept;
    const pieces = this.#render(messages);
    if (this.#renderings.size < MAX_RENDERINGS) this.#renderings.set(key, pieces);
    return pieces;
  }

  #render(messages: readonly ChatMessage[]): readonly Piece[] {
    if (this.#template === undefined) return this.#renderPlain(messages);
    const placeholders = messages.map(({ role }, index) => ({ role, content: `${OPEN}${index}${CLOSE}` }));
    let rendered: string;
    try {
      rendered = this.#template.render({ ...this.#variables, messages: placeholders });
    } catch (cause) {
      const said = cause instanceof Error ? cause.message : String(cause);
      throw new TemplateRefused(`the model's chat template refuses these roles: ${said}`, { cause });
    }
    // Odd elements are what the group of the placeholder has caught.
    const parts = rendered.split(PLACEHOLDER);
    const pieces = parts.map((part, index) =>
      index % 2 === 1 ? Number(part) : this.#encodeWithControls(part),
    );
    for (const [index, { role }] of messages.entries()) {
      if (pieces.filter((piece) => piece === index).length !== 1)
        throw new TemplateRefused(
          `the model's chat template does not contain the text of a ${role} message once`,
        );
    }
    return pieces;
  }

  /** A model without a template continues one text. */
  #renderPlain(messages: readonly ChatMessage[]): readonly Piece[] {
    if (messages.length !== 1) {
      throw new TemplateRefused(
        "the model has no chat template: it continues one text, and takes no conversation",
      );
    }
    const { ids } = this.#tokenizer.encode("", { add_special_tokens: true });
    return [ids, 0];
  }
}

function parseTemplate({ chat_template: template }: TokenizerConfig): Template | undefined {
  const source = Array.isArray(template)
    ? template.find(({ name }) => name === "default")?.template
    : template;
  if (source === undefined || source === null) return undefined;
  try {
    return new Template(source);
  } catch (cause) {
    throw unusable("the chat template can't be parsed", cause);
  }
}

function contentOf(token: z.infer<typeof tokenName>): string {
  return (typeof token === "object" ? token?.content : token) ?? "";
}

function unusable(problem: string, cause?: unknown): PipelineFailure {
  return new PipelineFailure("ModelLoadFailed", problem, { final: true, cause });
}
