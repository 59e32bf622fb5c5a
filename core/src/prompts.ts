import type { PromptSpec, TaskType, WorkPrompt } from "@autoglm/api";
import { compareNumbers } from "./compare.ts";
import { languageOf, type TextLanguage } from "./language.ts";

export interface PromptCandidate {
  readonly name: string;
  readonly spec: PromptSpec;
}

export interface PromptFacts {
  readonly taskType: TaskType;
  /** Of the text, or of a sample of the texts, where it is known. */
  readonly language?: TextLanguage | undefined;
  /** Labels that the task names: examples with other outputs are no help for them. */
  readonly labels?: readonly string[] | undefined;
  /** Of the model; where it is short, examples leave no room for the text. Default: long. */
  readonly contextLength?: number | undefined;
}

/** Below it a prompt without examples is the better one. */
const CONTEXT_FOR_EXAMPLES = 1024;

/**
 * The prompt for a type and a language: one for the language before one for any, and that before another language's; then
 * one with examples, if they are of use for the task; then by name. Undefined when no candidate is for the type.
 */
export function choosePrompt(
  candidates: readonly PromptCandidate[],
  facts: PromptFacts,
): PromptCandidate | undefined {
  const { language, contextLength = Infinity } = facts;
  const rank = (candidate: PromptCandidate): readonly number[] => [
    languageRank(candidate.spec.language, language),
    usefulExamples(candidate.spec, facts) > 0 === contextLength >= CONTEXT_FOR_EXAMPLES ? 0 : 1,
    // Examples that are of no use are not worth their tokens.
    candidate.spec.examples?.length ?? 0,
  ];
  return candidates
    .filter(({ spec }) => spec.taskType === facts.taskType)
    .sort((a, b) => compareNumbers(rank(a), rank(b)) || (a.name < b.name ? -1 : 1))[0];
}

/**
 * One prompt for each language that the texts of a task may be in: what a node chooses from by each text. The one for the
 * language of the task, else English, comes first: a text of neither language gets that one.
 */
export function choosePrompts(
  candidates: readonly PromptCandidate[],
  facts: PromptFacts,
): readonly PromptCandidate[] {
  const languages = facts.language === "zh" ? (["zh", "en"] as const) : (["en", "zh"] as const);
  const chosen = languages.flatMap((language) => choosePrompt(candidates, { ...facts, language }) ?? []);
  return chosen.filter(({ name }, index) => chosen.findIndex((other) => other.name === name) === index);
}

/** A prompt of the library as a node gets it: variables at their defaults. */
export function workPromptOf({ name, spec }: PromptCandidate): WorkPrompt {
  const { variables = [], examples = [], ...rest } = spec;
  const defaults = variables.flatMap((variable) =>
    variable.default === undefined ? [] : [[variable.name, variable.default] as const],
  );
  return { name, ...rest, variables: Object.fromEntries(defaults), examples };
}

/**
 * Of the prompts that a node was given, the one for a text: for its language, else for any, else the first. So digits, an
 * emoji, or a text in another script than the two are asked about like the rest of their task.
 */
export function promptForText(prompts: readonly WorkPrompt[], text: string): WorkPrompt | undefined {
  if (prompts.length < 2) return prompts[0];
  const language = languageOf([text]);
  const rank = (prompt: WorkPrompt) => languageRank(prompt.language, language);
  // The order that the prompts came in decides between equals: sort is stable.
  return [...prompts].sort((a, b) => rank(a) - rank(b))[0];
}

function languageRank(of: PromptSpec["language"], wanted: TextLanguage | undefined): number {
  if (wanted === undefined) return of === "any" ? 0 : 1;
  return of === wanted ? 0 : of === "any" ? 1 : 2;
}

/** How many examples help: none when their labels are not those that the task asks for. */
function usefulExamples(spec: PromptSpec, facts: PromptFacts): number {
  const { examples = [], taskType } = spec;
  const isClassification = taskType === "text-classification" || taskType === "zero-shot-classification";
  const asked = facts.labels ?? spec.labels ?? [];
  const shown = isClassification ? examples.map(({ output }) => output) : (spec.labels ?? asked);
  return asked.every((label) => shown.includes(label)) ? examples.length : 0;
}
