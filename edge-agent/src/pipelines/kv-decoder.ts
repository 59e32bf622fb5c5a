import { ChatPrompt } from "./chat-prompt.ts";
import type { KvDecoderConfig } from "./config.ts";
import {
  EMPTY_TEXT,
  floatsOf,
  roundScore,
  type Parameters,
  type Pipeline,
  type PipelineFiles,
  type PipelineItem,
  type PipelineResult,
  type Session,
  type Tensor,
} from "./pipeline.ts";
import { Sampler } from "./sampler.ts";

const DEFAULT_MAX_NEW_TOKENS = 64;
const DEFAULT_REPETITION_PENALTY = 1.1;
/** No tokenizer in use has a token of more characters; texts beyond this per token of context are refused unread. */
const LONGEST_TOKEN = 32;

interface Generation {
  readonly ids: readonly number[];
  readonly text: string;
  readonly reason: "stop" | "length";
  readonly meanLogprob: number;
}

/**
 * Decoder with a key-value cache, one text at a time:
 *
 *     prompt ids ──▶ graph(past = nothing) ──▶ logits, present
 *     next id    ──▶ graph(past = present) ──▶ logits, present     until an end token, a stop text or a limit
 *
 *     input_ids [1, tokens], attention_mask [1, past + tokens] int64, past_key_values.{layer}.{key,value}
 *     [1, kvHeads, past, headDim] → logits [1, 1 or tokens, vocabulary], present.{layer}.{key,value}
 */
export class KvDecoder implements Pipeline {
  readonly taskType = "text-generation";
  readonly batching: Pipeline["batching"];
  readonly #session: Session;
  readonly #config: KvDecoderConfig;
  readonly #prompt: ChatPrompt;
  readonly #contextLength: number;

  private constructor(session: Session, config: KvDecoderConfig, prompt: ChatPrompt, contextLength: number) {
    this.#session = session;
    this.#config = config;
    this.#prompt = prompt;
    this.#contextLength = contextLength;
    this.batching = { maxItems: 1, maxLength: contextLength * LONGEST_TOKEN };
  }

  static async create(session: Session, config: KvDecoderConfig, files: PipelineFiles): Promise<KvDecoder> {
    const [tokenizer, tokenizerConfig] = await Promise.all([
      files.readJson("tokenizer.json"),
      files.readJson("tokenizer_config.json"),
    ]);
    const { systemPrompt } = config;
    const prompt = new ChatPrompt({ tokenizer, config: tokenizerConfig, systemPrompt });
    return new KvDecoder(session, config, prompt, Math.min(config.contextLength, files.contextLength));
  }

  async run(items: readonly PipelineItem[], onProgress: () => void): Promise<readonly PipelineResult[]> {
    const results: PipelineResult[] = [];
    for (const item of items) results.push(await this.#answer(item, onProgress));
    return results;
  }

  async #answer({ text, parameters }: PipelineItem, onProgress: () => void): Promise<PipelineResult> {
    if (text.trim() === "") return EMPTY_TEXT;
    if (text.length > this.batching.maxLength) return this.#tooLong(`${text.length} characters`);
    const promptIds = this.#prompt.encode(text);
    if (promptIds.length >= this.#contextLength) return this.#tooLong(`${promptIds.length} tokens`);
    const {
      ids,
      text: answer,
      reason,
      meanLogprob,
    } = await this.#generate(promptIds, parameters, onProgress);
    return {
      output: {
        type: "text-generation",
        generated_text: answer,
        finish_reason: reason,
        prompt_tokens: promptIds.length,
        completion_tokens: ids.length,
        score: ids.length === 0 ? null : roundScore(Math.exp(meanLogprob)),
        scoreSource: ids.length === 0 ? "none" : "logprob",
      },
    };
  }

  async #generate(
    promptIds: readonly number[],
    parameters: Parameters,
    onProgress: () => void,
  ): Promise<Generation> {
    const room = this.#contextLength - promptIds.length;
    const limit = Math.min(parameters.maxNewTokens ?? DEFAULT_MAX_NEW_TOKENS, room);
    const stops = [...this.#config.stop, ...(parameters.stop ?? [])];
    const sampler = new Sampler(
      {
        temperature: parameters.temperature ?? 0,
        topP: parameters.topP ?? 1,
        repetitionPenalty: parameters.repetitionPenalty ?? DEFAULT_REPETITION_PENALTY,
        seed: parameters.seed ?? 0,
      },
      promptIds,
    );
    const ids: number[] = [];
    let logprobs = 0;
    const finish = (reason: "stop" | "length", text = this.#prompt.decode(ids)): Generation => ({
      ids,
      text,
      reason,
      meanLogprob: logprobs / ids.length,
    });
    let past = this.#emptyPast();
    let length = 0;
    for (let input: readonly number[] = promptIds; ids.length < limit;) {
      length += input.length;
      const outputs = await this.#step(input, length, past);
      onProgress();
      past = this.#pastOf(outputs);
      const { id, logprob } = sampler.next(floatsOf(outputs, "logits").subarray(-this.#config.vocabSize));
      if (this.#config.eosTokenIds.includes(id)) return finish("stop");
      ids.push(id);
      logprobs += logprob;
      const text = stops.length === 0 ? undefined : beforeStop(this.#prompt.decode(ids), stops);
      if (text !== undefined) return finish("stop", text);
      input = [id];
    }
    return finish("length");
  }

  #step(ids: readonly number[], length: number, past: Readonly<Record<string, Tensor>>) {
    return this.#session.run({
      input_ids: this.#session.int64(ids, [1, ids.length]),
      attention_mask: this.#session.int64(new Uint8Array(length).fill(1), [1, length]),
      ...past,
    });
  }

  #emptyPast(): Record<string, Tensor> {
    const { kvHeads, headDim } = this.#config;
    return this.#cacheOf(() => this.#session.float32(new Float32Array(0), [1, kvHeads, 0, headDim]));
  }

  /** The cache goes back in as it came out, without a copy here. */
  #pastOf(outputs: Readonly<Record<string, Tensor>>): Record<string, Tensor> {
    return this.#cacheOf((name) => outputs[`present.${name}`]);
  }

  #cacheOf(tensorOf: (name: string) => Tensor | undefined): Record<string, Tensor> {
    const cache: Record<string, Tensor> = {};
    for (let layer = 0; layer < this.#config.layers; layer++) {
      for (const name of [`${layer}.key`, `${layer}.value`]) {
        const tensor = tensorOf(name);
        if (tensor !== undefined) cache[`past_key_values.${name}`] = tensor;
      }
    }
    return cache;
  }

  #tooLong(size: string): PipelineResult {
    const message = `the prompt has ${size}, the model takes ${this.#contextLength} tokens with the answer`;
    return { error: { code: "ItemTooLong", message } };
  }
}

/** The text up to the first stop in it; undefined when there is none. */
function beforeStop(text: string, stops: readonly string[]): string | undefined {
  const found = stops.map((stop) => text.indexOf(stop)).filter((index) => index >= 0);
  return found.length === 0 ? undefined : text.slice(0, Math.min(...found));
}
