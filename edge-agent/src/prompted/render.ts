/**
 * From a prompt and an item to messages.
 *
 * - The template is Liquid; text, question and the examples are values in it and never evaluated.
 * - `fence` is a line of quotation marks longer than any run of them in the text, so that a text can't end its own
 *   quotation.
 * - What is too long is the text, never instructions, question or examples: it is cut until the prompt fits.
 */
import type { WorkPrompt } from "@autoglm/api";
import { fitText } from "./budget.ts";
import type { ChatMessage, Parameters } from "./chat-model.ts";
import { orderExamples } from "./examples.ts";
import { renderTemplate, variablesOf } from "./liquid.ts";
import { PromptProblem } from "./problem.ts";

/** What every template may use without declaring it. */
const BUILT_IN_VARIABLES = [
  "text",
  "context",
  "question",
  "fence",
  "labels",
  "label",
  "choices",
  "lettered",
  "multiLabel",
  "examples",
] as const;

const LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZ";

/** Texts of an item. */
export interface PromptTexts {
  /** What the task is about; the context of a question. */
  readonly text: string;
  readonly question?: string | undefined;
}

export interface PromptQuestion {
  readonly texts: PromptTexts;
  readonly labels: readonly string[];
  /** Zero-shot with several labels: the one that is judged now. */
  readonly label?: string | undefined;
  /** What the answer is chosen from: labels, or yes and no. Empty for a free answer. */
  readonly choices: readonly string[];
  /** Put the choices as letters, if the template can and they suffice. */
  readonly lettered: boolean;
}

export interface RenderedPrompt {
  readonly messages: readonly ChatMessage[];
  /** What the model is to say for each choice: a letter or the choice itself. */
  readonly answers: readonly string[];
  /** How much of the text is in the prompt, in UTF-16 units. */
  readonly textLength: number;
}

/** @throws PromptProblem for a variable that is not declared, or a template that can't be read */
export function checkTemplate(prompt: Pick<WorkPrompt, "template" | "system" | "variables">): void {
  const known = new Set<string>([...BUILT_IN_VARIABLES, ...Object.keys(prompt.variables)]);
  for (const source of [prompt.system ?? "", prompt.template]) {
    const unknown = variablesOf(source).find((name) => !known.has(name));
    if (unknown === undefined) continue;
    throw new PromptProblem(
      `the template uses {{ ${unknown} }}, which has no value: declare it under variables and give it a default, or set it in spec.prompt.variables of the task`,
    );
  }
}

/** Whether a template shows choices by letter when asked to. */
function canShowLetters(prompt: WorkPrompt): boolean {
  return [prompt.template, prompt.system ?? ""].some((source) => variablesOf(source).includes("lettered"));
}

/**
 * @param fits whether a prompt leaves room for its answer
 * @returns undefined when the instructions alone don't fit
 * @throws PromptProblem
 */
export function renderPrompt(
  prompt: WorkPrompt,
  question: PromptQuestion,
  fits: (messages: readonly ChatMessage[]) => boolean,
): RenderedPrompt | undefined {
  checkTemplate(prompt);
  const { choices } = question;
  const lettered = question.lettered && choices.length <= LETTERS.length && canShowLetters(prompt);
  const answers = choices.map((choice, index) => (lettered ? LETTERS.charAt(index) : choice));
  const scope = {
    ...prompt.variables,
    labels: question.labels,
    label: question.label ?? "",
    multiLabel: question.label !== undefined,
    lettered,
    choices: choices.map((choice, index) => ({ label: choice, letter: LETTERS.charAt(index) })),
    examples: examplesFor(prompt, question, answers),
    question: question.texts.question?.replaceAll(/\s+/g, " ").trim() ?? "",
  };
  const fence = fenceFor([question.texts.text, ...prompt.examples.map(({ input }) => input)]);
  const messagesFor = (text: string): readonly ChatMessage[] => {
    const values = { ...scope, text, context: text, fence };
    const user: ChatMessage = { role: "user", content: renderTemplate(prompt.template, values).trim() };
    if (prompt.system === undefined) return [user];
    return [{ role: "system", content: renderTemplate(prompt.system, values).trim() }, user];
  };
  const text = fitText(question.texts.text, (candidate) => fits(messagesFor(candidate)));
  return text === undefined ? undefined : { messages: messagesFor(text), answers, textLength: text.length };
}

function examplesFor(prompt: WorkPrompt, question: PromptQuestion, answers: readonly string[]) {
  const { label, labels, choices } = question;
  const ordered = orderExamples(prompt.examples, choices.length === 0 ? undefined : labels);
  return ordered.map(({ input, output }) => {
    if (choices.length === 0) return { input, output };
    // For one label of several the first choice is yes.
    const chosen = label === undefined ? choices.indexOf(output) : output === label ? 0 : 1;
    return { input, output: answers[chosen] ?? output };
  });
}

function fenceFor(texts: readonly string[]): string {
  let longest = 2;
  for (const text of texts) {
    for (const [run] of text.matchAll(/"{3,}/g)) longest = Math.max(longest, run.length);
  }
  return '"'.repeat(longest + 1);
}

/**
 * Text and question of an item.
 * @returns the message of an item error when one is missing
 */
export function textsOf(
  prompt: Pick<WorkPrompt, "taskType">,
  item: {
    readonly text: string;
    readonly fields?: Readonly<Record<string, string>> | undefined;
    readonly parameters: Pick<Parameters, "question">;
  },
): PromptTexts | { readonly problem: string } {
  const { text, fields = {}, parameters } = item;
  if (prompt.taskType !== "question-answering")
    return text.trim() === "" ? { problem: "empty text" } : { text };
  const context = fields["context"] ?? text;
  const question =
    fields["question"] ?? parameters.question ?? (fields["context"] === undefined ? undefined : text);
  if (context.trim() === "") return { problem: "empty text" };
  if (question === undefined || question.trim() === "") {
    return { problem: "no question: set parameters.question, or give the records a field named question" };
  }
  return { text: context, question };
}
