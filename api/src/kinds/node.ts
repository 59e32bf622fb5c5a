import { z } from "zod";
import { NODE_ID_PATTERN } from "../names.ts";
import { TIERS } from "../tiers.ts";
import { conditionSchema, listMap } from "./meta.ts";
import { sha256Schema } from "./model.ts";

/** Where a tier comes from, most trusted first. */
export const TIER_SOURCES = ["Label", "GFD", "Probe"] as const;
export type TierSource = (typeof TIER_SOURCES)[number];

export const nodeSpecSchema = z
  .strictObject({
    enrolment: z
      .strictObject({
        tokenSha256: sha256Schema.describe(
          "sha256 of the one-time token; the token itself is stored nowhere.",
        ),
        expiresAt: z.iso.datetime({ offset: true }).describe("After this time the token is refused."),
      })
      .optional()
      .describe("Lets an agent enrol as this node, once. Made by `autoglm nodes enrol NODE`."),
    revokedBefore: z.iso
      .datetime({ offset: true })
      .optional()
      .describe(
        "Credentials of the node issued before this time are refused; its work moves to other nodes.",
      ),
  })
  .describe("What an administrator says about a node of the fleet.")
  .prefault({});
export type NodeSpec = z.output<typeof nodeSpecSchema>;

export const nodeStatusSchema = z
  .strictObject({
    observedGeneration: z.int().min(0).optional().describe("Generation that this status speaks of."),
    nodeId: z
      .string()
      .max(80)
      .regex(new RegExp(NODE_ID_PATTERN))
      .optional()
      .describe("Name of the node on the bus."),
    publicKey: z.string().max(64).optional().describe("The node's public key (nkey, U…); born on the node."),
    usedTokenSha256: sha256Schema
      .optional()
      .describe("Hash of the token that enrolled the node: a second use is refused."),
    enrolledAt: z.iso.datetime().optional().describe("When the present key was signed."),
    tier: z.enum(TIERS).optional().describe("GPU-memory tier of the node."),
    tierSource: z.enum(TIER_SOURCES).optional().describe("What the tier was read from."),
    tierConflicts: z.array(z.string().max(256)).max(8).optional().describe("Sources that say another tier."),
    location: z.enum(["edge", "cloud"]).optional().describe("Side of the node."),
    pool: z.string().max(253).optional().describe("Node pool (OpenYurt), or what the agent declares."),
    flavour: z
      .enum(["OpenYurt", "K3s", "Kubernetes", "Standalone"])
      .optional()
      .describe("What manages the node."),
    memory: z
      .strictObject({
        capacity: z
          .string()
          .max(32)
          .describe("Memory that may be reserved: the smallest known total less what others use."),
        reserved: z.string().max(32).describe("Reserved for placed tasks."),
        free: z.string().max(32).describe("capacity less reserved."),
        measured: z.string().max(32).optional().describe("What the agent's models really use."),
        kind: z
          .enum(["gpu", "ram"])
          .describe("GPU memory, or a declared budget of RAM on a node without a GPU."),
      })
      .optional()
      .describe("Memory of the node."),
    link: z
      .enum(["Connected", "Unknown", "Never"])
      .optional()
      .describe("Unknown: no heartbeat lately; see lastSeen."),
    lastSeen: z.iso
      .datetime()
      .optional()
      .describe("Last heartbeat before the link went, or when the link came back."),
    agentVersion: z.string().max(64).optional().describe("Version of the agent."),
    models: z
      .array(
        z.strictObject({
          model: z.string().max(253).describe("Model."),
          variant: z.string().max(63).describe("Variant."),
          state: z
            .enum(["Downloading", "Ready", "Loaded", "Failed"])
            .describe("Ready: on disk and verified. Loaded: in memory."),
        }),
      )
      .max(256)
      .optional()
      .describe("Models that the node holds.")
      .meta(listMap("model", "variant")),
    assignments: z.int().min(0).optional().describe("Shards placed on the node."),
    conditions: z
      .array(conditionSchema)
      .max(8)
      .optional()
      .describe("Ready, TierConflict.")
      .meta(listMap("type")),
  })
  .describe("What the fleet knows about the node. Written on change, not on every heartbeat.");
export type NodeStatus = z.infer<typeof nodeStatusSchema>;
