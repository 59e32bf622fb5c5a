import { z } from "zod";
import { table } from "./tables.ts";

export const spacyNerConfigSchema = z.object({
  kind: z.literal("spacy-ner"),
  inputs: z.object({ rows: z.string(), mask: z.string() }),
  output: z.string(),
  embeddings: z.array(z.object({ rows: z.int().min(1), seed: z.int().min(0) })).length(4),
  /** By their ids: B-ORG, I-ORG, L-ORG, U-ORG, O. */
  moves: z.array(z.string().regex(/^([BILU](-.+)?|O)$/)).min(1),
  lower: z.object({
    hidden: z.int().min(1),
    pieces: z.int().min(1),
    bias: z.array(z.number()),
    /** A row for each state feature that may be missing. */
    pad: z.array(z.array(z.number())).length(3),
  }),
  upper: z.object({ weights: z.array(z.array(z.number())), bias: z.array(z.number()) }),
  tokenizer: z.object({
    patterns: z.object({ prefix: z.string(), suffix: z.string(), infix: z.string(), url: z.string() }),
    exceptions: table<readonly (readonly [text: string, norm?: string])[]>(),
  }),
  norms: table<string>(),
  normsByHash: table<string>(),
  symbols: table<number>(),
});
export type SpacyNerConfig = z.infer<typeof spacyNerConfigSchema>;
