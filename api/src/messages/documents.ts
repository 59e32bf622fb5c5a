import { z } from "zod";
import { NODE_ID_PATTERN } from "../names.ts";
import { endpointSchema } from "../kinds/model.ts";
import { gatePolicySchema } from "../kinds/gating.ts";
import { workPromptSchema } from "../kinds/prompt.ts";
import { INPUT_FORMATS, preprocessSchema } from "../kinds/task-input.ts";
import { parametersSchema } from "../kinds/task-parameters.ts";
import { TASK_TYPES } from "../task-types.ts";

/** Version of every wire message; a reader refuses one that it does not know. */
export const WIRE_VERSION = 1;
/** Largest body of a specification part or a chunk. NATS's own limit is 1 MiB; headers and signature need room. */
export const MAX_BODY_BYTES = 512 * 1024;

export const nodeIdSchema = z.string().regex(new RegExp(NODE_ID_PATTERN));
/** Name of a node or a pool: it gets into subjects' hashes, requests to the API server and commands that people paste. */
export const objectNameSchema = z
  .string()
  .max(253)
  .regex(/^[a-z0-9]([-a-z0-9.]*[a-z0-9])?$/, "must be a name as in Kubernetes: a-z, 0-9, - and .");
export const taskUidSchema = z.string().regex(/^[A-Za-z0-9-]{1,64}$/);
const digestSchema = z.string().regex(/^[0-9a-f]{64}$/);
const counter = z.int().min(0);

/** (task uid, run, shard, epoch): the unit of assignment. */
export const assignmentKeySchema = z.object({
  task: taskUidSchema,
  run: counter,
  shard: counter,
  epoch: z.int().min(1),
});
export type AssignmentKey = z.infer<typeof assignmentKeySchema>;

/** One text for logs and maps. */
export const assignmentKeyText = (key: AssignmentKey) => `${key.task}.${key.run}.${key.epoch}.${key.shard}`;

/** Item numbers as inclusive ranges in ascending order, without overlap: [[0, 499], [600, 999]]. */
export const itemRangesSchema = z
  .array(z.tuple([counter, counter]))
  .max(4096)
  .refine(
    (ranges) => ranges.every(([from, to], index) => from <= to && from > (ranges[index - 1]?.[1] ?? -1)),
    "ranges must ascend without overlap",
  );
export type ItemRanges = z.infer<typeof itemRangesSchema>;

export const assignmentSchema = assignmentKeySchema.extend({
  /** sha256 of the {@link workSpecSchema} document, fetched as `spec.<node>.<digest>`. */
  spec: digestSchema,
  /** Who may write results for this assignment: signed by the operator, sent along with every chunk. */
  grant: z.string().max(2048),
  priority: z.int(),
  /** Every chunk up to and including this one is committed without a gap; -1: none yet. */
  acceptedThrough: z.int().min(-1),
  /** Items accepted already (from an earlier epoch): not to be computed again. */
  acceptedItems: itemRangesSchema,
  /** Bytes reserved for it on this node. */
  reservedBytes: z.int().min(0),
});
export type Assignment = z.infer<typeof assignmentSchema>;

/** What a node should be doing now. Leaving the document means stop, never "accepted". */
export const desiredDocumentSchema = z.object({
  v: z.literal(WIRE_VERSION),
  node: nodeIdSchema,
  /** Raised when the operator's state was restored from a backup; counts before revision. */
  generation: counter,
  revision: counter,
  assignments: z.array(assignmentSchema).max(512),
});
export type DesiredDocument = z.infer<typeof desiredDocumentSchema>;

const workFileSchema = z.object({
  path: z.string().min(1).max(255),
  sha256: digestSchema,
  sizeBytes: counter,
  /** Addresses to try in turn. */
  urls: z.array(z.string()).max(8),
});
export type WorkFile = z.infer<typeof workFileSchema>;

const formatSchema = z.enum(INPUT_FORMATS);

const workInputSchema = z.discriminatedUnion("kind", [
  /** The concatenated parts are a JSON array of strings. */
  z.object({ kind: z.literal("items"), parts: z.array(digestSchema).max(64) }),
  /** The concatenated parts are a document, bytes as the user gave them. */
  z.object({
    kind: z.literal("document"),
    parts: z.array(digestSchema).max(64),
    format: formatSchema,
    field: z.string().optional(),
  }),
  /** A file below the node's data root. */
  z.object({ kind: z.literal("file"), path: z.string(), format: formatSchema, field: z.string().optional() }),
  /** An http(s) address whose host the node allows. */
  z.object({ kind: z.literal("url"), url: z.string(), format: formatSchema, field: z.string().optional() }),
  /** An object in the S3-compatible store that the node is configured for. */
  z.object({
    kind: z.literal("object"),
    bucket: z.string(),
    key: z.string(),
    format: formatSchema,
    field: z.string().optional(),
  }),
]);
export type WorkInput = z.infer<typeof workInputSchema>;

const onnxModelSchema = z.object({
  name: z.string(),
  variant: z.string(),
  runtime: z.literal("onnx"),
  contextLength: z.int().min(1),
  memoryBytes: counter,
  files: z.array(workFileSchema).min(1).max(32),
});
const endpointModelSchema = z.object({
  name: z.string(),
  variant: z.string(),
  runtime: z.literal("openai"),
  contextLength: z.int().min(1),
  memoryBytes: counter,
  endpoint: endpointSchema,
});
const workModelSchema = z.discriminatedUnion("runtime", [onnxModelSchema, endpointModelSchema]);

/** Everything that a node needs to do the work of a task. Immutable: its address is its digest. */
export const workSpecSchema = z.object({
  v: z.literal(WIRE_VERSION),
  task: z.object({ uid: taskUidSchema, namespace: z.string(), name: z.string() }),
  type: z.enum(TASK_TYPES),
  model: workModelSchema,
  /** The model that the task named, where another one stands in for it. */
  standInFor: z.string().optional(),
  input: workInputSchema,
  preprocess: preprocessSchema.optional(),
  /** Prompts to choose from by the language of each text; the one that the task names is alone. */
  prompts: z.array(workPromptSchema).max(8).optional(),
  parameters: parametersSchema.strip(),
  gating: z.object({ deep: workModelSchema, policy: gatePolicySchema }).optional(),
  /** Inputs and results must not leave the node. */
  siteOnly: z.boolean().optional(),
});
export type WorkSpec = z.infer<typeof workSpecSchema>;
export type WorkModel = WorkSpec["model"];
export type OnnxWorkModel = z.infer<typeof onnxModelSchema>;
export type EndpointWorkModel = z.infer<typeof endpointModelSchema>;
