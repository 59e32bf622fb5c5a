import { z } from "zod";
import { SPEC_TASK_TYPES } from "../task-types.ts";
import { TIERS } from "../tiers.ts";
import { memoryQuantity, withRules, type CelRule, type StateRule } from "./meta.ts";

const k8sName = (what: string) =>
  z
    .string()
    .min(1)
    .max(253)
    .regex(/^[a-z0-9]([-a-z0-9.]*[a-z0-9])?$/)
    .describe(what);

/** Longest text of one item, in characters; a longer one belongs into a file or a ConfigMap. */
export const MAX_INLINE_ITEM_CHARACTERS = 8192;
export const MAX_INLINE_ITEMS = 1000;

const inputSchema = withRules(
  z
    .strictObject({
      inline: z
        .array(z.string().max(MAX_INLINE_ITEM_CHARACTERS))
        .min(1)
        .max(MAX_INLINE_ITEMS)
        .optional()
        .describe("The items themselves, one text each. Every item gets its own result."),
      file: z
        .string()
        .min(1)
        .max(1024)
        .regex(/^[^\0]*$/)
        .optional()
        .describe(
          "Path of a file below the data root of the node, e.g. reviews.csv. Its format is recognised by content: text (one item per line), csv, tsv, json, jsonl.",
        ),
      configMapRef: z
        .strictObject({
          name: k8sName("Name of a ConfigMap in the namespace of the task."),
          key: z
            .string()
            .min(1)
            .max(253)
            .optional()
            .describe("Key whose value is the document; may be left out when the ConfigMap has one key."),
        })
        .optional()
        .describe("A ConfigMap that holds the input document, recognised like a file."),
    })
    .describe("What to work on: exactly one of inline, file and configMapRef."),
  [
    {
      rule: "[has(self.inline), has(self.file), has(self.configMapRef)].filter(x, x).size() == 1",
      message: "set exactly one of inline, file and configMapRef",
      holds: ({ inline, file, configMapRef }) =>
        [inline, file, configMapRef].filter((member) => member !== undefined).length === 1,
    },
    {
      rule: "!has(self.file) || !self.file.startsWith('/')",
      message: "file is a path below the data root of the node, without a leading /",
      fieldPath: ".file",
      holds: ({ file }) => file?.startsWith("/") !== true,
    },
    {
      rule: "!has(self.file) || !self.file.split('/').exists(part, part == '..')",
      message: "file must stay below the data root of the node: no '..'",
      fieldPath: ".file",
      holds: ({ file }) => file === undefined || !file.split("/").includes(".."),
    },
  ],
);

const parametersSchema = z
  .strictObject({
    topK: z
      .int()
      .min(1)
      .max(1000)
      .optional()
      .describe("text-classification: how many labels to return, best first. Default: all labels."),
    maxNewTokens: z
      .int()
      .min(1)
      .max(4096)
      .optional()
      .describe("text-generation: most tokens to generate per item. Default 64."),
    temperature: z
      .number()
      .min(0)
      .max(2)
      .optional()
      .describe(
        "text-generation: 0 takes the most likely token each time (the default); higher is more varied.",
      ),
    topP: z
      .number()
      .gt(0)
      .max(1)
      .optional()
      .describe(
        "text-generation: sample from the smallest set of tokens with this probability mass. Default 1.",
      ),
    repetitionPenalty: z
      .number()
      .min(1)
      .max(2)
      .optional()
      .describe("text-generation: above 1, tokens that already occurred become less likely. Default 1.1."),
    seed: z
      .int()
      .min(0)
      .max(4294967295)
      .optional()
      .describe("text-generation: seed of the sampler; the same seed gives the same text. Default 0."),
    stop: z
      .array(z.string().min(1).max(64))
      .max(4)
      .optional()
      .describe("text-generation: texts that end the answer; they are not part of it."),
  })
  .describe("Parameters of the task type, with the names of Hugging Face pipelines.");

const tolerationSchema = z
  .strictObject({
    key: z
      .string()
      .max(316)
      .optional()
      .describe("Taint key; empty with operator Exists tolerates every taint."),
    operator: z.enum(["Exists", "Equal"]).default("Equal").describe("Exists ignores the value."),
    value: z.string().max(63).optional().describe("Taint value to match."),
    effect: z
      .enum(["NoSchedule", "PreferNoSchedule", "NoExecute"])
      .optional()
      .describe("Empty matches every effect."),
  })
  .describe("A taint that the task accepts, as in a Pod.");

const placementSpecSchema = z
  .strictObject({
    strategy: z
      .enum(["EdgeFirst", "CloudFirst", "EdgeOnly", "CloudOnly"])
      .default("EdgeFirst")
      .describe("Which side is tried: EdgeFirst goes to the cloud only when no edge node fits now."),
    tier: z
      .enum(TIERS)
      .optional()
      .describe(
        "Smallest GPU-memory tier of the node. Default by task type: text-classification 4Gi, token-classification 6Gi, text-generation 8Gi.",
      ),
    memory: memoryQuantity(
      "GPU memory to reserve, e.g. 3Gi, where it is more than what the model's variant declares.",
    ).optional(),
    nodePools: z
      .array(k8sName("Name of a node pool."))
      .max(32)
      .optional()
      .describe("Only nodes of these pools (OpenYurt node pool, or the pool that the agent declares)."),
    nodeSelector: z
      .record(z.string().max(317), z.string().max(63))
      .optional()
      .describe("Only nodes with all of these labels.")
      .meta({ maxProperties: 32 }),
    tolerations: z.array(tolerationSchema).max(32).optional().describe("Taints that the task accepts."),
  })
  .describe("Where the work may run. May be changed until the task is placed.");

/** Fields that define the work: a change would make results of two different tasks one. */
export const IMMUTABLE_FIELDS = [
  "type",
  "model",
  "input",
  "inputFormat",
  "inputField",
  "output",
  "parameters",
  "run",
  "runIntervalSeconds",
] as const;
export const immutableMessage = (field: (typeof IMMUTABLE_FIELDS)[number]) =>
  `${field} defines the work and can't change: create another task`;

/** An optional field has no fieldPath: it may be the one that is gone. */
const OPTIONAL_FIELDS: readonly string[] = ["model", "inputField", "parameters"];

const immutableRules: readonly CelRule[] = IMMUTABLE_FIELDS.map((field) =>
  OPTIONAL_FIELDS.includes(field)
    ? {
        rule: `has(self.${field}) == has(oldSelf.${field}) && (!has(self.${field}) || self.${field} == oldSelf.${field})`,
        message: immutableMessage(field),
      }
    : { rule: `self.${field} == oldSelf.${field}`, message: immutableMessage(field), fieldPath: `.${field}` },
);

const GENERATION_PARAMETERS = [
  "maxNewTokens",
  "temperature",
  "topP",
  "repetitionPenalty",
  "seed",
  "stop",
] as const;

const taskSpecFields = z
  .strictObject({
    type: z
      .enum(SPEC_TASK_TYPES)
      .default("auto")
      .describe(
        "Task type, by its Hugging Face pipeline name. " +
          "text-classification (alias sentiment-analysis): default tier 4Gi, autoPrompt yes. " +
          "token-classification (alias ner): default tier 6Gi, autoPrompt yes. " +
          "text-generation: default tier 8Gi, autoPrompt no (the raw text goes to the decoder). " +
          "auto: from the model if it serves one type, else from a sample of inline or ConfigMap text.",
      ),
    model: k8sName("AutoGLMModel to use. Default: the first, by name, that serves the type.").optional(),
    input: inputSchema,
    inputFormat: z
      .enum(["auto", "text", "csv", "tsv", "json", "jsonl"])
      .default("auto")
      .describe("Format of the file or ConfigMap; auto recognises it by content, not by name."),
    inputField: z
      .string()
      .min(1)
      .max(128)
      .optional()
      .describe(
        "Column or field that holds the text. Default: text, review, content, sentence, prompt, input or question, else the only text column.",
      ),
    output: z
      .strictObject({
        format: z
          .enum(["json", "text"])
          .default("json")
          .describe("How results are rendered: structured, or a line of text per item."),
      })
      .prefault({})
      .describe("How results are given."),
    parameters: parametersSchema.optional(),
    placement: placementSpecSchema.prefault({}),
    priority: z
      .int()
      .min(-1000)
      .max(1000)
      .default(0)
      .describe("Which waiting task gets memory first: higher before lower, then older before newer."),
    run: z
      .enum(["Once", "Continuous"])
      .default("Once")
      .describe(
        "Once, or again and again: a new run starts runIntervalSeconds after the last one started and once it is complete.",
      ),
    runIntervalSeconds: z
      .int()
      .min(1)
      .max(604800)
      .default(60)
      .describe("Continuous: least seconds from the start of one run to the start of the next."),
    offlinePolicy: z
      .enum(["Wait", "Reschedule"])
      .default("Reschedule")
      .describe(
        "When the node is gone for longer than its patience: Wait for it, or place what is not yet accepted on another node at a higher epoch. A task on a file always waits: the file is on that node.",
      ),
    suspend: z
      .boolean()
      .default(false)
      .describe("True stops the work and gives the memory back; accepted results stay."),
    ttlSecondsAfterFinished: z
      .int()
      .min(0)
      .max(31536000)
      .optional()
      .describe("Delete the task and its results this many seconds after it finished. Default: keep."),
  })
  .describe("What to do, on what, with which model.");

const stateRules: readonly StateRule<z.output<typeof taskSpecFields>>[] = [
  {
    rule: "!(self.type == 'auto' && has(self.input.file) && !has(self.model))",
    message:
      "type auto can't look into a file on a node: set type to text-classification, token-classification or text-generation, or name a model",
    fieldPath: ".type",
    holds: ({ type, input, model }) => type !== "auto" || input.file === undefined || model !== undefined,
  },
  {
    rule: "!has(self.input.inline) || (self.inputFormat == 'auto' && !has(self.inputField))",
    message: "inputFormat and inputField belong to file and configMapRef; inline items are texts already",
    fieldPath: ".inputFormat",
    holds: ({ input, inputFormat, inputField }) =>
      input.inline === undefined || (inputFormat === "auto" && inputField === undefined),
  },
  {
    rule: `!has(self.parameters) || self.type in ['auto', 'text-generation'] || !(${GENERATION_PARAMETERS.map((name) => `has(self.parameters.${name})`).join(" || ")})`,
    message: `${GENERATION_PARAMETERS.join(", ")} are parameters of text-generation`,
    fieldPath: ".parameters",
    holds: ({ type, parameters }) =>
      type === "auto" ||
      type === "text-generation" ||
      GENERATION_PARAMETERS.every((name) => parameters?.[name] === undefined),
  },
  {
    rule: "!has(self.parameters) || !has(self.parameters.topK) || self.type in ['auto', 'text-classification', 'sentiment-analysis']",
    message: "topK is a parameter of text-classification",
    fieldPath: ".parameters",
    holds: ({ type, parameters }) =>
      parameters?.topK === undefined ||
      type === "auto" ||
      type === "text-classification" ||
      type === "sentiment-analysis",
  },
];

export const taskSpecSchema = withRules(taskSpecFields, stateRules, immutableRules);
export type TaskSpec = z.output<typeof taskSpecSchema>;
/** What a user writes: defaults not yet filled in. */
export type TaskSpecInput = z.input<typeof taskSpecSchema>;
export type PlacementSpec = TaskSpec["placement"];
export type Toleration = z.output<typeof tolerationSchema>;
export type TaskParameters = z.output<typeof parametersSchema>;

export const PLACEMENT_FIXED_MESSAGE =
  "placement can't change once the task is placed: suspend it, or create another task";

/** Rules over the whole object. */
export const taskRootRules: readonly CelRule[] = [
  {
    rule: "self.spec.placement == oldSelf.spec.placement || !has(self.status) || !has(self.status.placements) || self.status.placements.size() == 0",
    message: PLACEMENT_FIXED_MESSAGE,
    fieldPath: ".spec.placement",
  },
];
