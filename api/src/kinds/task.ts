import { z } from "zod";
import { SPEC_TASK_TYPES, TASK_TYPE_ALIASES, TASK_TYPE_CONTRACTS } from "../task-types.ts";
import { TIERS } from "../tiers.ts";
import { gatingSchema } from "./gating.ts";
import { kubernetesName, memoryQuantity, modelName, withRules, type CelRule } from "./meta.ts";
import { taskPromptSchema } from "./prompt.ts";
import { INPUT_FORMATS, inputSchema, preprocessSchema } from "./task-input.ts";
import { parametersSchema } from "./task-parameters.ts";
import { taskStateRules } from "./task-rules.ts";

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
      .describe("Smallest GPU-memory tier of the node. Default: that of the task type, see type."),
    memory: memoryQuantity(
      "GPU memory to reserve, e.g. 3Gi, where it is more than what the model's variant declares.",
    ).optional(),
    nodePools: z
      .array(kubernetesName("Name of a node pool."))
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
  "preprocess",
  "prompt",
  "parameters",
  "gating",
  "dataClass",
  "run",
  "runIntervalSeconds",
] as const;
export const immutableMessage = (field: (typeof IMMUTABLE_FIELDS)[number]) =>
  `${field} defines the work and can't change: create another task`;

/** An optional field has no fieldPath: it may be the one that is gone. */
const OPTIONAL_FIELDS: readonly string[] = [
  "model",
  "inputField",
  "preprocess",
  "prompt",
  "parameters",
  "gating",
];

const immutableRules: readonly CelRule[] = IMMUTABLE_FIELDS.map((field) =>
  OPTIONAL_FIELDS.includes(field)
    ? {
        rule: `has(self.${field}) == has(oldSelf.${field}) && (!has(self.${field}) || self.${field} == oldSelf.${field})`,
        message: immutableMessage(field),
      }
    : { rule: `self.${field} == oldSelf.${field}`, message: immutableMessage(field), fieldPath: `.${field}` },
);

const TYPE_LINES = Object.entries(TASK_TYPE_CONTRACTS)
  .map(([type, { defaultTier, autoPrompt }]) => {
    const alias = Object.entries(TASK_TYPE_ALIASES).find(([, canonical]) => canonical === type)?.[0];
    return `${type}${alias === undefined ? "" : ` (alias ${alias})`}: default tier ${defaultTier}, autoPrompt ${autoPrompt ? "yes" : "no"}.`;
  })
  .join(" ");

const taskSpecFields = z
  .strictObject({
    type: z
      .enum(SPEC_TASK_TYPES)
      .default("auto")
      .describe(
        `Task type, by its Hugging Face pipeline name. ${TYPE_LINES} auto: from the model if it serves one type, else from the prompt's type, else from a sample of inline or ConfigMap text.`,
      ),
    model: modelName(
      "AutoGLMModel to use, by its name or one of its aliases, e.g. GLM-4-Flash. Default: the first, by name, that serves the type.",
    ).optional(),
    input: inputSchema,
    inputFormat: z
      .enum(INPUT_FORMATS)
      .default("auto")
      .describe("Format of the input; auto recognises it by content, not by name."),
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
    preprocess: preprocessSchema.optional(),
    prompt: taskPromptSchema.optional(),
    parameters: parametersSchema.optional(),
    gating: gatingSchema.optional(),
    dataClass: z
      .enum(["Anywhere", "SiteOnly"])
      .default("Anywhere")
      .describe(
        "SiteOnly: inputs and results stay on the node; only counts, digests and reasons go up, and no endpoint outside is asked.",
      ),
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

export const taskSpecSchema = withRules(taskSpecFields, taskStateRules, immutableRules);
export type TaskSpec = z.output<typeof taskSpecSchema>;
/** What a user writes: defaults not yet filled in. */
export type TaskSpecInput = z.input<typeof taskSpecSchema>;
export type PlacementSpec = TaskSpec["placement"];
export type Toleration = z.output<typeof tolerationSchema>;

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
