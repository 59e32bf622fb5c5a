import { z } from "zod";
import { modelName } from "./meta.ts";

const share = z.number().min(0).max(1);

/** Policy of the gate between the task's model (edge) and a larger one (deep). */
const policyFields = {
  mode: z
    .enum(["Pre", "Post", "Both"])
    .default("Both")
    .describe(
      "Pre: decide by the input, before the edge model runs. Post: by the edge model's answer. Both: first the one, then the other.",
    ),
  threshold: share
    .default(0.5)
    .describe("Pre: an input whose probability of being hard is at least this goes to the deep model."),
  minConfidence: share
    .default(0.7)
    .describe("Post: an answer with a lower calibrated confidence goes to the deep model."),
  minMargin: share
    .default(0.1)
    .describe("Post: so does one whose best label leads the second by less than this."),
  hysteresis: share
    .default(0.05)
    .describe(
      "Once the gate has opened, thresholds are eased by this until it closes, so that it does not flutter.",
    ),
  auditShare: share
    .default(0)
    .describe("Share of confident answers that the deep model checks too; the gate learns from them."),
} as const;

export const gatingSchema = z
  .strictObject({
    model: modelName(
      "AutoGLMModel that answers what is too hard for the task's model. It is not loaded until the gate opens.",
    ),
    ...policyFields,
    budget: z
      .strictObject({
        maxEscalations: z
          .int()
          .min(0)
          .max(1e9)
          .optional()
          .describe("Most items per run that go to the deep model."),
        maxTokens: z
          .int()
          .min(0)
          .max(1e12)
          .optional()
          .describe("Most tokens per run that the deep model may use."),
        maxShare: share.optional().describe("Most items per item seen that go to the deep model."),
      })
      .optional()
      .describe("What may be spent; beyond it the edge answer stands."),
  })
  .describe("Dynamic gating: hard inputs go to a larger model, within a budget. Every decision is recorded.");
export type Gating = z.output<typeof gatingSchema>;

/** The policy as the node gets it. */
export const gatePolicySchema = gatingSchema.omit({ model: true });
export type GatePolicy = z.output<typeof gatePolicySchema>;
