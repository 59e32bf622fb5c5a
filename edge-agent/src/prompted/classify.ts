/**
 * Classification by a prompt. What the score is made of, best first:
 *
 * - the model's log-probabilities of the choices, calibrated by what it says to inputs without content;
 * - votes of several samples, when the task asks for them;
 * - nothing: the label that the model names, its score null.
 */
import type { ItemOutput, WorkPrompt } from "@autoglm/api";
import type { ChatMessage, ChatModel, Parameters } from "./chat-model.ts";
import { biasOf, calibrate, choiceNamedIn, CONTENT_FREE_TEXTS, normalise } from "./choice-scores.ts";
import { renderPrompt, type PromptQuestion, type RenderedPrompt } from "./render.ts";
import { itemError, type PromptedResult, type PromptNotes } from "./result.ts";

/** Tokens of a label that is said, with room for a model that says a word too much. */
const MAX_LABEL_TOKENS = 32;
const VOTE_TEMPERATURE = 0.7;
const MAX_CACHED_BIASES = 256;

type Labels = Extract<ItemOutput, { type: "text-classification" }>["labels"];

export interface Classification {
  readonly prompt: WorkPrompt;
  readonly text: string;
  readonly parameters: Parameters;
}

/** A judgement between choices: probabilities in their order, or the one that was named. */
interface Judgement {
  readonly scores: readonly (number | null)[];
  readonly source: "logprob" | "vote" | "none";
  readonly coverage?: number | undefined;
  readonly repaired?: boolean | undefined;
  readonly textLength: number;
}

type Failure = Extract<PromptedResult, { error: unknown }>;

/** What was learned about a model's bias, by the messages that it was asked with. */
export type BiasCache = Map<string, Promise<readonly number[]>>;

export class PromptedClassifier {
  readonly #model: ChatModel;
  readonly #biases: BiasCache;

  constructor(model: ChatModel, biases: BiasCache) {
    this.#model = model;
    this.#biases = biases;
  }

  async classify(request: Classification): Promise<PromptedResult> {
    const { prompt, parameters } = request;
    const labels = parameters.candidateLabels ?? prompt.labels ?? [];
    if (labels.length === 0)
      return itemError("ItemInvalid", "no labels to choose from: set parameters.candidateLabels");
    const severally = prompt.taskType === "zero-shot-classification" && parameters.multiLabel === true;
    return severally ? this.#classifySeverally(request, labels) : this.#classifyOnce(request, labels);
  }

  async #classifyOnce(request: Classification, labels: readonly string[]): Promise<PromptedResult> {
    const judgement = await this.#judge(request, { labels, choices: labels });
    if ("error" in judgement) return judgement;
    const scored = labels.map((label, index) => ({ label, score: judgement.scores[index] ?? null }));
    // Without scores only the label that was named is an answer; with votes the ones that got any.
    const named = scored.filter(
      ({ score }) => score !== null && (judgement.source === "logprob" || score > 0),
    );
    const best = named.sort((a, b) => (b.score ?? 0) - (a.score ?? 0));
    if (judgement.source === "none") {
      return this.#result(
        request,
        best.map(({ label }) => ({ label, score: null })),
        [judgement],
      );
    }
    return this.#result(request, best, [judgement]);
  }

  /** Each label alone: does it hold or not. */
  async #classifySeverally(request: Classification, labels: readonly string[]): Promise<PromptedResult> {
    const choices = request.prompt.language === "zh" ? ["是", "否"] : ["yes", "no"];
    const judgements: Judgement[] = [];
    const found: Labels = [];
    for (const label of labels) {
      const judgement = await this.#judge(request, { labels, label, choices });
      if ("error" in judgement) return judgement;
      judgements.push(judgement);
      const score = judgement.scores[0] ?? null;
      if (judgement.source !== "none") found.push({ label, score });
      else if (score === 1) found.push({ label, score: null });
    }
    return this.#result(
      request,
      found.sort((a, b) => (b.score ?? 0) - (a.score ?? 0)),
      judgements,
    );
  }

  #result(request: Classification, labels: Labels, judgements: readonly Judgement[]): PromptedResult {
    const { prompt, parameters, text } = request;
    const threshold = parameters.threshold ?? 0;
    const kept = labels.filter(({ score }) => score === null || score >= threshold).slice(0, parameters.topK);
    const type = prompt.taskType === "zero-shot-classification" ? prompt.taskType : "text-classification";
    const rounded = kept.map(({ label, score }) => ({
      label,
      score: score === null ? null : roundScore(score),
    }));
    return {
      output: { type, labels: rounded, scoreSource: judgements[0]?.source ?? "none" },
      notes: notesOf(judgements, text.length),
    };
  }

  async #judge(
    request: Classification,
    asked: Pick<PromptQuestion, "labels" | "label" | "choices">,
  ): Promise<Judgement | Failure> {
    const { prompt, text, parameters } = request;
    const rendered = this.#render(prompt, asked, text);
    if (rendered === undefined) return tooLong(this.#model);
    const { messages, answers, textLength } = rendered;
    if ((parameters.votes ?? 1) === 1) {
      const told = await this.#model.scoreChoices(messages, answers);
      const probabilities = told === undefined ? undefined : normalise(told.logprobs);
      if (told !== undefined && probabilities !== undefined) {
        const bias = await this.#bias(prompt, asked);
        return {
          scores: calibrate(probabilities, bias),
          source: "logprob",
          coverage: told.coverage,
          textLength,
        };
      }
    }
    return this.#ask(request, rendered, asked.choices.length);
  }

  #render(
    prompt: WorkPrompt,
    asked: Pick<PromptQuestion, "labels" | "label" | "choices">,
    text: string,
  ): RenderedPrompt | undefined {
    const lettered = this.#model.choicesAs === "letters";
    return renderPrompt(prompt, { texts: { text }, ...asked, lettered }, (messages) =>
      leavesRoom(this.#model, prompt, messages, prompt.maxNewTokens ?? MAX_LABEL_TOKENS),
    );
  }

  /** Asks for the label itself: once, or several times and counts. */
  async #ask(
    { prompt, parameters }: Classification,
    rendered: RenderedPrompt,
    choices: number,
  ): Promise<Judgement | Failure> {
    const { messages, answers, textLength } = rendered;
    const votes = parameters.votes ?? 1;
    const counts = Array.from({ length: choices }, () => 0);
    let valid = 0;
    let repaired = false;
    for (let vote = 0; vote < votes; vote++) {
      const ask = (asked: readonly ChatMessage[]) =>
        this.#model.generate({
          messages: asked,
          maxNewTokens: prompt.maxNewTokens ?? MAX_LABEL_TOKENS,
          temperature: parameters.temperature ?? (votes > 1 ? VOTE_TEMPERATURE : 0),
          seed: (parameters.seed ?? 0) + vote,
          stop: prompt.stop ?? [],
          choice: answers,
        });
      const first = await ask(messages);
      let named = choiceNamedIn(first.text, answers);
      if (named === undefined) {
        repaired = true;
        const repair = repairMessages(prompt, messages, first.text, answers);
        named = choiceNamedIn((await ask(repair)).text, answers);
      }
      if (named === undefined) continue;
      counts[named] = (counts[named] ?? 0) + 1;
      valid++;
    }
    if (valid === 0) {
      const error =
        "the model named none of the labels, asked a second time too: try another model or prompt";
      return { error: { code: "AnswerInvalid", message: error } };
    }
    if (votes > 1)
      return { scores: counts.map((count) => count / valid), source: "vote", repaired, textLength };
    return { scores: counts.map((count) => (count > 0 ? 1 : null)), source: "none", repaired, textLength };
  }

  /** What the model says to inputs without content; asked once for a prompt and its labels. */
  #bias(
    prompt: WorkPrompt,
    asked: Pick<PromptQuestion, "labels" | "label" | "choices">,
  ): Promise<readonly number[]> {
    const rendered = CONTENT_FREE_TEXTS.flatMap((text) => this.#render(prompt, asked, text) ?? []);
    const key = JSON.stringify(rendered.map(({ messages }) => messages));
    const known = this.#biases.get(key);
    if (known !== undefined) return known;
    const bias = this.#askBias(rendered, asked.choices.length);
    if (this.#biases.size >= MAX_CACHED_BIASES) this.#biases.clear();
    this.#biases.set(key, bias);
    // A failure is not remembered: the next item asks again.
    bias.catch(() => this.#biases.delete(key));
    return bias;
  }

  async #askBias(rendered: readonly RenderedPrompt[], choices: number): Promise<readonly number[]> {
    const told = await Promise.all(
      rendered.map(({ messages, answers }) => this.#model.scoreChoices(messages, answers)),
    );
    const answers = told.flatMap((answer) => {
      const probabilities = answer === undefined ? undefined : normalise(answer.logprobs);
      return probabilities === undefined ? [] : [probabilities];
    });
    return biasOf(answers, choices);
  }
}

export function leavesRoom(
  model: ChatModel,
  prompt: Pick<WorkPrompt, "maxInputTokens">,
  messages: readonly ChatMessage[],
  maxNewTokens: number,
): boolean {
  const limit = Math.min(model.contextLength - maxNewTokens, prompt.maxInputTokens ?? Infinity);
  return model.countTokens(messages) <= limit;
}

export function tooLong(model: ChatModel): Failure {
  const message = `the prompt without the text and room for the answer need more than the ${model.contextLength} tokens that the model or the prompt allows: use fewer examples, or raise maxInputTokens`;
  return { error: { code: "ItemTooLong", message } };
}

function repairMessages(
  prompt: WorkPrompt,
  messages: readonly ChatMessage[],
  answer: string,
  answers: readonly string[],
): readonly ChatMessage[] {
  const list = answers.join(", ");
  const content =
    prompt.language === "zh"
      ? `这个回答不在可选项之中。只回答以下之一，不要其他内容：${list}`
      : `That is none of the choices. Answer with exactly one of these and nothing else: ${list}`;
  return [...messages, saidBefore(answer.slice(0, 500)), { role: "user", content }];
}

/** A message without content is refused by some servers. */
export function saidBefore(answer: string): ChatMessage {
  return { role: "assistant", content: answer.trim() === "" ? "…" : answer };
}

function notesOf(judgements: readonly Judgement[], length: number): PromptNotes {
  const coverages = judgements.flatMap(({ coverage }) => coverage ?? []);
  const textLength = Math.min(...judgements.map((judgement) => judgement.textLength));
  return {
    ...(coverages.length > 0 && { coverage: roundScore(Math.min(...coverages)) }),
    ...(judgements.some(({ repaired }) => repaired === true) && { repaired: true }),
    ...(textLength < length && { cutTo: textLength }),
  };
}

/** Six decimals. */
export function roundScore(score: number): number {
  return Math.min(1, Math.max(0, Math.round(score * 1e6) / 1e6));
}
