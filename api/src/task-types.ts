import { z } from "zod";
import { assertNever } from "./errors.ts";
import type { Tier } from "./tiers.ts";

/** Task types that work today, under their Hugging Face pipeline names. */
export const TASK_TYPES = ["text-classification", "token-classification", "text-generation"] as const;
export type TaskType = (typeof TASK_TYPES)[number];

/** Other names that users know the types by. */
export const TASK_TYPE_ALIASES = {
  "sentiment-analysis": "text-classification",
  ner: "token-classification",
} as const satisfies Record<string, TaskType>;

/** Everything that `spec.type` accepts. */
export const SPEC_TASK_TYPES = [
  "auto",
  ...TASK_TYPES,
  ...(Object.keys(TASK_TYPE_ALIASES) as (keyof typeof TASK_TYPE_ALIASES)[]),
] as const;
export type SpecTaskType = (typeof SPEC_TASK_TYPES)[number];

export interface TaskTypeContract {
  /** Smallest GPU-memory tier that a task of this type asks for when it names none. */
  readonly defaultTier: Tier;
  /** Whether a prompt template is chosen for the input; false: the raw text goes to the decoder. */
  readonly autoPrompt: boolean;
  /** What a held-out split is judged by. */
  readonly qualityMetric: "accuracy" | "entity-f1" | "perplexity";
  /** One line for `kubectl explain`, the CLI and the docs. */
  readonly summary: string;
}

export const TASK_TYPE_CONTRACTS: Readonly<Record<TaskType, TaskTypeContract>> = {
  "text-classification": {
    defaultTier: "4Gi",
    autoPrompt: true,
    qualityMetric: "accuracy",
    summary: "text → [{label, score}], best first",
  },
  "token-classification": {
    defaultTier: "6Gi",
    autoPrompt: true,
    qualityMetric: "entity-f1",
    summary: "text → [{entity_group, score, word, start, end}]",
  },
  "text-generation": {
    defaultTier: "8Gi",
    autoPrompt: false,
    qualityMetric: "perplexity",
    summary: "prompt → [{generated_text}]",
  },
};

/** The type behind an alias; `auto` stays undecided. */
export function canonicalTaskType(type: SpecTaskType): TaskType | "auto" {
  switch (type) {
    case "sentiment-analysis":
    case "ner":
      return TASK_TYPE_ALIASES[type];
    case "auto":
    case "text-classification":
    case "token-classification":
    case "text-generation":
      return type;
    default:
      return assertNever(type);
  }
}

/**
 * Where a score comes from, so that nobody reads more into it than there is:
 * `probability` of a classifier's softmax, `marginal` of a sequence model, `logprob` of generated tokens, or none.
 */
const scoreSourceSchema = z.enum(["probability", "marginal", "logprob", "none"]);
export type ScoreSource = z.infer<typeof scoreSourceSchema>;

const score = z.number().min(0).max(1).nullable();

const textClassificationOutputSchema = z.object({
  type: z.literal("text-classification"),
  labels: z.array(z.object({ label: z.string(), score })).min(1),
  scoreSource: scoreSourceSchema,
});

const tokenClassificationOutputSchema = z.object({
  type: z.literal("token-classification"),
  /** start and end count UTF-16 code units of the input, end exclusive, as JavaScript's `slice` does. */
  entities: z.array(
    z.object({
      entity_group: z.string(),
      score,
      word: z.string(),
      start: z.int().min(0),
      end: z.int().min(0),
    }),
  ),
  scoreSource: scoreSourceSchema,
});

const textGenerationOutputSchema = z.object({
  type: z.literal("text-generation"),
  generated_text: z.string(),
  /** Why decoding ended: an end token, the token limit, or a stop string. */
  finish_reason: z.enum(["stop", "length"]),
  prompt_tokens: z.int().min(0),
  completion_tokens: z.int().min(0),
  /** exp(mean log-probability of the generated tokens); null when nothing was generated. */
  score,
  scoreSource: scoreSourceSchema,
});

/** Structured result of one item. */
export const itemOutputSchema = z.discriminatedUnion("type", [
  textClassificationOutputSchema,
  tokenClassificationOutputSchema,
  textGenerationOutputSchema,
]);
export type ItemOutput = z.infer<typeof itemOutputSchema>;
export type TextClassificationOutput = z.infer<typeof textClassificationOutputSchema>;
export type TokenClassificationOutput = z.infer<typeof tokenClassificationOutputSchema>;
export type TextGenerationOutput = z.infer<typeof textGenerationOutputSchema>;

/**
 * The value that a user reads: exactly what a Hugging Face pipeline of the type returns for one input.
 * Our own additions (`scoreSource`, token counts) stand beside it in the result record.
 */
export function huggingFaceShape(output: ItemOutput): unknown {
  switch (output.type) {
    case "text-classification":
      return output.labels;
    case "token-classification":
      return output.entities;
    case "text-generation":
      return [{ generated_text: output.generated_text }];
    default:
      return assertNever(output);
  }
}
