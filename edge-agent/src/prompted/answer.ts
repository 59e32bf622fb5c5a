/**
 * Serves a task type by a prompt, with any model that takes messages.
 *
 *     item ──▶ render ──▶ model ──▶ read, check by schema ──▶ output
 *                           ▲            │ does not fit, once
 *                           └── repair ◀─┘
 */
import type { ItemOutput, TaskType, WorkPrompt } from "@autoglm/api";
import type { ChatMessage, ChatModel, Generated, Parameters } from "./chat-model.ts";
import {
  leavesRoom,
  PromptedClassifier,
  roundScore,
  saidBefore,
  tooLong,
  type BiasCache,
} from "./classify.ts";
import { ModelRefused, PromptProblem } from "./problem.ts";
import { renderPrompt, textsOf, type PromptTexts, type RenderedPrompt } from "./render.ts";
import { itemError, type PromptedResult, type PromptNotes } from "./result.ts";
import { readJsonAnswer, schemaOf, type Checked, type JsonSchema } from "./schemas.ts";
import { SpanFinder } from "./spans.ts";
import { answerOf, entitiesOf, relationsOf, summaryOf } from "./structured.ts";

const DEFAULT_MAX_NEW_TOKENS = 256;

export interface PromptedItem {
  readonly text: string;
  readonly fields?: Readonly<Record<string, string>> | undefined;
  readonly parameters: Parameters;
}

/** Answers items by prompts, with one model. */
export class PromptedModel {
  readonly #model: ChatModel;
  readonly #classifier: PromptedClassifier;

  /** @param biases what was learned about the model before */
  constructor(model: ChatModel, biases: BiasCache = new Map()) {
    this.#model = model;
    this.#classifier = new PromptedClassifier(model, biases);
  }

  /** Never rejects for what is wrong with prompt or item; what the model throws passes through. */
  async answer(prompt: WorkPrompt, item: PromptedItem): Promise<PromptedResult> {
    try {
      const texts = textsOf(prompt, item);
      if ("problem" in texts) return itemError("ItemInvalid", texts.problem);
      const { parameters } = item;
      if (isClassification(prompt.taskType)) {
        return await this.#classifier.classify({ prompt, text: texts.text, parameters });
      }
      const read = READERS[prompt.taskType];
      if (read !== undefined) return await this.#generate(prompt, read, texts, parameters);
      const problem = `the prompt ${prompt.name} is for ${prompt.taskType}, which no prompt serves`;
      return itemError("PromptInvalid", problem);
    } catch (thrown) {
      if (thrown instanceof ModelRefused) return itemError(thrown.code, thrown.message);
      if (!(thrown instanceof PromptProblem)) throw thrown;
      return itemError("PromptInvalid", `the prompt ${prompt.name} can't be used: ${thrown.message}`);
    }
  }

  async #generate(
    prompt: WorkPrompt,
    read: Reader,
    texts: PromptTexts,
    parameters: Parameters,
  ): Promise<PromptedResult> {
    const labels = parameters.candidateLabels ?? prompt.labels ?? [];
    const schema = schemaOf(prompt, labels);
    const maxNewTokens = parameters.maxNewTokens ?? prompt.maxNewTokens ?? DEFAULT_MAX_NEW_TOKENS;
    const rendered = renderPrompt(prompt, { texts, labels, choices: [], lettered: false }, (messages) =>
      leavesRoom(this.#model, prompt, messages, maxNewTokens),
    );
    if (rendered === undefined) return tooLong(this.#model);
    const ask = (messages: readonly ChatMessage[]) =>
      this.#model.generate({
        messages,
        maxNewTokens,
        temperature: parameters.temperature ?? 0,
        seed: parameters.seed ?? 0,
        stop: [...(prompt.stop ?? []), ...(parameters.stop ?? [])],
        topK: prompt.taskType === "text-generation" ? parameters.topK : undefined,
        topP: parameters.topP,
        // A penalty for repetition punishes the quotes and names that an extraction has to repeat.
        repetitionPenalty: parameters.repetitionPenalty ?? (schema === undefined ? undefined : 1),
        schema,
      });
    const first = await ask(rendered.messages);
    const cut: PromptNotes = rendered.textLength < texts.text.length ? { cutTo: rendered.textLength } : {};
    const asked = { text: texts.text, labels };
    const answered = readAnswer(read, first, asked, schema);
    if ("output" in answered) return { ...answered, notes: { ...cut, ...answered.notes } };
    const repair = repairMessages(prompt, rendered, first.text, answered.problem);
    if (!leavesRoom(this.#model, {}, repair, maxNewTokens)) return invalid(answered.rule);
    const second = readAnswer(read, await ask(repair), asked, schema);
    if (!("output" in second)) return invalid(second.rule);
    return { ...second, notes: { ...cut, ...second.notes, repaired: true } };
  }
}

const isClassification = (type: TaskType) =>
  type === "text-classification" || type === "zero-shot-classification";

/** What an answer means; undefined when it has another form than was asked for. */
type Reader = (
  value: unknown,
  asked: { readonly text: string; readonly labels: readonly string[]; readonly generated: Generated },
) => { readonly output: ItemOutput; readonly dropped?: number } | undefined;

const READERS: Partial<Record<TaskType, Reader>> = {
  "token-classification": (value, { text, labels }) => entitiesOf(value, text, labels),
  "relation-extraction": (value, { text, labels }) => relationsOf(value, text, labels),
  "question-answering": (value, { text, generated }) => {
    const answer = answerOf(value);
    if (answer === undefined) return undefined;
    const { start, end } = new SpanFinder(text).first(answer) ?? { start: null, end: null };
    return { output: { type: "question-answering", answer, start, end, ...scoreOf(generated) } };
  },
  "text-generation": (value, { generated }) => {
    const output = {
      type: "text-generation",
      generated_text: String(value),
      finish_reason: generated.finishReason,
      prompt_tokens: generated.promptTokens,
      completion_tokens: generated.completionTokens,
      ...scoreOf(generated),
    } as const;
    return { output };
  },
  summarization: (value, { generated }) => {
    const summary = summaryOf(value);
    if (summary === undefined || summary === "") return undefined;
    return { output: { type: "summarization", summary_text: summary, ...scoreOf(generated) } };
  },
};

type Answered = Extract<PromptedResult, { output: unknown }> | Extract<Checked, { problem: string }>;

function readAnswer(
  read: Reader,
  generated: Generated,
  asked: { readonly text: string; readonly labels: readonly string[] },
  schema: JsonSchema | undefined,
): Answered {
  const checked: Checked =
    schema === undefined ? { value: generated.text } : readJsonAnswer(generated.text, schema);
  if (!("value" in checked)) return checked;
  const meant = read(checked.value, { ...asked, generated });
  if (meant === undefined) return { problem: "it has another form than was asked for", rule: "form" };
  const { output, dropped = 0 } = meant;
  return { output, ...(dropped > 0 && { notes: { dropped } }) };
}

function scoreOf({ meanLogprob }: Generated) {
  if (meanLogprob === undefined) return { score: null, scoreSource: "none" } as const;
  return { score: roundScore(Math.exp(meanLogprob)), scoreSource: "logprob" } as const;
}

function repairMessages(
  prompt: WorkPrompt,
  { messages }: RenderedPrompt,
  answer: string,
  problem: string,
): readonly ChatMessage[] {
  const content =
    prompt.language === "zh"
      ? `这个回答不可用：${problem}。请改正后重新回答，只给出要求的内容。`
      : `That answer can't be used: ${problem}. Correct it and answer again, with nothing but what was asked for.`;
  return [...messages, saidBefore(answer), { role: "user", content }];
}

/** The message names the rule alone: the answer may quote the text. */
function invalid(rule: string): PromptedResult {
  return itemError(
    "AnswerInvalid",
    `the model's answer does not have the form that was asked for (${rule}), asked a second time too: try another model or prompt`,
  );
}
