import { z } from "zod";
import { TIERS } from "../tiers.ts";
import { refuseDuplicates } from "../kinds/meta.ts";
import { assignmentKeySchema, nodeIdSchema, objectNameSchema, WIRE_VERSION } from "./documents.ts";
import { itemErrorSchema } from "./results.ts";

const counter = z.int().min(0);

export const modelReportSchema = z.object({
  model: z.string().max(253),
  variant: z.string().max(63),
  state: z.enum(["Downloading", "Ready", "Loaded", "Failed"]),
  downloadedBytes: counter,
  sizeBytes: counter,
  /** Seconds for the rest at the present rate; absent when not downloading. */
  etaSeconds: counter.optional(),
  /** Memory of the engine's processes for this model, when loaded. */
  memoryBytes: counter.optional(),
  /** Median milliseconds per item of the last hundred items. */
  itemMs: z.number().min(0).optional(),
  error: itemErrorSchema.optional(),
});
export type ModelReport = z.infer<typeof modelReportSchema>;

export const assignmentReportSchema = assignmentKeySchema.extend({
  phase: z.enum(["Assigned", "Downloading", "Loading", "Running", "Done", "Failed"]),
  /** Items with a result in the outbox or beyond. */
  produced: counter,
  total: counter.optional(),
  /** When the oldest chunk that is not accepted was sealed. */
  oldestPendingAt: z.iso.datetime().optional(),
  modelLoadMs: z.number().min(0).optional(),
  itemMs: z.number().min(0).optional(),
  /** Why the phase is Failed, or what delays it. */
  error: itemErrorSchema.optional(),
});
export type AssignmentReport = z.infer<typeof assignmentReportSchema>;

/**
 * What a node says about itself, every few seconds and at once on change. Complete each time: a lost one costs
 * nothing but delay.
 */
export const heartbeatSchema = z.object({
  v: z.literal(WIRE_VERSION),
  node: nodeIdSchema,
  nodeName: objectNameSchema,
  agentVersion: z.string().max(64),
  /** Made with the state folder: another one means that the outbox is gone. */
  stateId: z.string().max(64),
  startedAt: z.iso.datetime(),
  sentAt: z.iso.datetime(),
  location: z.enum(["edge", "cloud"]).optional(),
  pool: objectNameSchema.optional(),
  memory: z.object({
    /** gpu: memory of the card. ram: a declared budget on a node without one. */
    kind: z.enum(["gpu", "ram"]),
    totalBytes: counter,
    /** Used by processes that aren't ours. */
    usedByOthersBytes: counter,
    /** Used by our engine processes. */
    usedByUsBytes: counter,
    device: z.string().max(256).optional(),
  }),
  /** Tier by the agent's own probe; absent where the memory can't be known. */
  probedTier: z.enum(TIERS).optional(),
  /** Names of the keys for endpoints that the node holds; absent from an agent that knows of none. */
  endpointKeys: z.array(objectNameSchema).max(256).optional(),
  document: z.object({ generation: counter, revision: counter }),
  outbox: z.object({ chunks: counter, bytes: counter, limitBytes: counter, full: z.boolean() }),
  /** One of each variant: they become keys of a list in a status. */
  models: z
    .array(modelReportSchema)
    .max(256)
    .check(refuseDuplicates(({ model, variant }) => `${model}/${variant}`)),
  assignments: z.array(assignmentReportSchema).max(512),
  /** The agent drains and will be gone soon: place nothing on it. */
  draining: z.boolean(),
});
export type Heartbeat = z.infer<typeof heartbeatSchema>;
