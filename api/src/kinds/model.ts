import { z } from "zod";
import { TASK_TYPES } from "../task-types.ts";
import {
  conditionSchema,
  kubernetesName,
  listMap,
  memoryQuantity,
  modelName,
  refuseDuplicates,
  withRules,
} from "./meta.ts";

export const sha256Schema = z
  .string()
  .max(64)
  .regex(/^[0-9a-f]{64}$/)
  .describe("sha256 of the content, 64 lowercase hex digits.");

const modelFileSchema = z.strictObject({
  path: z
    .string()
    .min(1)
    .max(255)
    .regex(/^[A-Za-z0-9_][A-Za-z0-9_.-]*$/)
    .describe("File name inside the variant, e.g. model.onnx."),
  sha256: sha256Schema,
  sizeBytes: z.int().min(0).max(1e12).describe("Size in bytes."),
  uri: z
    .string()
    .max(2048)
    .regex(/^https?:\/\//)
    .optional()
    .describe("http(s) address of the file; default: the file server of the operator, by digest."),
});
export type ModelFile = z.infer<typeof modelFileSchema>;

export const endpointSchema = z.strictObject({
  url: z
    .string()
    .max(2048)
    .regex(/^https?:\/\/[^\s/]+(\/[^\s?#]*)?$/)
    .describe(
      "Base URL; /chat/completions is added to it. https://open.bigmodel.cn/api/paas/v4, http://vllm:8000/v1.",
    ),
  model: z.string().min(1).max(253).describe("Name of the model at the endpoint, e.g. glm-4-flash-250414."),
  keyName: kubernetesName(
    "Key to send: the file of this name in the folder of endpoint keys of the node (AUTOGLM_ENDPOINT_KEYS_DIR). Only nodes that hold it get the work. Default: no key is sent.",
  ).optional(),
  maxConcurrency: z.int().min(1).max(1024).default(8).describe("Most requests of a node at the same time."),
});
export type Endpoint = z.output<typeof endpointSchema>;

const modelVariantFields = z.strictObject({
  name: z
    .string()
    .min(1)
    .max(63)
    .regex(/^[a-z0-9]([-a-z0-9]*[a-z0-9])?$/)
    .describe("Name of the variant, e.g. int4."),
  runtime: z
    .enum(["onnx", "openai"])
    .default("onnx")
    .describe("What runs it: ONNX Runtime on the node, or an OpenAI-compatible endpoint that the node asks."),
  precision: z.enum(["fp32", "fp16", "int8", "int4"]).optional().describe("Precision of the weights."),
  memory: memoryQuantity(
    "Working set on a node: weights, KV cache at contextLength and runtime overhead; for an endpoint what its client needs.",
  ),
  contextLength: z
    .int()
    .min(1)
    .max(1e7)
    .describe("Longest input in the model's own units (tokens, or characters)."),
  files: z
    .array(modelFileSchema)
    .min(1)
    .max(32)
    .check(refuseDuplicates((file) => file.path))
    .optional()
    .describe("onnx: files of the variant; pipeline.json says how to feed the model.")
    .meta(listMap("path")),
  endpoint: endpointSchema.optional().describe("openai: where it is served."),
});

const modelVariantSchema = withRules(modelVariantFields, [
  {
    rule: "self.runtime == 'onnx' ? has(self.files) && !has(self.endpoint) : has(self.endpoint) && !has(self.files)",
    message: "runtime onnx has files, runtime openai has an endpoint",
    holds: ({ runtime, files, endpoint }) =>
      runtime === "onnx"
        ? files !== undefined && endpoint === undefined
        : endpoint !== undefined && files === undefined,
  },
]);
export type ModelVariant = z.output<typeof modelVariantSchema>;

export const modelSpecSchema = z
  .strictObject({
    description: z.string().max(1024).optional().describe("What the model is, in a sentence."),
    license: z.string().max(128).optional().describe("SPDX identifier of the licence of the weights."),
    languages: z.array(z.string().max(35)).max(64).optional().describe("Languages, as BCP 47 tags."),
    taskTypes: z
      .array(z.enum(TASK_TYPES))
      .min(1)
      .max(TASK_TYPES.length)
      .check(refuseDuplicates((type) => type))
      .describe("Task types that the model serves.")
      .meta({ "x-kubernetes-list-type": "set" }),
    aliases: z
      .array(modelName("Another name."))
      .max(16)
      .check(refuseDuplicates((alias) => alias))
      .optional()
      .describe("Other names that tasks may use, in any case: glm-4, GLM-4-Flash.")
      .meta({ "x-kubernetes-list-type": "set" }),
    standIn: kubernetesName(
      "AutoGLMModel that answers while no node holds the key of any endpoint here and there is no variant with files. Results say which model answered. Default: such a task is refused.",
    ).optional(),
    preference: z
      .int()
      .min(-1000)
      .max(1000)
      .default(0)
      .describe(
        "Which model a task gets that names none: one for the language of its input before others, then the higher preference, then by name.",
      ),
    variants: z
      .array(modelVariantSchema)
      .min(1)
      .max(16)
      .check(refuseDuplicates((variant) => variant.name))
      .describe("Variants, best first: the first that fits the node is taken.")
      .meta(listMap("name")),
  })
  .describe("A model and the variants in which it exists.");
export type ModelSpec = z.output<typeof modelSpecSchema>;

export const modelStatusSchema = z
  .strictObject({
    observedGeneration: z.int().min(0).optional().describe("Generation that this status speaks of."),
    nodesReady: z.int().min(0).optional().describe("Nodes that hold a variant, verified."),
    nodes: z
      .array(
        z.strictObject({
          node: z.string().max(253).describe("Node that has the model, or is getting it."),
          variant: z.string().max(63).describe("Variant on that node."),
          state: z
            .enum(["Downloading", "Ready", "Loaded", "Failed"])
            .describe("Ready: on disk and verified. Loaded: in memory."),
          percent: z.int().min(0).max(100).optional().describe("Downloaded part of the variant's bytes."),
          etaSeconds: z.int().min(0).optional().describe("Seconds that the rest takes at the present rate."),
          measuredMemory: z
            .string()
            .max(32)
            .optional()
            .describe("Memory of the loaded model as measured on the node."),
          itemMs: z
            .number()
            .min(0)
            .optional()
            .describe("Median milliseconds per item, as measured on the node."),
          message: z.string().max(512).optional().describe("What went wrong."),
        }),
      )
      .max(256)
      .optional()
      .describe("Which nodes have it; the first 256 by name.")
      .meta(listMap("node", "variant")),
    conditions: z.array(conditionSchema).max(8).optional().describe("Ready.").meta(listMap("type")),
  })
  .describe("Where the model is, as last observed.");
export type ModelStatus = z.infer<typeof modelStatusSchema>;
