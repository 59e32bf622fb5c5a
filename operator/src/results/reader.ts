import type { DatabaseSync, StatementSync } from "node:sqlite";
import type { ItemResult, ResultRecord } from "@autoglm/api";
import type { ResultOrder } from "./cursor.ts";

/** A page ends at this much text even when its limit of results is not reached. */
const PAGE_CHARACTERS = 4 * 1024 * 1024;

const COLUMNS = "run, item, stage, sequence, epoch, node, accepted_at, ms, body";
const SELECT = {
  accepted: `SELECT ${COLUMNS} FROM results
    WHERE task = ? AND run = ? AND sequence >= ? ORDER BY sequence LIMIT ?`,
  item: `SELECT ${COLUMNS} FROM results AS r
    WHERE task = ? AND run = ? AND item >= ?
      AND (stage = 1 OR NOT EXISTS
        (SELECT 1 FROM results AS f WHERE f.task = r.task AND f.run = r.run AND f.item = r.item AND f.stage = 1))
    ORDER BY item LIMIT ?`,
} as const satisfies Record<ResultOrder, string>;

export interface PageRequest {
  readonly task: number;
  readonly run: number;
  readonly order: ResultOrder;
  /** Item or acceptance number to begin with. */
  readonly from: number;
  readonly limit: number;
}

export interface RecordPage {
  readonly records: readonly ResultRecord[];
  /** Where the next page begins. */
  readonly next: number;
  /** Whether results remain; decided by looking one further than the page. */
  readonly hasMore: boolean;
}

/** Reads results a page at a time. */
export class ResultReader {
  readonly #select: Readonly<Record<ResultOrder, StatementSync>>;

  constructor(db: DatabaseSync) {
    this.#select = { accepted: db.prepare(SELECT.accepted), item: db.prepare(SELECT.item) };
  }

  read({ task, run, order, from, limit }: PageRequest): RecordPage {
    const records: ResultRecord[] = [];
    let next = from;
    let characters = 0;
    for (const row of this.#select[order].iterate(task, run, from, limit + 1)) {
      if (records.length === limit || characters > PAGE_CHARACTERS) return { records, next, hasMore: true };
      const body = String(row["body"]);
      characters += body.length;
      records.push({
        run: Number(row["run"]),
        item: Number(row["item"]),
        stage: row["stage"] === 1 ? "final" : "provisional",
        epoch: Number(row["epoch"]),
        node: String(row["node"]),
        ms: Number(row["ms"]),
        acceptedAt: new Date(Number(row["accepted_at"])).toISOString(),
        // What the store wrote from a checked chunk.
        ...(JSON.parse(body) as Pick<ItemResult, "output" | "error">),
      });
      next = Number(row[order === "item" ? "item" : "sequence"]) + 1;
    }
    return { records, next, hasMore: false };
  }
}
