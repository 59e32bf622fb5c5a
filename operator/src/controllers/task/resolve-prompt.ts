/** How a generating model is asked: the prompt that the task names, its own, or the library's for type and language. Pure. */
import {
  TASK_TYPE_CONTRACTS,
  type AutoGLMModel,
  type AutoGLMTask,
  type TaskPrompt,
  type TaskType,
  type WorkPrompt,
} from "@autoglm/api";
import {
  choosePrompts,
  firstNames,
  workPromptOf,
  type PromptCandidate,
  type TextLanguage,
} from "@autoglm/core";
import { refused, type Refused } from "./resolution.ts";

export interface PromptFacts {
  readonly task: AutoGLMTask;
  /** Of the task's namespace and built in. Each name once: a namespace's own takes the place of a built-in one. */
  readonly prompts: readonly PromptCandidate[];
}

/** A model that answers what it is asked in words, whatever the type. */
const generates = ({ spec }: AutoGLMModel) =>
  spec.taskTypes.includes("text-generation") || spec.variants.some(({ runtime }) => runtime === "openai");

/** The type of the prompt that the task names. */
export function typeOfPrompt({ task, prompts }: PromptFacts): TaskType | undefined {
  const { name } = task.spec.prompt ?? {};
  return prompts.find((prompt) => prompt.name === name)?.spec.taskType;
}

export interface PromptNeed {
  readonly type: TaskType;
  /** Of a sample of the texts, where it is known. */
  readonly language: TextLanguage | undefined;
  readonly model: AutoGLMModel;
  /** The model behind the gate, which may be the one that is asked in words. */
  readonly deep: AutoGLMModel | undefined;
}

export function resolvePrompts(
  facts: PromptFacts,
  { type, language, model, deep }: PromptNeed,
): { readonly prompts?: readonly WorkPrompt[] } | Refused {
  const given = facts.task.spec.prompt;
  if (!generates(model) && (deep === undefined || !generates(deep))) {
    if (given === undefined) return {};
    const { name } = model.metadata;
    return refused("PromptInvalid", `model ${name} takes no prompt: it does not generate text`, {
      hint: "create the task again without spec.prompt, or with a generating model",
    });
  }
  if (given !== undefined) return resolveGiven(facts, type, given);
  // The raw text goes to the decoder.
  if (!TASK_TYPE_CONTRACTS[type].autoPrompt) return {};
  const labels = facts.task.spec.parameters?.candidateLabels;
  const prompts = choosePrompts(facts.prompts, { taskType: type, labels, language }).map(workPromptOf);
  if (prompts.length > 0) return { prompts };
  return refused("PromptNeeded", `the library has no prompt for ${type} that fits the task`, {
    hint: "create the task again with spec.prompt, or kubectl apply an AutoGLMPrompt of that taskType",
  });
}

function resolveGiven(
  { task, prompts }: PromptFacts,
  type: TaskType,
  given: TaskPrompt,
): { readonly prompts: readonly WorkPrompt[] } | Refused {
  const { name, template, variables = {}, ...body } = given;
  if (template !== undefined) {
    const spec = { ...body, template, taskType: type, language: "any" as const };
    return { prompts: [{ ...workPromptOf({ name: "inline", spec }), variables }] };
  }
  const found = prompts.find((prompt) => prompt.name === name);
  const namespace = task.metadata.namespace ?? "default";
  if (found === undefined) {
    const known = prompts.filter(({ spec }) => spec.taskType === type).map((prompt) => prompt.name);
    return refused(
      "PromptNotFound",
      `there is no AutoGLMPrompt ${namespace}/${name}, and none of the library`,
      {
        hint: `prompts for ${type}: ${firstNames(known.sort())}; kubectl apply an AutoGLMPrompt of that name`,
      },
    );
  }
  if (found.spec.taskType !== type && type !== "text-generation") {
    return refused("PromptInvalid", `prompt ${name} is for ${found.spec.taskType}, not ${type}`, {
      hint: "create the task again with a prompt for its type",
    });
  }
  const declared = found.spec.variables ?? [];
  const missing = declared.filter(
    (variable) => variable.default === undefined && variables[variable.name] === undefined,
  );
  const unknown = Object.keys(variables).filter((key) => !declared.some((variable) => variable.name === key));
  if (missing.length > 0 || unknown.length > 0) {
    const problems = [
      ...missing.map((variable) => `${variable.name} is missing`),
      ...unknown.map((key) => `${key} is not one of its variables`),
    ];
    return refused("PromptInvalid", `prompt ${name}: ${problems.join(", ")}`, {
      hint: `create the task again with spec.prompt.variables of ${declared.map((variable) => variable.name).join(", ") || "nothing"}`,
    });
  }
  const { examples = found.spec.examples } = body;
  const prompt = workPromptOf({ name: found.name, spec: { ...found.spec, taskType: type, examples } });
  return { prompts: [{ ...prompt, variables: { ...prompt.variables, ...variables } }] };
}
