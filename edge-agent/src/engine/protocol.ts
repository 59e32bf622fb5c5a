import type { TaskType } from "@autoglm/api";
import type { PipelineFailure } from "../pipelines/failure.ts";
import type { PipelineItem, PipelineResult } from "../pipelines/pipeline.ts";
import type { OnnxSessionOptions } from "./onnx-session.ts";

/**
 * What the agent and an inference process say to each other, by structured clone. The agent asks one thing at a time;
 * each request is answered by `loaded`, `done` or `failed`, with `progress` any number of times before.
 */
export type ToWorker =
  | ({
      readonly kind: "load";
      readonly directory: string;
      readonly contextLength: number;
    } & OnnxSessionOptions)
  | { readonly kind: "run"; readonly items: readonly PipelineItem[] };

export type FromWorker =
  | { readonly kind: "loaded"; readonly serving: Serving }
  | { readonly kind: "done"; readonly results: readonly PipelineResult[] }
  | { readonly kind: "failed"; readonly failure: FailureMessage }
  | { readonly kind: "progress" }
  /** After `loaded`, unasked: a better budget than the first. */
  | { readonly kind: "calibrated"; readonly budget: number };

/** What a loaded model does and how its work is batched. */
export interface Serving {
  readonly taskType: TaskType;
  readonly maxItems: number;
  /** UTF-16 units of an item that cost something. */
  readonly maxLength: number;
  /** Rows × the longest of them, in UTF-16 units, up to which a batch gains; calibrated when idle. */
  readonly budget: number;
}

/** The stack and the cause stay behind: a cause may quote the input. */
export interface FailureMessage {
  readonly code: PipelineFailure["code"] | "Internal";
  readonly message: string;
  readonly final: boolean;
}
