import type { ItemOutput, TaskType, WorkSpec } from "@autoglm/api";
import { PipelineFailure } from "./failure.ts";

/** A tensor of the runtime; `data` is row-major. Outputs may be fed back in as they are. */
export interface Tensor {
  readonly dims: readonly number[];
  readonly data: unknown;
}

/** A loaded graph; the port that keeps the runtime out of the pipelines. */
export interface Session {
  int64(ids: ArrayLike<number>, dims: readonly number[]): Tensor;
  int32(values: ArrayLike<number>, dims: readonly number[]): Tensor;
  float32(values: Float32Array, dims: readonly number[]): Tensor;
  run(feeds: Readonly<Record<string, Tensor>>): Promise<Readonly<Record<string, Tensor>>>;
}

export type Parameters = WorkSpec["parameters"];

export interface PipelineItem {
  readonly text: string;
  readonly parameters: Parameters;
}

export type PipelineResult =
  | { readonly output: ItemOutput }
  | { readonly error: { readonly code: "ItemInvalid" | "ItemTooLong"; readonly message: string } };

/** Text in, structured result out: tokenizing, the graph, and what comes after it. */
export interface Pipeline {
  readonly taskType: TaskType;
  readonly batching: {
    /** Most items of one run; 1 where rows can't share a run. */
    readonly maxItems: number;
    /** UTF-16 units of an item that cost something; what is beyond is cut off or refused before the graph. */
    readonly maxLength: number;
  };
  /**
   * One result per item, in order; an item that can't be answered has an error.
   * @param onProgress called when a long run has come further, so that it is not taken for hung
   */
  run(items: readonly PipelineItem[], onProgress: () => void): Promise<readonly PipelineResult[]>;
}

/** What stands in `pipeline.json` beside the graph, checked by the pipeline that it names. */
export interface PipelineFiles {
  readonly config: unknown;
  readonly contextLength: number;
  /** Parses another JSON file of the model. */
  readonly readJson: (name: string) => Promise<unknown>;
}

export const EMPTY_TEXT: PipelineResult = {
  error: { code: "ItemInvalid", message: "empty text" },
};

/** The floats of an output. @throws PipelineFailure for a graph with other outputs */
export function floatsOf(outputs: Readonly<Record<string, Tensor>>, name: string): Float32Array {
  const data = outputs[name]?.data;
  if (data instanceof Float32Array) return data;
  throw new PipelineFailure("ModelLoadFailed", `the model has no float32 output ${name}`, { final: true });
}

/** Six decimals: what float32 sums of another batch composition still agree on. */
export function roundScore(score: number): number {
  return Math.min(1, Math.max(0, Math.round(score * 1e6) / 1e6));
}
