/**
 * Between the agent's thread and the one that parses documents which are read whole.
 *
 *     agent ──open──▶ worker ──rows──▶ agent ──more──▶ worker ──rows──▶ … ──end | failed──▶ agent
 *
 * The worker waits for `more` before it parses on, so neither side ever holds more than a batch.
 */
import type { ErrorCode } from "@autoglm/api";
import type { Row } from "./items.ts";
import type { ValueFormat } from "./values.ts";

export type WholeFormat = ValueFormat | "xlsx" | "parquet" | "pdf" | "docx";

export interface OpenDocument {
  readonly kind: "open";
  readonly format: WholeFormat;
  readonly at:
    | { readonly fd: number; readonly size: number }
    | { readonly bytes: Uint8Array }
    | { readonly text: string };
  readonly maxItemBytes: number;
  /** pdf: a page without text gives its image. */
  readonly wantsImages: boolean;
}

export type ToWorker = OpenDocument | { readonly kind: "more" };

export type FromWorker =
  /** Rows of one group (a sheet), which has its own columns; "" where there is only one. */
  | { readonly kind: "rows"; readonly group: string; readonly rows: readonly Row[] }
  | { readonly kind: "end" }
  | { readonly kind: "failed"; readonly code: ErrorCode; readonly message: string };

/** Rows of one group as a reader in the worker gives them. */
export interface RowGroup {
  readonly group: string;
  readonly rows: Iterable<Row> | AsyncIterable<Row>;
}
