import { z } from "zod";
import { list } from "./tables.ts";
import { textEncoderConfigSchema } from "./text-encoder-config.ts";

/** Per channel, in the order that the graph wants, of values in 0..1. */
const normalizationSchema = z.object({
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

/**
 * Two encoders into one space, as CLIP has them. model.onnx: images [batch, 3, height, width] → [batch, dimensions];
 * the text's file: ids and mask → [batch, dimensions]. Vectors are normalised here.
 */
export const dualTowerConfigSchema = z.object({
  kind: z.literal("dual-tower"),
  image: z.object({
    input: z.string(),
    output: z.string(),
    width: side,
    height: side,
    crop: z.number().min(0.1).max(1),
    normalization: normalizationSchema,
  }),
  text: textEncoderConfigSchema.omit({ kind: true, dimensions: true }).extend({ file }),
  dimensions: z.int().min(1),
  /** What similarities are multiplied by before the softmax over the texts: exp of CLIP's learned logit scale. */
  logitScale: z.number().positive(),
});
export type DualTowerConfig = z.infer<typeof dualTowerConfigSchema>;

/** Image [1, 3, height, width] → boxes, in one of two forms. */
export const detectorConfigSchema = z.object({
  kind: z.literal("detector"),
  input: z.string(),
  width: side,
  height: side,
  /** stretch: sides are scaled apart; letterbox: one scale, the rest is grey on both sides. */
  resize: z.enum(["stretch", "letterbox"]),
  normalization: normalizationSchema,
  /** By class number; "" for a class that is no object (background). */
  labels: z.array(z.string()).min(1),
  boxes: z.object({
    form: z.enum(["xyxy", "cxcywh", "xywh"]),
    /** pixels of the graph's input, or shares of its sides. */
    unit: z.enum(["pixels", "shares"]),
  }),
  output: z.discriminatedUnion("layout", [
    /** boxes [1, n, 4] and scores [1, n] with classes [1, n] (int64 or float32), or scores [1, n, classes] alone. */
    z.object({
      layout: z.literal("boxes"),
      boxes: z.string(),
      scores: z.string(),
      classes: z.string().optional(),
      activation: z.enum(["none", "softmax", "sigmoid"]),
    }),
    /** One output [1, 4 + classes, n], as YOLO v8 and later have it. */
    z.object({ layout: z.literal("yolo"), name: z.string() }),
  ]),
  /** `parameters.threshold` in its place if given. */
  minScore: share,
  /** Of two boxes of one label that overlap by more (intersection over union), the likelier stays. 1: none is dropped. */
  maxOverlap: share,
});
export type DetectorConfig = z.infer<typeof detectorConfigSchema>;

/** Samples [1, n], or log-mel energies [1, mels, frames], → [1, steps, tokens]. */
export const ctcSpeechConfigSchema = z.object({
  kind: z.literal("ctc-speech"),
  sampleRate: z.int().min(4000).max(48_000),
  maxSeconds: z.number().min(1).max(600),
  input: z.string(),
  /** An int64 [1] with the number of samples or frames, where the graph wants it. */
  lengthInput: z.string().optional(),
  features: z.discriminatedUnion("form", [
    z.object({
      form: z.literal("samples"),
      /** To mean 0 and deviation 1, as wav2vec 2.0 was trained. */
      standardize: z.boolean(),
    }),
    z.object({
      form: z.literal("log-mel"),
      mels: z.int().min(8).max(256),
      /** In samples; the transform is the next power of two. */
      window: z.int().min(16).max(4096),
      hop: z.int().min(8).max(4096),
      lowHertz: z.number().min(0),
      highHertz: z.number().positive(),
      /** Each band to mean 0 and deviation 1 over the recording. */
      standardize: z.boolean(),
    }),
  ]),
  output: z.string(),
  /** softmax for logits and for their logarithms. */
  activation: z.enum(["none", "softmax"]),
  /** By class number. */
  tokens: z.array(z.string()).min(2),
  blank: z.int().min(0),
  /** The token between words. */
  wordDelimiter: z.string().min(1),
  /** Tokens that stand for nothing in the text: padding, unknown. */
  silent: z.array(z.string()),
});
export type CtcSpeechConfig = z.infer<typeof ctcSpeechConfigSchema>;
