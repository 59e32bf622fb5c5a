import { ChatPrompt, TemplateRefused } from "./chat-prompt.ts";
import type { KvDecoderConfig } from "./config.ts";
import { KvDecoderBatch } from "./kv-decoder-batch.ts";
import { KvDecoderGraph } from "./kv-decoder-graph.ts";
import { DecoderRow } from "./kv-decoder-row.ts";
import {
  EMPTY_TEXT,
  roundScore,
  type ChatMessage,
  type Pipeline,
  type PipelineFiles,
  type PipelineItem,
  type PipelineResult,
  type RunHooks,
  type Session,
} from "./pipeline.ts";
import { scoreContinuations, type ContinuationScore } from "./score-continuations.ts";

/** Eight rows cost a step not much more than twice what one costs; sixteen gained little more (hack/bench/generation.ts). */
const MAX_ROWS = 8;
/** No tokenizer in use has a token of more characters; texts beyond this per token of context are refused unread. */
const LONGEST_TOKEN = 32;

/**
 * A chat model with a key-value cache: conversation in, answer out, token by token for those who listen. Calls of `run` may
 * overlap; their rows share the steps.
 */
export class KvDecoder implements Pipeline {
  readonly taskTypes = ["text-generation"] as const;
  readonly batching: Pipeline["batching"];
  /** Tokens of prompt and answer together. */
  readonly contextLength: number;
  readonly prompt: ChatPrompt;
  readonly #config: KvDecoderConfig;
  readonly #graph: KvDecoderGraph;
  readonly #batch: KvDecoderBatch;

  private constructor(session: Session, config: KvDecoderConfig, prompt: ChatPrompt, contextLength: number) {
    this.#config = config;
    this.prompt = prompt;
    this.contextLength = contextLength;
    this.batching = { maxItems: MAX_ROWS, maxLength: contextLength, overlaps: true };
    this.#graph = new KvDecoderGraph(session, config);
    // The model's memory is declared with one full context: rows of a batch share it.
    const limits = { maxRows: MAX_ROWS, maxPositions: contextLength };
    this.#batch = new KvDecoderBatch(this.#graph, config.vocabSize, limits);
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

  async run(items: readonly PipelineItem[], hooks: RunHooks): Promise<readonly PipelineResult[]> {
    const rows = items.map((item, index) => this.#rowOf(item, index, hooks));
    const decodable = rows.filter((row) => row instanceof DecoderRow);
    await this.#batch.decode(decodable, hooks.onProgress);
    return rows.map((row) => (row instanceof DecoderRow ? resultOf(row) : row));
  }

  /**
   * Log-probabilities of continuations of a prompt, exact, with the prompt run once.
   * @throws PipelineFailure when the graph fails; the prompt and each continuation have to fit into the context
   */
  scoreContinuations(
    promptIds: readonly number[],
    continuations: readonly (readonly number[])[],
    onProgress: () => void,
  ): Promise<readonly ContinuationScore[]> {
    return scoreContinuations(this.#graph, this.#config.vocabSize, promptIds, continuations, onProgress);
  }

  #rowOf(item: PipelineItem, index: number, { onToken, isOver }: RunHooks): DecoderRow | PipelineResult {
    const messages = item.messages ?? [{ role: "user", content: item.text }];
    const promptIds = this.#encode(messages);
    if (!Array.isArray(promptIds)) return promptIds as PipelineResult;
    return new DecoderRow({
      promptIds,
      parameters: item.parameters,
      contextLength: this.contextLength,
      eosTokenIds: this.#config.eosTokenIds,
      stop: this.#config.stop,
      decode: (ids) => this.prompt.decode(ids),
      isOver,
      onText: onToken === undefined ? undefined : (piece) => onToken(index, piece),
    });
  }

  #encode(messages: readonly ChatMessage[]): readonly number[] | PipelineResult {
    if (messages.every(({ content }) => content.trim() === "")) return EMPTY_TEXT;
    const characters = messages.reduce((sum, { content }) => sum + content.length, 0);
    if (characters > this.contextLength * LONGEST_TOKEN) return this.#tooLong(`${characters} characters`);
    try {
      const promptIds = this.prompt.encode(messages);
      return promptIds.length < this.contextLength ? promptIds : this.#tooLong(`${promptIds.length} tokens`);
    } catch (error) {
      if (!(error instanceof TemplateRefused)) throw error;
      return { error: { code: "ItemInvalid", message: error.message } };
    }
  }

  #tooLong(size: string): PipelineResult {
    const message = `the prompt has ${size}, the model takes ${this.contextLength} tokens with the answer`;
    return { error: { code: "ItemTooLong", message } };
  }
}

function resultOf(row: DecoderRow): PipelineResult {
  const { meanLogprob } = row;
  return {
    output: {
      type: "text-generation",
      generated_text: row.text,
      finish_reason: row.finishReason ?? "length",
      prompt_tokens: row.promptIds.length,
      completion_tokens: row.completionTokens,
      score: meanLogprob === undefined ? null : roundScore(Math.exp(meanLogprob)),
      scoreSource: meanLogprob === undefined ? "none" : "logprob",
    },
  };
}
