import type { Parameters } from "./pipeline.ts";
import { Sampler } from "./sampler.ts";
import { TokenText } from "./token-text.ts";

const DEFAULT_MAX_NEW_TOKENS = 64;
const DEFAULT_REPETITION_PENALTY = 1.1;

export interface RowOptions {
  readonly promptIds: readonly number[];
  readonly parameters: Parameters;
  /** Positions of the model's context. */
  readonly contextLength: number;
  readonly eosTokenIds: readonly number[];
  /** Of the model; those of the parameters come on top. */
  readonly stop: readonly string[];
  readonly decode: (ids: readonly number[]) => string;
  readonly onText?: ((piece: string) => void) | undefined;
  /** Nobody waits for the answer any more. */
  readonly isOver?: (() => boolean) | undefined;
}

/** One answer as it grows: where the model's logits become tokens and text. */
export class DecoderRow {
  readonly promptIds: readonly number[];
  /** Most tokens of the answer. */
  readonly limit: number;
  readonly #eosTokenIds: ReadonlySet<number>;
  readonly #sampler: Sampler;
  readonly #text: TokenText;
  readonly #isOver: () => boolean;
  #completion = 0;
  #logprobs = 0;
  #finishReason: "stop" | "length" | undefined;
  #lastId = 0;

  constructor(options: RowOptions) {
    const { promptIds, parameters, contextLength, decode, onText } = options;
    this.promptIds = promptIds;
    this.#isOver = options.isOver ?? (() => false);
    this.limit = Math.min(
      parameters.maxNewTokens ?? DEFAULT_MAX_NEW_TOKENS,
      contextLength - promptIds.length,
    );
    this.#eosTokenIds = new Set(options.eosTokenIds);
    this.#sampler = new Sampler(
      {
        temperature: parameters.temperature ?? 0,
        topK: parameters.topK ?? 0,
        topP: parameters.topP ?? 1,
        repetitionPenalty: parameters.repetitionPenalty ?? DEFAULT_REPETITION_PENALTY,
        seed: parameters.seed ?? 0,
      },
      promptIds,
    );
    this.#text = new TokenText({ decode, stops: [...options.stop, ...(parameters.stop ?? [])], onText });
  }

  /** Positions that it may come to. */
  get positions(): number {
    return this.promptIds.length + this.limit;
  }

  /** The token that goes into the graph next. */
  get lastId(): number {
    return this.#lastId;
  }

  get completionTokens(): number {
    return this.#completion;
  }

  /** Undefined while it goes on. */
  get finishReason(): "stop" | "length" | undefined {
    return this.#finishReason;
  }

  get text(): string {
    return this.#text.text;
  }

  /** Mean log-probability that the model gave the tokens of the answer; undefined without one. */
  get meanLogprob(): number | undefined {
    return this.#completion === 0 ? undefined : this.#logprobs / this.#completion;
  }

  /**
   * Takes the next token.
   * @param logits changed
   * @returns whether the answer is complete
   */
  take(logits: Float32Array, normalizer: number): boolean {
    const { id, logit } = this.#sampler.next(logits);
    if (this.#eosTokenIds.has(id) || this.#isOver()) {
      this.#text.end();
      this.#finishReason = "stop";
      return true;
    }
    this.#lastId = id;
    this.#completion++;
    this.#logprobs += logit - normalizer;
    if (this.#text.push(id)) this.#finishReason = "stop";
    else if (this.#completion >= this.limit) this.#finishReason = this.#text.end() ? "stop" : "length";
    return this.#finishReason !== undefined;
  }
}
