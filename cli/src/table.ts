import stringWidth from "string-width";
import { printable } from "./printable.ts";

/** meta.k8s.io/v1 Table, as the API server makes it from the printer columns: the same that kubectl shows. */
export interface ServerTable {
  readonly kind: string;
  readonly columnDefinitions: readonly { readonly name: string; readonly priority: number }[];
  /** null when Go encoded an empty list. */
  readonly rows: readonly ServerTableRow[] | null;
}
interface ServerTableRow {
  readonly cells: readonly unknown[];
  readonly object: { readonly metadata: { readonly name: string; readonly namespace?: string } };
}

const GAP = "   ";

/** Columns padded to the width that a terminal gives them, where Chinese characters take two cells. */
export function renderColumns(table: readonly (readonly string[])[]): string {
  const rows = table.map((row) => row.map(printable));
  const widths: number[] = [];
  for (const row of rows) {
    for (const [column, cell] of row.entries()) {
      widths[column] = Math.max(widths[column] ?? 0, stringWidth(cell));
    }
  }
  const pad = (cell: string, column: number) => cell + " ".repeat((widths[column] ?? 0) - stringWidth(cell));
  return rows.map((row) => `${row.map(pad).join(GAP).trimEnd()}\n`).join("");
}

export function renderServerTable(
  { columnDefinitions, rows }: ServerTable,
  options: { readonly isWide: boolean; readonly hasNamespace: boolean },
): string {
  const shown = [...columnDefinitions.entries()].filter(
    ([, { priority }]) => options.isWide || priority === 0,
  );
  const header = shown.map(([, { name }]) => name.toUpperCase());
  const lines = (rows ?? []).map(({ cells, object }) => [
    ...(options.hasNamespace ? [object.metadata.namespace ?? ""] : []),
    ...shown.map(([index]) => cellText(cells[index])),
  ]);
  return renderColumns([[...(options.hasNamespace ? ["NAMESPACE"] : []), ...header], ...lines]);
}

function cellText(cell: unknown): string {
  const text =
    typeof cell === "string" ? cell : cell === null || cell === undefined ? "" : JSON.stringify(cell);
  return text.split("\n", 1)[0] ?? "";
}
