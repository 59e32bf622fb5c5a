import type { AutoglmError } from "@autoglm/api";
import type { PipelineItem, PipelineResult } from "../pipelines/pipeline.ts";
import type { StreamedText } from "./streamed-text.ts";

/** Rank of items of tasks: behind every online request. */
export const TASK_RANK = 1_000_000;
/** Rank of an online request that names no priority. */
export const DEFAULT_RANK = 1000;

/** Who waits for an item's answer. */
export interface ItemOwner {
  /** Nobody waits any more: the item may be dropped. */
  readonly over: boolean;
  /** @param ms share of the item in the time of its run */
  settle(result: PipelineResult, ms: number): void;
  /** No result can be had, now or at all. */
  fail(error: AutoglmError): void;
  /** Text as it is decoded. */
  readonly onToken?: ((text: string) => void) | undefined;
}

export interface QueuedItem {
  /** Counted over all models: the order of arrival. */
  readonly sequence: number;
  /** Smaller ranks go first. */
  readonly rank: number;
  readonly item: PipelineItem;
  /** Units that cost something, at least 1. */
  readonly length: number;
  /** Rows that it takes of a run: more than 1 for a request that is a batch already. */
  readonly rows: number;
  /** It was in a run that failed; see {@link ServedModel}. */
  readonly alone: boolean;
  /** On the clock of `performance.now()`; an item that is not at work by then is dropped. */
  readonly deadline: number;
  readonly owner: ItemOwner;
  /** What the owner has read of its text; undefined where it does not read along. */
  readonly streamed: StreamedText | undefined;
}
