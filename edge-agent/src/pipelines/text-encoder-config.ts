import { z } from "zod";

/** How a text becomes the inputs of an encoder's graph. */
const encoderInputs = {
  inputs: z.object({ ids: z.string(), mask: z.string(), types: z.string().optional() }),
  output: z.string(),
  /** Tokens of a text, control tokens included; what is beyond is cut off. */
  maxTokens: z.int().min(3),
  padId: z.int().min(0),
  /** Openings that the model was trained with. A text that has none of them gets the first. */
  prefixes: z.array(z.string().min(1)),
};
export type TextEncoderInputs = z.infer<z.ZodObject<typeof encoderInputs>>;

export const textEncoderConfigSchema = z.object({
  kind: z.literal("text-encoder"),
  ...encoderInputs,
  dimensions: z.int().min(1),
});
export type TextEncoderConfig = z.infer<typeof textEncoderConfigSchema>;

export const textEncoderClassifierConfigSchema = z.object({
  kind: z.literal("text-encoder-classifier"),
  ...encoderInputs,
  labels: z.array(z.string()).min(2),
});
export type TextEncoderClassifierConfig = z.infer<typeof textEncoderClassifierConfigSchema>;
