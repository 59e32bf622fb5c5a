import { AutoglmError } from "@autoglm/api";

/**
 * item: by item number, one result per item, the final one where there is one. accepted: in the order in which
 * results were accepted, so that a reader who follows a run misses nothing and gets nothing twice.
 */
export type ResultOrder = "item" | "accepted";

/** Where a reader is. It names its run, so that it stays there when the next run of the task begins. */
export interface Cursor {
  readonly order: ResultOrder;
  readonly run: number;
  /** Item or acceptance number of the next result. */
  readonly next: number;
}

const LETTERS = { item: "i", accepted: "a" } as const satisfies Record<ResultOrder, string>;

export function formatCursor({ order, run, next }: Cursor): string {
  return `${LETTERS[order]}${run}.${next}`;
}

/** @throws AutoglmError `InvalidOption` */
export function parseCursor(text: string): Cursor {
  const match = /^([ia])(\d{1,15})\.(\d{1,15})$/.exec(text);
  if (match === null) {
    throw new AutoglmError("InvalidOption", `"${text.slice(0, 40)}" is no cursor of a result page`);
  }
  return {
    order: match[1] === LETTERS.item ? "item" : "accepted",
    run: Number(match[2]),
    next: Number(match[3]),
  };
}
