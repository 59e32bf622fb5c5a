import type { TaskType } from "@autoglm/api";
import type { PipelineFailure } from "../pipelines/failure.ts";
import type { PipelineItem, PipelineResult } from "../pipelines/pipeline.ts";
import type { TensorConfig } from "../pipelines/tensor-contract.ts";
import type { ExecutionProvider, OnnxSessionOptions } from "./onnx-session.ts";
import type { PackedTensors } from "./packing.ts";

/**
 * What the agent and an inference process say to each other, by structured clone. Each request has an id and is answered
 * once, by `loaded`, `done`, `doneTensors` or `failed`; `progress` and `token` come any number of times before. The agent
 * asks one thing at a time, unless the model's runs overlap.
 */
export type ToWorker =
  | ({
      readonly kind: "load";
      readonly directory: string;
      readonly contextLength: number;
      /** Of a process of the model that is loaded already: nothing else has to be warmed up. */
      readonly warmed?: Warmed | undefined;
    } & OnnxSessionOptions)
  | { readonly kind: "run"; readonly items: readonly PipelineItem[]; readonly wantsTokens: boolean }
  /** A run of items that are tensors and nothing else. */
  | { readonly kind: "runTensors"; readonly packed: PackedTensors }
  /** Nobody waits for this run any more: it may end early. It is answered all the same. */
  | { readonly kind: "drop" };

export type WorkerAnswer =
  | { readonly kind: "loaded"; readonly serving: Serving }
  | { readonly kind: "done"; readonly results: readonly PipelineResult[] }
  /** Outputs of a run of tensors in which every item succeeded. */
  | { readonly kind: "doneTensors"; readonly packed: PackedTensors }
  | { readonly kind: "failed"; readonly failure: FailureMessage };

export type FromWorker =
  | ({ readonly id: number } & WorkerAnswer)
  | { readonly kind: "progress" }
  /** Text that an item of the run has come to since the last one. */
  | { readonly kind: "token"; readonly id: number; readonly index: number; readonly text: string }
  /** After `loaded`, unasked: better ones than the first. */
  | { readonly kind: "calibrated"; readonly costs: RunCosts };

/** Rows of one padded length. */
export interface RunShape {
  readonly rows: number;
  readonly length: number;
}

/** How far batches of the model gain; calibrated. */
export interface RunCosts {
  /** Rows × the longest of them up to which a batch gains. */
  readonly budget: number;
  /** What a run costs by itself, in units of what it runs: reading the weights, a message. */
  readonly runUnits: number;
}

/** What a process found out about the model, which holds for the next one. */
export interface Warmed extends RunCosts {
  /** Nothing that was run needed more memory than these. */
  readonly largestShapes: readonly RunShape[];
}

/** What a loaded model does and how its work is batched. */
export interface Serving extends Warmed {
  readonly taskTypes: readonly TaskType[];
  /** All that a classifier can answer; undefined for a model that takes labels, or has none. */
  readonly labels?: readonly string[] | undefined;
  readonly maxItems: number;
  /** Runs may overlap; see {@link Pipeline}. */
  readonly overlaps: boolean;
  /** Units of an item that cost something. */
  readonly maxLength: number;
  /** Of a model that takes tensors. */
  readonly contract?: TensorConfig | undefined;
  /** What the graph runs on. */
  readonly provider: ExecutionProvider;
  /** Why it does not run on what was asked for. */
  readonly fallbackReason?: string | undefined;
}

/** The stack and the cause stay behind: a cause may quote the input. */
export interface FailureMessage {
  readonly code: PipelineFailure["code"] | "Internal";
  readonly message: string;
  readonly final: boolean;
}
