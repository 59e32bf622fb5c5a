import { z } from "zod";
import { TASK_TYPES } from "../task-types.ts";
import { kubernetesName, listMap, refuseDuplicates, withRules } from "./meta.ts";

const MAX_TEMPLATE = 16384;

const exampleSchema = z
  .strictObject({
    input: z.string().min(1).max(4096).describe("Text as an item would have it."),
    output: z
      .string()
      .min(1)
      .max(4096)
      .describe("The right answer: a label, or JSON in the form of outputSchema."),
  })
  .describe("An example that is shown to the model.");
export type PromptExample = z.output<typeof exampleSchema>;

const examplesSchema = z.array(exampleSchema).max(32);

const variableName = z
  .string()
  .max(63)
  .regex(/^[a-z][A-Za-z0-9_]*$/);

const bodyFields = {
  system: z.string().max(MAX_TEMPLATE).optional().describe("System message, a Liquid template too."),
  template: z
    .string()
    .min(1)
    .max(MAX_TEMPLATE)
    .describe(
      "Liquid template of the user's message. It knows text, labels, examples, question, context and the declared variables; the text is data and is never evaluated.",
    ),
  examples: examplesSchema
    .optional()
    .describe("Examples for few-shot prompts; they are balanced over labels and keep a fixed order."),
  outputSchema: z
    .string()
    .max(8192)
    .optional()
    .describe(
      "JSON schema that an answer must fulfil, as text. Without one an answer is a label or plain text.",
    ),
  maxInputTokens: z
    .int()
    .min(16)
    .max(1000000)
    .optional()
    .describe("The text is cut so that the prompt has at most so many tokens; instructions never are."),
  maxNewTokens: z.int().min(1).max(4096).optional().describe("Most tokens of an answer."),
  stop: z.array(z.string().min(1).max(64)).max(4).optional().describe("Texts that end the answer."),
} as const;

export const promptSpecSchema = z
  .strictObject({
    taskType: z.enum(TASK_TYPES).describe("Task type that the prompt is for."),
    language: z
      .enum(["zh", "en", "any"])
      .default("any")
      .describe(
        "Language of the texts that it is chosen for, by script: zh for Chinese characters, en for Latin letters. any: for every text that has no prompt of its language.",
      ),
    variables: z
      .array(
        z.strictObject({
          name: variableName.describe("Name in the template."),
          description: z.string().max(256).optional().describe("What it is for."),
          default: z.string().max(4096).optional().describe("Value when a task gives none."),
        }),
      )
      .max(16)
      .check(refuseDuplicates(({ name }) => name))
      .optional()
      .describe("Variables of the template; one without a default must be given by the task.")
      .meta(listMap("name")),
    labels: z
      .array(z.string().min(1).max(128))
      .max(100)
      .optional()
      .describe("Labels to choose from when the task names no candidateLabels."),
    ...bodyFields,
  })
  .describe("A prompt template. One with the name of a built-in prompt takes its place in its namespace.");
export type PromptSpec = z.output<typeof promptSpecSchema>;

/** `spec.prompt` of a task. */
export const taskPromptSchema = withRules(
  z
    .strictObject({
      name: kubernetesName("AutoGLMPrompt in the namespace of the task, or a built-in one.").optional(),
      ...bodyFields,
      template: bodyFields.template.optional(),
      variables: z
        .record(z.string().max(63), z.string().max(4096))
        .optional()
        .describe("Values of the template's variables.")
        .meta({ maxProperties: 16 }),
    })
    .describe(
      "Prompt for a generating model: a named one, or a template of the task's own. Default: from the library, by task type and the language of each text; a text of neither Chinese nor English is asked about like the rest of its task.",
    ),
  [
    {
      rule: "has(self.name) != has(self.template)",
      message: "set exactly one of name and template",
      holds: ({ name, template }) => (name === undefined) !== (template === undefined),
    },
    {
      rule: "!has(self.name) || !(has(self.system) || has(self.outputSchema) || has(self.maxInputTokens) || has(self.maxNewTokens) || has(self.stop))",
      message:
        "a named prompt brings its own system, outputSchema, limits and stop: only examples and variables may be given",
      holds: ({ name, system, outputSchema, maxInputTokens, maxNewTokens, stop }) =>
        name === undefined ||
        [system, outputSchema, maxInputTokens, maxNewTokens, stop].every((field) => field === undefined),
    },
  ],
);
export type TaskPrompt = z.output<typeof taskPromptSchema>;

/** A prompt as the node gets it: variables filled in, everything checked by the schemas above. */
export const workPromptSchema = z.object({
  /** Of the AutoGLMPrompt; `inline` for a task's own. */
  name: z.string().max(253),
  taskType: z.enum(TASK_TYPES),
  language: z.enum(["zh", "en", "any"]),
  system: z.string().optional(),
  template: z.string(),
  variables: z.record(z.string(), z.string()),
  labels: z.array(z.string()).optional(),
  examples: examplesSchema,
  outputSchema: z.string().optional(),
  maxInputTokens: z.int().optional(),
  maxNewTokens: z.int().optional(),
  stop: z.array(z.string()).optional(),
});
export type WorkPrompt = z.infer<typeof workPromptSchema>;
