import { z } from "zod";
import { TASK_TYPE_CONTRACTS, TASK_TYPES, type TaskType } from "../task-types.ts";

const label = z.string().min(1).max(128);

export const parametersSchema = z
  .strictObject({
    topK: z
      .int()
      .min(1)
      .max(1000)
      .optional()
      .describe(
        "Classification: how many labels to return, best first; default all. text-generation: sample from this many most likely tokens; default no limit.",
      ),
    candidateLabels: z
      .array(label)
      .min(1)
      .max(100)
      .optional()
      .describe(
        "Labels to choose from: classes, kinds of entities, relations, or texts that an image is matched with. A classifier with labels of its own takes no others: ask with type zero-shot-classification, or a model that generates text. Of a model with kinds of entities of its own these are kept.",
      ),
    multiLabel: z
      .boolean()
      .optional()
      .describe("zero-shot-classification: labels are judged one by one and several may hold."),
    question: z
      .string()
      .min(1)
      .max(2048)
      .optional()
      .describe(
        "question-answering: the question to every item, where the records have no field of this name.",
      ),
    threshold: z
      .number()
      .min(0)
      .max(1)
      .optional()
      .describe(
        "Labels, entities, relations and objects with a lower score are left out. Default 0: none is; object-detection .25.",
      ),
    normalize: z
      .boolean()
      .optional()
      .describe("feature-extraction: scale each embedding to length 1. Default true."),
    maxNewTokens: z
      .int()
      .min(1)
      .max(4096)
      .optional()
      .describe("Generating models: most tokens to generate per item. Default 64, or what the prompt says."),
    temperature: z
      .number()
      .min(0)
      .max(2)
      .optional()
      .describe(
        "Generating models: 0 takes the most likely token each time (the default); higher is more varied.",
      ),
    topP: z
      .number()
      .gt(0)
      .max(1)
      .optional()
      .describe(
        "Generating models: sample from the smallest set of tokens with this probability mass. Default 1.",
      ),
    repetitionPenalty: z
      .number()
      .min(1)
      .max(2)
      .optional()
      .describe(
        "Generating models on a node: above 1, tokens that already occurred become less likely. Default 1.1.",
      ),
    seed: z
      .int()
      .min(0)
      .max(4294967295)
      .optional()
      .describe("Generating models: seed of the sampler; the same seed gives the same text. Default 0."),
    stop: z
      .array(z.string().min(1).max(64))
      .max(4)
      .optional()
      .describe("Generating models: texts that end the answer; they are not part of it."),
    votes: z
      .int()
      .min(1)
      .max(15)
      .optional()
      .describe(
        "Classification by a model without log-probabilities: ask so many times; the share of votes is the score. Default: one answer, without a score.",
      ),
  })
  .describe("Parameters of the task type, with the names of Hugging Face pipelines.");
export type TaskParameters = z.output<typeof parametersSchema>;

/** Of a model that generates, whatever type it answers. */
const GENERATION_PARAMETERS = [
  "maxNewTokens",
  "temperature",
  "topP",
  "repetitionPenalty",
  "seed",
  "stop",
] as const;
const VOTING_TYPES: readonly TaskType[] = ["text-classification", "zero-shot-classification"];

/** Task types for which a parameter means something; elsewhere it is refused, not ignored. */
export function typesOfParameter(name: keyof TaskParameters): readonly TaskType[] {
  if (name === "votes") return VOTING_TYPES;
  const isGeneration = GENERATION_PARAMETERS.some((parameter) => parameter === name);
  return TASK_TYPES.filter((type) => {
    const { parameters, autoPrompt } = TASK_TYPE_CONTRACTS[type];
    if (isGeneration) return autoPrompt || type === "text-generation" || type === "image-to-text";
    return parameters.includes(name);
  });
}
