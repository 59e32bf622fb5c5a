import type { ChatMessage, ChatModel, ChoiceLogprobs, Generated, GenerateRequest } from "./chat-model.ts";

/** Answers as it is told, and counts characters as tokens. */
export class ScriptedModel implements ChatModel {
  readonly contextLength: number;
  readonly choicesAs: ChatModel["choicesAs"];
  readonly asked: GenerateRequest[] = [];
  readonly scored: (readonly ChatMessage[])[] = [];
  readonly #answers: string[];
  readonly #score: ((text: string, choices: readonly string[]) => readonly number[]) | undefined;

  constructor(options: {
    readonly answers?: readonly string[];
    /** Probabilities of the choices for a prompt; without it the model can't tell. */
    readonly score?: (text: string, choices: readonly string[]) => readonly number[];
    readonly contextLength?: number;
    readonly choicesAs?: ChatModel["choicesAs"];
  }) {
    this.#answers = [...(options.answers ?? [])];
    this.#score = options.score;
    this.contextLength = options.contextLength ?? 100_000;
    this.choicesAs = options.choicesAs ?? "labels";
  }

  countTokens(messages: readonly ChatMessage[]): number {
    return messages.reduce((sum, { content }) => sum + content.length, 0);
  }

  async generate(request: GenerateRequest): Promise<Generated> {
    this.asked.push(request);
    const text = this.#answers.shift();
    if (text === undefined) throw new Error("the script has no more answers");
    return { text, finishReason: "stop", promptTokens: 1, completionTokens: 1 };
  }

  async scoreChoices(
    messages: readonly ChatMessage[],
    choices: readonly string[],
  ): Promise<ChoiceLogprobs | undefined> {
    this.scored.push(messages);
    const masses = this.#score?.(messages.at(-1)?.content ?? "", choices);
    if (masses === undefined) return undefined;
    return { logprobs: masses.map(Math.log), coverage: masses.reduce((sum, mass) => sum + mass, 0) };
  }
}
