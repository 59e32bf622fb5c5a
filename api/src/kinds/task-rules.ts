import {
  TASK_TYPE_ALIASES,
  TASK_TYPE_CONTRACTS,
  TASK_TYPES,
  type SpecTaskType,
  type TaskType,
} from "../task-types.ts";
import type { z } from "zod";
import { canonicalTaskType } from "../task-types.ts";
import type { Gating } from "./gating.ts";
import type { StateRule } from "./meta.ts";
import type { TaskPrompt } from "./prompt.ts";
import type { inputSchema, InputFormat, PreprocessStep } from "./task-input.ts";
import { parametersSchema, typesOfParameter, type TaskParameters } from "./task-parameters.ts";

/** The part of a task's specification that rules across fields look at. */
interface RuledSpec {
  readonly type: SpecTaskType;
  readonly model?: string | undefined;
  readonly input: z.output<typeof inputSchema>;
  readonly inputFormat: InputFormat;
  readonly inputField?: string | undefined;
  readonly preprocess?: readonly PreprocessStep[] | undefined;
  readonly prompt?: TaskPrompt | undefined;
  readonly parameters?: TaskParameters | undefined;
  readonly gating?: Gating | undefined;
  readonly dataClass: "Anywhere" | "SiteOnly";
}

const withAliases = (types: readonly TaskType[]): readonly SpecTaskType[] => [
  ...types,
  ...(Object.keys(TASK_TYPE_ALIASES) as (keyof typeof TASK_TYPE_ALIASES)[]).filter((alias) =>
    types.includes(TASK_TYPE_ALIASES[alias]),
  ),
];
const celList = (types: readonly SpecTaskType[]) => `[${types.map((type) => `'${type}'`).join(", ")}]`;
const isOneOf = (types: readonly TaskType[], type: SpecTaskType) => {
  const canonical = canonicalTaskType(type);
  return canonical !== "auto" && types.includes(canonical);
};

const MEDIA_TYPES = TASK_TYPES.filter((type) =>
  ["image", "image and texts", "audio"].includes(TASK_TYPE_CONTRACTS[type].input),
);
const LABELLED_TYPES: readonly TaskType[] = ["zero-shot-classification", "image-text-matching"];

const parameterRules: readonly StateRule<RuledSpec>[] = (
  Object.keys(parametersSchema.shape) as (keyof TaskParameters)[]
).map((name) => {
  const types = typesOfParameter(name);
  return {
    rule: `!has(self.parameters) || !has(self.parameters.${name}) || self.type in ${celList(["auto", ...withAliases(types)])}`,
    message: `${name} is a parameter of ${types.join(", ")}`,
    fieldPath: ".parameters",
    holds: ({ type, parameters }) =>
      parameters?.[name] === undefined || type === "auto" || isOneOf(types, type),
  };
});

export const taskStateRules: readonly StateRule<RuledSpec>[] = [
  {
    rule: "self.type != 'auto' || has(self.input.inline) || has(self.input.configMapRef) || has(self.model) || has(self.prompt)",
    message:
      "type auto can't look into a file, a url or an object: set type (for example text-classification), or name a model or a prompt",
    fieldPath: ".type",
    holds: ({ type, input, model, prompt }) =>
      type !== "auto" ||
      [input.inline, input.configMapRef, model, prompt].some((source) => source !== undefined),
  },
  {
    rule: "!has(self.input.inline) || (self.inputFormat == 'auto' && !has(self.inputField))",
    message: "inputFormat and inputField belong to documents; inline items are texts already",
    fieldPath: ".inputFormat",
    holds: ({ input, inputFormat, inputField }) =>
      input.inline === undefined || (inputFormat === "auto" && inputField === undefined),
  },
  {
    rule: `!(self.type in ${celList(withAliases(MEDIA_TYPES))}) || !(has(self.input.inline) || has(self.input.configMapRef))`,
    message: "images and sounds come from file, url or objectRef: inline and configMapRef hold texts",
    fieldPath: ".input",
    holds: ({ type, input }) =>
      !isOneOf(MEDIA_TYPES, type) || (input.inline === undefined && input.configMapRef === undefined),
  },
  {
    rule: `!(self.type in ${celList(withAliases(LABELLED_TYPES))}) || (has(self.parameters) && has(self.parameters.candidateLabels))`,
    message: "parameters.candidateLabels is needed: the labels to choose from",
    holds: ({ type, parameters }) =>
      !isOneOf(LABELLED_TYPES, type) || parameters?.candidateLabels !== undefined,
  },
  {
    rule: "self.type != 'question-answering' || !has(self.input.inline) || (has(self.parameters) && has(self.parameters.question))",
    message: "parameters.question is needed: inline items are the contexts",
    holds: ({ type, input, parameters }) =>
      type !== "question-answering" || input.inline === undefined || parameters?.question !== undefined,
  },
  {
    rule: "self.dataClass != 'SiteOnly' || !(has(self.input.inline) || has(self.input.configMapRef))",
    message: "SiteOnly input must already be at the site: use file, url or objectRef",
    fieldPath: ".dataClass",
    holds: ({ dataClass, input }) =>
      dataClass !== "SiteOnly" || (input.inline === undefined && input.configMapRef === undefined),
  },
  {
    rule: "!has(self.preprocess) || self.type != 'tensor'",
    message: "preprocess works on texts, and type tensor has none",
    fieldPath: ".type",
    holds: ({ preprocess, type }) => preprocess === undefined || type !== "tensor",
  },
  ...parameterRules,
];
