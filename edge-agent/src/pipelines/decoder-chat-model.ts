import type { ChatModel, ChoiceLogprobs, Generated, GenerateRequest } from "../prompted/chat-model.ts";
import { ModelRefused } from "../prompted/problem.ts";
import { TemplateRefused } from "./chat-prompt.ts";
import type { KvDecoder } from "./kv-decoder.ts";
import type { ChatMessage, RunHooks } from "./pipeline.ts";

/** No tokenizer in use has a token of more characters. */
const LONGEST_TOKEN = 32;

/** The decoder of this process as a model that takes messages: tokens by its own tokenizer, scores from its logits. */
export class DecoderChatModel implements ChatModel {
  readonly contextLength: number;
  readonly choicesAs = "labels";
  readonly #decoder: KvDecoder;
  readonly #onProgress: () => void;
  readonly #isOver: (() => boolean) | undefined;
  readonly #turns: Turns;

  /** @param turns shared by all of a decoder: a scored prompt has a cache of its own, and one of them is enough */
  constructor(decoder: KvDecoder, turns: Turns, { onProgress, isOver }: RunHooks) {
    this.#decoder = decoder;
    this.contextLength = decoder.contextLength;
    this.#turns = turns;
    this.#onProgress = onProgress;
    this.#isOver = isOver;
  }

  countTokens(messages: readonly ChatMessage[]): number {
    const characters = messages.reduce((sum, { content }) => sum + content.length, 0);
    // Far too long: not worth the tokenizer's time.
    if (characters > this.contextLength * LONGEST_TOKEN) return characters / LONGEST_TOKEN;
    return this.#encode(messages).length;
  }

  async generate(request: GenerateRequest): Promise<Generated> {
    const { messages, maxNewTokens, temperature, seed, stop, topK, topP, repetitionPenalty } = request;
    const parameters = { maxNewTokens, temperature, seed, stop: [...stop], topK, topP, repetitionPenalty };
    const [result] = await this.#decoder.run([{ type: "text-generation", text: "", messages, parameters }], {
      onProgress: this.#onProgress,
      isOver: this.#isOver,
    });
    if (result === undefined) throw new Error("the decoder gave no result");
    if ("error" in result) throw new ModelRefused(result.error.code, result.error.message);
    const { output } = result;
    if (output.type !== "text-generation") throw new Error("the decoder generates text");
    return {
      text: output.generated_text,
      finishReason: output.finish_reason,
      promptTokens: output.prompt_tokens,
      completionTokens: output.completion_tokens,
      ...(output.score !== null && { meanLogprob: Math.log(output.score) }),
    };
  }

  /** Exact; a choice of several tokens counts with the mean of theirs, so that a long one is not the less likely for that. */
  async scoreChoices(messages: readonly ChatMessage[], choices: readonly string[]): Promise<ChoiceLogprobs> {
    const promptIds = this.#encode(messages);
    const continuations = choices.map((choice) => this.#decoder.prompt.encodeText(choice));
    const scores = await this.#turns.take(() =>
      this.#decoder.scoreContinuations(promptIds, continuations, this.#onProgress),
    );
    return {
      logprobs: scores.map(({ logprob, tokens }) => logprob / Math.max(1, tokens)),
      coverage: Math.min(
        1,
        scores.reduce((sum, { logprob }) => sum + Math.exp(logprob), 0),
      ),
    };
  }

  #encode(messages: readonly ChatMessage[]): readonly number[] {
    try {
      return this.#decoder.prompt.encode(messages);
    } catch (error) {
      if (error instanceof TemplateRefused) throw new ModelRefused("ItemInvalid", error.message);
      throw error;
    }
  }
}

/** One after the other. */
export class Turns {
  #last: Promise<unknown> = Promise.resolve();

  take<T>(turn: () => Promise<T>): Promise<T> {
    const taken = this.#last.then(turn);
    this.#last = taken.catch(() => undefined);
    return taken;
  }
}
