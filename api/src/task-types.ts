import type { Tier } from "./tiers.ts";

/** Task types, under their Hugging Face pipeline names where one exists; `relation-extraction` and `tensor` are ours. */
export const TASK_TYPES = [
  "text-classification",
  "zero-shot-classification",
  "token-classification",
  "relation-extraction",
  "question-answering",
  "summarization",
  "text-generation",
  "feature-extraction",
  "image-classification",
  "image-to-text",
  "image-text-matching",
  "object-detection",
  "automatic-speech-recognition",
  "tensor",
] as const;
export type TaskType = (typeof TASK_TYPES)[number];

/** Other names that users know the types by. */
export const TASK_TYPE_ALIASES = {
  "sentiment-analysis": "text-classification",
  ner: "token-classification",
  ocr: "image-to-text",
} as const satisfies Record<string, TaskType>;

/** Everything that `spec.type` accepts. */
export const SPEC_TASK_TYPES = [
  "auto",
  ...TASK_TYPES,
  ...(Object.keys(TASK_TYPE_ALIASES) as (keyof typeof TASK_TYPE_ALIASES)[]),
] as const;
export type SpecTaskType = (typeof SPEC_TASK_TYPES)[number];

/** What one item of a type is made of. */
export type ItemKind = "text" | "text and context" | "image" | "image and texts" | "audio" | "tensors";

/** What the post-gate judges an answer of the small model by. */
export type GateSignal = "confidence" | "mean confidence" | "log-probability" | "none";

export interface TaskTypeContract {
  /** Smallest GPU-memory tier that a task of this type asks for when it names none. */
  readonly defaultTier: Tier;
  /** Whether a prompt template is chosen for the input; false: the raw text goes to the decoder. */
  readonly autoPrompt: boolean;
  /** What a held-out split is judged by. */
  readonly qualityMetric:
    | "accuracy"
    | "entity-f1"
    | "relation-f1"
    | "token-f1"
    | "rouge-l"
    | "perplexity"
    | "retrieval-top1"
    | "character-error-rate"
    | "mean-average-precision"
    | "word-error-rate"
    | "none";
  readonly gateSignal: GateSignal;
  /** Whether models/catalogue.yaml has a model for it that runs on a node; a decoder by prompts is none. */
  readonly hasSampleModel: boolean;
  readonly input: ItemKind;
  /** Parameters that mean something for the type, besides those of a generating model. */
  readonly parameters: readonly string[];
  /** One line for `kubectl explain`, the CLI and the docs. */
  readonly summary: string;
}

export const TASK_TYPE_CONTRACTS: Readonly<Record<TaskType, TaskTypeContract>> = {
  "text-classification": {
    defaultTier: "4Gi",
    autoPrompt: true,
    qualityMetric: "accuracy",
    gateSignal: "confidence",
    hasSampleModel: true,
    input: "text",
    parameters: ["topK", "candidateLabels", "threshold"],
    summary: "text → [{label, score}], best first",
  },
  "zero-shot-classification": {
    defaultTier: "4Gi",
    autoPrompt: true,
    qualityMetric: "accuracy",
    gateSignal: "confidence",
    hasSampleModel: true,
    input: "text",
    parameters: ["candidateLabels", "multiLabel", "topK", "threshold"],
    summary: "text, candidate labels → {labels[], scores[]}, best first",
  },
  "token-classification": {
    defaultTier: "6Gi",
    autoPrompt: true,
    qualityMetric: "entity-f1",
    gateSignal: "mean confidence",
    hasSampleModel: true,
    input: "text",
    parameters: ["candidateLabels", "threshold"],
    summary: "text → [{entity_group, score, word, start, end}]",
  },
  "relation-extraction": {
    defaultTier: "6Gi",
    autoPrompt: true,
    qualityMetric: "relation-f1",
    gateSignal: "none",
    hasSampleModel: false,
    input: "text",
    parameters: ["candidateLabels", "threshold"],
    summary: "text → [{head, relation, tail, score}]",
  },
  "question-answering": {
    defaultTier: "6Gi",
    autoPrompt: true,
    qualityMetric: "token-f1",
    gateSignal: "none",
    hasSampleModel: false,
    input: "text and context",
    parameters: ["question"],
    summary: "question, context → {answer, score, start, end}",
  },
  summarization: {
    defaultTier: "8Gi",
    autoPrompt: true,
    qualityMetric: "rouge-l",
    gateSignal: "none",
    hasSampleModel: false,
    input: "text",
    parameters: [],
    summary: "text → [{summary_text}]",
  },
  "text-generation": {
    defaultTier: "8Gi",
    autoPrompt: false,
    qualityMetric: "perplexity",
    gateSignal: "log-probability",
    hasSampleModel: true,
    input: "text",
    parameters: ["topK"],
    summary: "prompt → [{generated_text}]",
  },
  "feature-extraction": {
    defaultTier: "4Gi",
    autoPrompt: false,
    qualityMetric: "retrieval-top1",
    gateSignal: "none",
    hasSampleModel: true,
    input: "text",
    parameters: ["normalize"],
    summary: "text → embedding, a list of numbers",
  },
  "image-classification": {
    defaultTier: "4Gi",
    autoPrompt: false,
    qualityMetric: "accuracy",
    gateSignal: "confidence",
    hasSampleModel: true,
    input: "image",
    parameters: ["topK", "threshold"],
    summary: "image → [{label, score}], best first",
  },
  "image-to-text": {
    defaultTier: "4Gi",
    autoPrompt: false,
    qualityMetric: "character-error-rate",
    gateSignal: "mean confidence",
    hasSampleModel: true,
    input: "image",
    parameters: ["threshold"],
    summary: "image → [{generated_text}], with lines and boxes",
  },
  "image-text-matching": {
    defaultTier: "4Gi",
    autoPrompt: false,
    qualityMetric: "accuracy",
    gateSignal: "confidence",
    hasSampleModel: false,
    input: "image and texts",
    parameters: ["candidateLabels", "topK"],
    summary: "image, candidate texts → [{label, score}], best first",
  },
  "object-detection": {
    defaultTier: "6Gi",
    autoPrompt: false,
    qualityMetric: "mean-average-precision",
    gateSignal: "mean confidence",
    hasSampleModel: false,
    input: "image",
    parameters: ["threshold"],
    summary: "image → [{label, score, box: {xmin, ymin, xmax, ymax}}]",
  },
  "automatic-speech-recognition": {
    defaultTier: "6Gi",
    autoPrompt: false,
    qualityMetric: "word-error-rate",
    gateSignal: "none",
    hasSampleModel: false,
    input: "audio",
    parameters: [],
    summary: "wav → {text}",
  },
  tensor: {
    defaultTier: "4Gi",
    autoPrompt: false,
    qualityMetric: "none",
    gateSignal: "none",
    hasSampleModel: false,
    input: "tensors",
    parameters: [],
    summary: "tensors → tensors, as in the Open Inference Protocol",
  },
};

/** The type behind an alias; `auto` stays undecided. */
export function canonicalTaskType(type: SpecTaskType): TaskType | "auto" {
  return isAlias(type) ? TASK_TYPE_ALIASES[type] : type;
}

function isAlias(type: SpecTaskType): type is keyof typeof TASK_TYPE_ALIASES {
  return Object.hasOwn(TASK_TYPE_ALIASES, type);
}
