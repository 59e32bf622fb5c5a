import { z } from "zod";
import { list } from "./tables.ts";

/** Per channel, in the order that the graph wants, of values in 0..1. */
export const normalizationSchema = z.object({
  mean: z.array(z.number()).length(3),
  std: z.array(z.number().positive()).length(3),
  channels: z.enum(["RGB", "BGR"]),
});

const share = z.number().min(0).max(1);
const side = z.int().min(1).max(4096);
/** A graph beside model.onnx. */
const file = z.string().regex(/^[\w.-]+\.onnx$/);

export const ocrConfigSchema = z.object({
  kind: z.literal("ocr"),
  /** model.onnx: image [1, 3, h, w], sides multiples of 32 → probability of text [1, 1, h, w]. */
  detection: z.object({
    input: z.string(),
    output: z.string(),
    normalization: normalizationSchema,
    /** Larger images are shrunk to this, smaller ones grown by `maxScale` at most. */
    longestSide: side,
    maxScale: z.number().min(1).max(8),
    threshold: share,
    boxThreshold: share,
    unclipRatio: z.number().min(0).max(10),
  }),
  /** Turns lines that stand on their head: line [1, 3, height, width] → probabilities [upright, turned]. */
  orientation: z
    .object({
      file,
      input: z.string(),
      output: z.string(),
      height: side,
      width: side,
      normalization: normalizationSchema,
      threshold: share,
    })
    .optional(),
  /** Line [1, 3, height, w] → probabilities [1, steps, characters]; character 0 is the blank. */
  recognition: z.object({
    file,
    input: z.string(),
    output: z.string(),
    height: side,
    minWidth: side,
    normalization: normalizationSchema,
    /** The last of them is the space. */
    characters: list<string>(),
    /** Between characters whose steps give the space so much in sum, there is one. */
    spaceSum: z.number().positive().optional(),
    /** Lines below are no text; `parameters.threshold` in its place if given. */
    minScore: share,
  }),
});
export type OcrConfig = z.infer<typeof ocrConfigSchema>;

/** Images [batch, 3, height, width] → [batch, labels]. */
export const imageClassifierConfigSchema = z.object({
  kind: z.literal("image-classifier"),
  input: z.string(),
  output: z.string(),
  /** What makes probabilities of the output; sigmoid: each label for itself. */
  activation: z.enum(["none", "softmax", "sigmoid"]),
  width: side,
  height: side,
  /** Share of the shorter side that is seen, from the middle. */
  crop: z.number().min(0.1).max(1),
  normalization: normalizationSchema,
  labels: list<string>(),
});
export type ImageClassifierConfig = z.infer<typeof imageClassifierConfigSchema>;
