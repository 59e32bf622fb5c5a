import { z } from "zod";
import { assertNever } from "./errors.ts";

/**
 * Where a score comes from, so that nobody reads more into it than there is: `probability` of a classifier's softmax,
 * `marginal` of a sequence model, `logprob` of tokens, `similarity` of embeddings, `vote` of several samples, `verbalized`
 * by the model itself, or none.
 */
const scoreSourceSchema = z.enum([
  "probability",
  "marginal",
  "logprob",
  "similarity",
  "vote",
  "verbalized",
  "none",
]);
export type ScoreSource = z.infer<typeof scoreSourceSchema>;

const score = z.number().min(0).max(1).nullable();
const labels = z.array(z.object({ label: z.string(), score })).min(1);
const offset = z.int().min(0);

const labelled = <Type extends string>(type: Type) =>
  z.object({ type: z.literal(type), labels, scoreSource: scoreSourceSchema });

const textClassificationOutputSchema = labelled("text-classification");
const zeroShotClassificationOutputSchema = labelled("zero-shot-classification");
const imageClassificationOutputSchema = labelled("image-classification");
const imageTextMatchingOutputSchema = labelled("image-text-matching");

const tokenClassificationOutputSchema = z.object({
  type: z.literal("token-classification"),
  /** start and end count UTF-16 code units of the input, end exclusive, as JavaScript's `slice` does. */
  entities: z.array(
    z.object({ entity_group: z.string(), score, word: z.string(), start: offset, end: offset }),
  ),
  scoreSource: scoreSourceSchema,
});

/** An entity of a relation; offsets as in token-classification. */
const mentionSchema = z.object({ text: z.string(), start: offset, end: offset, type: z.string().optional() });

const relationExtractionOutputSchema = z.object({
  type: z.literal("relation-extraction"),
  relations: z.array(z.object({ head: mentionSchema, relation: z.string(), tail: mentionSchema, score })),
  scoreSource: scoreSourceSchema,
});

const questionAnsweringOutputSchema = z.object({
  type: z.literal("question-answering"),
  answer: z.string(),
  /** Where the answer stands in the context; null when it is no span of it. */
  start: offset.nullable(),
  end: offset.nullable(),
  score,
  scoreSource: scoreSourceSchema,
});

const summarizationOutputSchema = z.object({
  type: z.literal("summarization"),
  summary_text: z.string(),
  score,
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

const featureExtractionOutputSchema = z.object({
  type: z.literal("feature-extraction"),
  embedding: z.array(z.number()).min(1),
  scoreSource: z.literal("none"),
});

const imageToTextOutputSchema = z.object({
  type: z.literal("image-to-text"),
  generated_text: z.string(),
  /** Recognised lines in reading order; four corners [x, y] in pixels of the image, clockwise from the upper left. */
  lines: z.array(z.object({ text: z.string(), score, box: z.array(z.tuple([z.number(), z.number()])) })),
  scoreSource: scoreSourceSchema,
});

const objectDetectionOutputSchema = z.object({
  type: z.literal("object-detection"),
  objects: z.array(
    z.object({
      label: z.string(),
      score,
      box: z.object({ xmin: z.number(), ymin: z.number(), xmax: z.number(), ymax: z.number() }),
    }),
  ),
  scoreSource: scoreSourceSchema,
});

const speechRecognitionOutputSchema = z.object({
  type: z.literal("automatic-speech-recognition"),
  text: z.string(),
  score,
  scoreSource: scoreSourceSchema,
});

/** Datatypes of the Open Inference Protocol that ONNX Runtime has too. */
export const TENSOR_DATATYPES = [
  "BOOL",
  "UINT8",
  "INT8",
  "INT16",
  "UINT16",
  "INT32",
  "UINT32",
  "INT64",
  "UINT64",
  "FP16",
  "FP32",
  "FP64",
] as const;
export type TensorDatatype = (typeof TENSOR_DATATYPES)[number];

const tensorOutputSchema = z.object({
  type: z.literal("tensor"),
  outputs: z.array(
    z.object({
      name: z.string(),
      datatype: z.enum(TENSOR_DATATYPES),
      shape: z.array(z.int().min(0)),
      /** Row-major. */
      data: z.array(z.union([z.number(), z.boolean()])),
    }),
  ),
  scoreSource: z.literal("none"),
});

/** Structured result of one item. */
export const itemOutputSchema = z.discriminatedUnion("type", [
  textClassificationOutputSchema,
  zeroShotClassificationOutputSchema,
  tokenClassificationOutputSchema,
  relationExtractionOutputSchema,
  questionAnsweringOutputSchema,
  summarizationOutputSchema,
  textGenerationOutputSchema,
  featureExtractionOutputSchema,
  imageClassificationOutputSchema,
  imageToTextOutputSchema,
  imageTextMatchingOutputSchema,
  objectDetectionOutputSchema,
  speechRecognitionOutputSchema,
  tensorOutputSchema,
]);
export type ItemOutput = z.infer<typeof itemOutputSchema>;
export type OutputOf<Type extends ItemOutput["type"]> = Extract<ItemOutput, { type: Type }>;
export type TextClassificationOutput = OutputOf<"text-classification">;
export type TokenClassificationOutput = OutputOf<"token-classification">;
export type TextGenerationOutput = OutputOf<"text-generation">;

/**
 * The value that a user reads: what a Hugging Face pipeline of the type returns for one input, less the input itself.
 * Our own additions (`scoreSource`, token counts) stand beside it in the result record.
 */
export function huggingFaceShape(output: ItemOutput): unknown {
  switch (output.type) {
    case "text-classification":
    case "image-classification":
    case "image-text-matching":
      return output.labels;
    case "zero-shot-classification":
      return {
        labels: output.labels.map(({ label }) => label),
        scores: output.labels.map((entry) => entry.score),
      };
    case "token-classification":
      return output.entities;
    case "relation-extraction":
      return output.relations;
    case "question-answering": {
      const { score: confidence, start, end, answer } = output;
      return { score: confidence, start, end, answer };
    }
    case "summarization":
      return [{ summary_text: output.summary_text }];
    case "text-generation":
    case "image-to-text":
      return [{ generated_text: output.generated_text }];
    case "feature-extraction":
      return output.embedding;
    case "object-detection":
      return output.objects;
    case "automatic-speech-recognition":
      return { text: output.text };
    case "tensor":
      return output.outputs;
    default:
      return assertNever(output);
  }
}
