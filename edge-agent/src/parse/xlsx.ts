/** Excel workbooks: every sheet is a table of its own. */
import { Parser } from "htmlparser2";
import readXlsxFile from "read-excel-file/node";
import yauzl from "yauzl";
import type { Row } from "./items.ts";
import { tableRecords } from "./tables.ts";
import type { RowGroup } from "./worker-protocol.ts";

/** A merge over a whole column of a million rows names one value, not a million. */
const MAX_FILLED_CELLS = 1_000_000;
/** Rows that a merge may add below the last one with a value of its own. */
const MAX_ADDED_ROWS = 1000;

interface CellRange {
  readonly top: number;
  readonly left: number;
  readonly bottom: number;
  readonly right: number;
}

/**
 * Rows of each sheet that has any, in the order of the workbook. A merged cell's value counts for all cells that it
 * covers, as readers see it; dates are ISO 8601; formulas count with the value that was saved.
 * @param bytes a whole workbook whose size unpacked was checked
 */
export async function* readXlsx(bytes: Uint8Array): AsyncGenerator<RowGroup> {
  const buffer = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const merges = await readMerges(buffer);
  for (const { sheet, data } of await readXlsxFile(buffer)) {
    const cells = (data as readonly (readonly unknown[])[]).map((row) => row.map(cellText));
    fillMerged(cells, merges.get(sheet) ?? []);
    yield { group: sheet, rows: rowsOf(cells, sheet) };
  }
}

function* rowsOf(cells: readonly (readonly string[])[], sheet: string): Generator<Row> {
  for (const { value, number } of tableRecords(cells))
    yield { value, place: `sheet ${sheet}, row ${number}` };
}

function cellText(value: unknown): string {
  if (typeof value === "string") return value;
  if (typeof value === "number" || typeof value === "boolean") return String(value);
  if (!(value instanceof Date)) return "";
  if (Number.isNaN(value.getTime())) return "";
  const [day = "", time = ""] = value.toISOString().split("T");
  return time.startsWith("00:00:00") ? day : `${day} ${time.slice(0, 8)}`;
}

function fillMerged(cells: string[][], ranges: readonly CellRange[]): void {
  let left = MAX_FILLED_CELLS;
  for (const range of ranges) {
    const value = cells[range.top]?.[range.left];
    if (value === undefined || value === "") continue;
    const width = cells[range.top]?.length ?? 0;
    if (range.bottom < cells.length + MAX_ADDED_ROWS) {
      while (cells.length <= range.bottom) cells.push(Array<string>(width).fill(""));
    }
    for (const row of cells.slice(range.top, range.bottom + 1)) {
      for (
        let column = range.left;
        column <= range.right && column < row.length && left > 0;
        column++, left--
      ) {
        row[column] = value;
      }
    }
  }
}

/** Merged ranges by the name of their sheet; read-excel-file does not give them. */
async function readMerges(workbook: Buffer): Promise<ReadonlyMap<string, readonly CellRange[]>> {
  const zip = await yauzl.fromBufferPromise(workbook, { decodeStrings: false, autoClose: false });
  const parts = new Map<string, () => Promise<Buffer>>();
  for await (const entry of zip.eachEntry()) {
    parts.set(entry.fileNameRaw.toString("utf8"), async () => {
      const chunks: Uint8Array[] = [];
      for await (const chunk of await zip.openReadStreamPromise(entry)) chunks.push(chunk as Uint8Array);
      return Buffer.concat(chunks);
    });
  }
  const read = async (name: string) => (await parts.get(name)?.()) ?? Buffer.alloc(0);
  const targets = new Map<string, string>();
  eachElement(await read("xl/_rels/workbook.xml.rels"), (name, { Id, Target }) => {
    if (name === "Relationship" && Id !== undefined && Target !== undefined) {
      targets.set(Id, Target.startsWith("/") ? Target.slice(1) : `xl/${Target}`);
    }
  });
  const sheets: { name: string; part: string }[] = [];
  eachElement(await read("xl/workbook.xml"), (element, { name, "r:id": id }) => {
    const part = targets.get(id ?? "");
    if (element === "sheet" && name !== undefined && part !== undefined) sheets.push({ name, part });
  });
  const merges = new Map<string, readonly CellRange[]>();
  for (const { name, part } of sheets) {
    const ranges: CellRange[] = [];
    eachElement(await read(part), (element, { ref }) => {
      const range = element === "mergeCell" ? parseRange(ref) : undefined;
      if (range !== undefined) ranges.push(range);
    });
    merges.set(name, ranges);
  }
  return merges;
}

function eachElement(
  xml: Buffer,
  visit: (name: string, attributes: Readonly<Record<string, string | undefined>>) => void,
): void {
  const parser = new Parser(
    { onopentag: (name, attributes) => visit(name.replace(/^x:/, ""), attributes) },
    { xmlMode: true },
  );
  parser.end(xml.toString("utf8"));
}

function parseRange(ref: string | undefined): CellRange | undefined {
  const match = /^([A-Z]{1,3})(\d{1,7}):([A-Z]{1,3})(\d{1,7})$/.exec(ref ?? "");
  if (match === null) return undefined;
  const [, left = "", top = "", right = "", bottom = ""] = match;
  return { top: Number(top) - 1, left: columnOf(left), bottom: Number(bottom) - 1, right: columnOf(right) };
}

const columnOf = (letters: string) =>
  Array.from(letters).reduce((sum, letter) => sum * 26 + letter.charCodeAt(0) - 64, 0) - 1;
