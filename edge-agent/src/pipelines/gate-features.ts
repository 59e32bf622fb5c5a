// Not the whole of core: that brings all schemas of the api along, 26 MB in each process.
import {
  GATE_FEATURES_VERSION,
  GATE_VECTOR_LENGTH,
  gateFeaturesOf,
  gateVectorOf,
} from "@autoglm/core/gate-features";
import type { GateFeaturesConfig } from "./config.ts";
import { PipelineFailure } from "./failure.ts";
import {
  floatsOf,
  roundScore,
  type Pipeline,
  type PipelineItem,
  type PipelineResult,
  type Session,
} from "./pipeline.ts";

const MAX_BATCH_ITEMS = 256;
/** Of the text, UTF-16 units; the features look no further. */
const MAX_LENGTH = 4096;

/**
 * The network of the pre-gate: features of a text [batch, GATE_VECTOR_LENGTH] → P(hard) [batch, 1], calibrated in the
 * graph. The task type that the text is meant for stands in the field `taskType`.
 */
export class GateFeatures implements Pipeline {
  readonly taskTypes = ["tensor"] as const;
  readonly batching = { maxItems: MAX_BATCH_ITEMS, maxLength: MAX_LENGTH };
  readonly #session: Session;
  readonly #config: GateFeaturesConfig;

  /** @throws PipelineFailure for a network that was trained on other features */
  constructor(session: Session, config: GateFeaturesConfig) {
    if (config.features !== GATE_FEATURES_VERSION) {
      throw new PipelineFailure(
        "ModelLoadFailed",
        `the gate was trained on features of version ${config.features}, this agent makes version ${GATE_FEATURES_VERSION}`,
        { final: true },
      );
    }
    this.#session = session;
    this.#config = config;
  }

  async run(items: readonly PipelineItem[]): Promise<readonly PipelineResult[]> {
    const vectors = new Float32Array(items.length * GATE_VECTOR_LENGTH);
    for (const [index, { text, fields }] of items.entries()) {
      const features = gateFeaturesOf(text, fields?.["taskType"] ?? "");
      vectors.set(gateVectorOf(text, features), index * GATE_VECTOR_LENGTH);
    }
    const { input, output } = this.#config;
    const feeds = { [input]: this.#session.float32(vectors, [items.length, GATE_VECTOR_LENGTH]) };
    const hardness = floatsOf(await this.#session.run(feeds), output);
    return items.map((_, index) => ({
      output: {
        type: "tensor",
        outputs: [{ name: output, datatype: "FP32", shape: [1], data: [roundScore(hardness[index] ?? 0)] }],
        scoreSource: "none",
      },
    }));
  }
}
