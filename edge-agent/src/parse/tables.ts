/** Tables of cells as spreadsheets have them: any shape, a title above, blank rows between. */
import { isHeader } from "./fields.ts";

/** Twenty rows of a quarter of a million cells each would be a gigabyte of records. */
export const MAX_COLUMNS = 4096;
/** Rows at the top among which the names of the columns are looked for. */
const HEADER_ROWS = 10;

export interface TableRow {
  readonly value: Readonly<Record<string, string>>;
  /** Of the row in its sheet, from 1. */
  readonly number: number;
}

/**
 * Records of a sheet. The first row that can only be names of columns, and that is as wide as what follows, names them;
 * rows above it are titles. Without one the columns are numbered from 1. Blank rows are no records.
 * @param rows cells as text, "" where there is nothing
 */
export function* tableRecords(rows: readonly (readonly string[])[]): Generator<TableRow> {
  const filled = rows.flatMap((cells, index) =>
    cells.some((cell) => cell.trim() !== "") ? [{ cells, number: index + 1 }] : [],
  );
  const at = headerIndex(filled.map(({ cells }) => cells));
  const width = Math.min(
    MAX_COLUMNS,
    Math.max(0, ...filled.slice(0, 1000).map(({ cells }) => usedWidth(cells))),
  );
  const header = at === undefined ? undefined : filled[at]?.cells.map((cell) => cell.trim());
  const names = Array.from({ length: width }, (_, index) => header?.[index] || String(index + 1));
  for (const { cells, number } of filled.slice(at === undefined ? 0 : at + 1)) {
    yield { value: Object.fromEntries(names.map((name, index) => [name, cells[index] ?? ""])), number };
  }
}

function headerIndex(rows: readonly (readonly string[])[]): number | undefined {
  const widest = Math.max(0, ...rows.slice(0, 50).map(usedWidth));
  const found = rows.slice(0, HEADER_ROWS).findIndex((cells) => {
    const used = cells.slice(0, usedWidth(cells)).map((cell) => cell.trim());
    return (
      isHeader(used) && (used.length >= Math.max(2, widest / 2) || (used.length === widest && widest === 1))
    );
  });
  return found < 0 || found === rows.length - 1 ? undefined : found;
}

const usedWidth = (cells: readonly string[]) => cells.findLastIndex((cell) => cell.trim() !== "") + 1;
