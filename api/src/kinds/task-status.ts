import { z } from "zod";
import { TASK_REASONS } from "../reasons.ts";
import { TASK_TYPES } from "../task-types.ts";
import { TIERS } from "../tiers.ts";
import { conditionSchema, listMap } from "./meta.ts";

/** Placements that status holds; parallelism never exceeds it. */
export const MAX_PLACEMENTS = 256;

const placementPhaseSchema = z.enum(["Assigned", "Downloading", "Loading", "Running", "Done", "Failed"]);
export type PlacementPhase = z.infer<typeof placementPhaseSchema>;

const placementStatusSchema = z.strictObject({
  shard: z
    .int()
    .min(0)
    .max(MAX_PLACEMENTS - 1)
    .describe("Part of the work, counted from 0."),
  node: z.string().max(253).describe("Node that has the shard."),
  epoch: z
    .int()
    .min(1)
    .describe("Raised whenever the shard is placed anew; work of an older epoch is stopped."),
  phase: placementPhaseSchema.describe("What the node last said about the shard."),
  tier: z.enum(TIERS).optional().describe("Tier of the node when it was chosen."),
  location: z.enum(["edge", "cloud"]).optional().describe("Side of the node."),
  reservedMemory: z.string().max(32).describe("Memory reserved on the node for it."),
  placedAt: z.iso.datetime().describe("When it was placed there."),
  modelLoadMs: z
    .number()
    .min(0)
    .optional()
    .describe("Milliseconds that the model took to load, 0 when it was there already."),
  itemMs: z.number().min(0).optional().describe("Mean milliseconds per item, parsing and inference."),
  message: z.string().max(1024).optional().describe("Why this node was chosen, or what went wrong on it."),
});
export type PlacementStatus = z.infer<typeof placementStatusSchema>;

export const taskStatusSchema = z
  .strictObject({
    observedGeneration: z.int().min(0).optional().describe("Generation that this status speaks of."),
    taskId: z.string().max(64).optional().describe("Id under which results are kept; the uid of the task."),
    type: z.enum(TASK_TYPES).optional().describe("Resolved task type."),
    typeSource: z
      .enum(["Spec", "Model", "Prompt", "Input"])
      .optional()
      .describe("What the type was resolved from."),
    model: z.string().max(253).optional().describe("Model in use."),
    standInFor: z
      .string()
      .max(253)
      .optional()
      .describe("The model that the task named, where another one stands in for it."),
    prompt: z.string().max(253).optional().describe("Prompts in use, by name; for a generating model."),
    variant: z.string().max(63).optional().describe("Variant of the model in use."),
    tier: z.enum(TIERS).optional().describe("Tier that the task asks for."),
    reason: z.enum(TASK_REASONS).optional().describe("The one dominant reason for the state of the task."),
    message: z
      .string()
      .max(1024)
      .optional()
      .describe("The reason in a sentence, with counts per reason over nodes while it waits."),
    hint: z.string().max(1024).optional().describe("What would unblock it."),
    queuePosition: z.int().min(1).optional().describe("Place among the waiting tasks, 1 is next."),
    run: z.int().min(0).optional().describe("Current run, counted from 0."),
    runStartedAt: z.iso.datetime().optional().describe("When the current run started."),
    progress: z.string().max(32).optional().describe("Accepted items of all items, e.g. 120/1000."),
    node: z.string().max(253).optional().describe("Node of the first shard, for display."),
    placements: z
      .array(placementStatusSchema)
      .max(MAX_PLACEMENTS)
      .optional()
      .describe("Node, epoch and phase of every shard.")
      .meta(listMap("shard")),
    items: z
      .strictObject({
        total: z.int().min(0).optional().describe("Items in the input; known once it was read to its end."),
        accepted: z
          .int()
          .min(0)
          .describe("Items whose result was accepted, errors of single items included."),
        failed: z.int().min(0).describe("Accepted items whose result is an error."),
      })
      .optional()
      .describe("Items of the current run."),
    ledger: z
      .strictObject({
        produced: z.int().min(0).describe("Items that nodes say they have results for."),
        delivered: z.int().min(0).describe("Items whose result was accepted."),
        pending: z.int().min(0).describe("Produced and not yet delivered."),
        oldestPendingSince: z.iso
          .datetime()
          .optional()
          .describe("When the oldest pending result was produced."),
        duplicatesDropped: z.int().min(0).describe("Results that arrived again and were not counted twice."),
        lost: z
          .int()
          .min(0)
          .describe(
            "Produced items that vanished with their node's disk before delivery; they are computed again.",
          ),
      })
      .optional()
      .describe("Where the results of the current run are."),
    results: z
      .array(
        z.strictObject({
          item: z.int().min(0).describe("Number of the item, counted from 0."),
          output: z.string().max(512).describe("Its result as JSON, cut at 512 characters."),
        }),
      )
      .max(5)
      .optional()
      .describe("The first few results; the rest by `autoglm results`."),
    placedTime: z.iso.datetime().optional().describe("When the task was first placed."),
    firstResultTime: z.iso.datetime().optional().describe("When the first result was accepted."),
    completionTime: z.iso.datetime().optional().describe("When the task completed or failed."),
    conditions: z
      .array(conditionSchema)
      .max(16)
      .optional()
      .describe("Accepted, Placed, Running, Ready, Complete, Failed.")
      .meta(listMap("type")),
  })
  .describe("What became of the task, as last observed.");
export type TaskStatus = z.infer<typeof taskStatusSchema>;
