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

/** How labels of one language are judged by similarity; the numbers are fitted on validation data. */
const zeroShotSchema = z.object({
  /** The sentence that stands for a label; `{}` is the label. */
  hypothesis: z.string().includes("{}"),
  /** Divides similarities before the softmax over the labels. */
  temperature: z.number().positive(),
  /** Label that none means: what a label has to beat when several may hold. */
  other: z.string().min(1),
  /** log-odds of a label = slope × (its similarity - that of `other`) + offset. */
  slope: z.number().positive(),
  offset: z.number(),
});
export type ZeroShotConfig = z.infer<typeof zeroShotSchema>;

export const textEncoderConfigSchema = z.object({
  kind: z.literal("text-encoder"),
  ...encoderInputs,
  dimensions: z.int().min(1),
  /** Absent where similarity to labels was not measured to be of use. `han`: for labels with Han characters. */
  zeroShot: z.object({ han: zeroShotSchema, other: zeroShotSchema }).optional(),
});
export type TextEncoderConfig = z.infer<typeof textEncoderConfigSchema>;

export const textEncoderClassifierConfigSchema = z.object({
  kind: z.literal("text-encoder-classifier"),
  ...encoderInputs,
  labels: z.array(z.string()).min(2),
});
export type TextEncoderClassifierConfig = z.infer<typeof textEncoderClassifierConfigSchema>;
