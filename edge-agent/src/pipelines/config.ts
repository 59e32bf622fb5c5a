import { z } from "zod";
import {
  ctcSpeechConfigSchema,
  detectorConfigSchema,
  dualTowerConfigSchema,
  imageClassifierConfigSchema,
  ocrConfigSchema,
} from "./media-config.ts";
import { spacyNerConfigSchema } from "./spacy-config.ts";
import { list, table } from "./tables.ts";
import { tensorConfigSchema } from "./tensor-contract.ts";
import { textEncoderClassifierConfigSchema, textEncoderConfigSchema } from "./text-encoder-config.ts";

export { lookUp } from "./tables.ts";

export const charCnnClassifierConfigSchema = z.object({
  kind: z.literal("char-cnn-classifier"),
  labels: z.array(z.string()).min(2),
  maxLength: z.int().min(1),
  minLength: z.int().min(1),
  padId: z.int().min(0),
  unknownId: z.int().min(0),
  normalization: z.literal("nfkc-lower-squeeze"),
  input: z.string(),
  output: z.string(),
  vocab: table<number>(),
});
export type CharCnnClassifierConfig = z.infer<typeof charCnnClassifierConfigSchema>;

export const lacTaggerConfigSchema = z.object({
  kind: z.literal("lac-tagger"),
  tags: z.array(z.string()).min(1),
  entityTypes: z.record(z.string(), z.string()),
  unknownWord: z.string(),
  inputs: z.object({ ids: z.string(), lengths: z.string() }),
  output: z.string(),
  crf: z.object({
    start: z.array(z.number()),
    end: z.array(z.number()),
    transitions: z.array(z.array(z.number())),
  }),
  segmenter: z.object({ words: list<string>(), logTotal: z.number() }),
  replace: table<string>(),
  vocab: table<number>(),
});
export type LacTaggerConfig = z.infer<typeof lacTaggerConfigSchema>;

export const kvDecoderConfigSchema = z.object({
  kind: z.literal("kv-decoder"),
  layers: z.int().min(1),
  kvHeads: z.int().min(1),
  headDim: z.int().min(1),
  vocabSize: z.int().min(1),
  contextLength: z.int().min(2),
  eosTokenIds: z.array(z.int()).min(1),
  stop: z.array(z.string()),
  systemPrompt: z.string().nullable(),
});
export type KvDecoderConfig = z.infer<typeof kvDecoderConfigSchema>;

export const gateFeaturesConfigSchema = z.object({
  kind: z.literal("gate-features"),
  /** Version of the vector that it was trained on. */
  features: z.int().min(1),
  input: z.string(),
  output: z.string(),
});
export type GateFeaturesConfig = z.infer<typeof gateFeaturesConfigSchema>;

export const pipelineConfigSchema = z.discriminatedUnion("kind", [
  tensorConfigSchema,
  charCnnClassifierConfigSchema,
  lacTaggerConfigSchema,
  spacyNerConfigSchema,
  ocrConfigSchema,
  imageClassifierConfigSchema,
  dualTowerConfigSchema,
  detectorConfigSchema,
  ctcSpeechConfigSchema,
  kvDecoderConfigSchema,
  textEncoderConfigSchema,
  textEncoderClassifierConfigSchema,
  gateFeaturesConfigSchema,
]);
