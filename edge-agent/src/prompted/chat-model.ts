import type { ChatMessage, Parameters } from "../pipelines/pipeline.ts";

export type { ChatMessage, Parameters };

export interface GenerateRequest {
  readonly messages: readonly ChatMessage[];
  readonly maxNewTokens: number;
  /** 0: the most likely token each time. */
  readonly temperature: number;
  readonly seed: number;
  readonly stop: readonly string[];
  readonly topK?: number | undefined;
  readonly topP?: number | undefined;
  readonly repetitionPenalty?: number | undefined;
  /** JSON schema of the answer, enforced where the model can. */
  readonly schema?: Readonly<Record<string, unknown>> | undefined;
  /** The answer is one of these, enforced where the model can. */
  readonly choice?: readonly string[] | undefined;
}

export interface Generated {
  readonly text: string;
  readonly finishReason: "stop" | "length";
  readonly promptTokens: number;
  readonly completionTokens: number;
  /** Mean log-probability of the tokens; undefined where the model does not tell. */
  readonly meanLogprob?: number | undefined;
}

export interface ChoiceLogprobs {
  /** Of each choice, in their order: log of its mass, -Infinity for one that was not seen. Not normalised. */
  readonly logprobs: readonly number[];
  /** Mass on all choices together: low when the model would have said something else. */
  readonly coverage: number;
}

/** A model that is asked by messages: the decoder of an inference process, or an endpoint. */
export interface ChatModel {
  /** Tokens of prompt and answer together. */
  readonly contextLength: number;
  /**
   * How choices are best put: by letters, where only the likeliest first tokens are told, or by the labels themselves,
   * where any text can be scored.
   */
  readonly choicesAs: "letters" | "labels";
  /** Tokens of a prompt; an estimate that is not too low where the tokenizer is not at hand. */
  countTokens(messages: readonly ChatMessage[]): number;
  generate(request: GenerateRequest): Promise<Generated>;
  /** Undefined when the model can't tell. */
  scoreChoices(
    messages: readonly ChatMessage[],
    choices: readonly string[],
  ): Promise<ChoiceLogprobs | undefined>;
}
