/** Parquet files, one row group at a time. */
import { brotliDecompressSync, gunzipSync, zstdDecompressSync } from "node:zlib";
import {
  parquetMetadataAsync,
  parquetReadObjects,
  snappyUncompress,
  type AsyncBuffer,
  type Compressors,
  type RowGroup,
} from "hyparquet";
import { refuse, type Row } from "./items.ts";
import { sniffBytes } from "./sniff.ts";
import { shallow } from "./values.ts";

/** A row group is unpacked as a whole. Writers make them of 128 MiB at most unless told otherwise. */
const MAX_GROUP_BYTES = 256 * 1024 * 1024;
const MAX_FOOTER_BYTES = 16 * 1024 * 1024;
/** Of all columns of a row group: a value takes a place of 8 bytes in its row, and the thread's heap has 512 MiB. */
const MAX_GROUP_VALUES = 64 * 1024 * 1024;

/** @param slice bytes of the file; it may be of any size, as only a row group is read at once */
export async function* readParquet(
  slice: (start: number, end: number) => Uint8Array,
  { size, wantsImages }: { readonly size: number; readonly wantsImages: boolean },
): AsyncGenerator<Row> {
  const file: AsyncBuffer = {
    byteLength: size,
    slice: (start, end = size) => {
      const from = start < 0 ? size + start : start;
      return Uint8Array.from(slice(from, Math.min(end, size))).buffer;
    },
  };
  checkFooter(slice, size);
  const metadata = await parquetMetadataAsync(file);
  let rowStart = 0;
  for (const [index, group] of metadata.row_groups.entries()) {
    if (group.total_byte_size > BigInt(MAX_GROUP_BYTES)) {
      throw refuse(
        "InputTooLarge",
        `row group ${index + 1} of the parquet file unpacks to more than ${MAX_GROUP_BYTES / 1024 ** 2} MiB; write smaller row groups`,
      );
    }
    if (valuesOf(group) > MAX_GROUP_VALUES) {
      throw refuse(
        "InputTooLarge",
        `row group ${index + 1} of the parquet file has more than ${MAX_GROUP_VALUES} values; write smaller row groups`,
      );
    }
    const rowEnd = rowStart + Number(group.num_rows);
    const rows = await readGroup({ file, metadata, rowStart, rowEnd }, index);
    for (const [offset, row] of rows.entries()) {
      const place = `row ${rowStart + offset + 1}`;
      yield (wantsImages ? imageOf(row, place) : undefined) ?? recordOf(row, place);
    }
    rowStart = rowEnd;
  }
}

/**
 * As the footer declares them: packed they may take next to nothing. Pages that hold more than is declared are stopped by the
 * thread's limits.
 */
function valuesOf({ num_rows, columns }: RowGroup): number {
  const ofColumns = columns.reduce((sum, { meta_data }) => sum + Number(meta_data?.num_values ?? 0), 0);
  return Math.max(Number(num_rows), ofColumns);
}

function checkFooter(slice: (start: number, end: number) => Uint8Array, size: number): void {
  const tail = size < 12 ? Buffer.alloc(8) : Buffer.from(slice(size - 8, size));
  const length = tail.readUInt32LE(0);
  if (tail.toString("latin1", 4) === "PARE") {
    throw refuse("ItemInvalid", "the parquet file is encrypted; write it without encryption");
  }
  if (tail.toString("latin1", 4) !== "PAR1" || length > size - 12 || length > MAX_FOOTER_BYTES) {
    throw refuse(
      "ItemInvalid",
      "the parquet file is cut off or damaged: its footer is missing; copy or write it again",
    );
  }
}

async function readGroup(
  options: Pick<Parameters<typeof parquetReadObjects>[0], "file" | "metadata" | "rowStart" | "rowEnd">,
  index: number,
): Promise<Record<string, unknown>[]> {
  try {
    // Not all writers mark texts as such, and images are never text: bytes are told apart here.
    return await parquetReadObjects({ ...options, compressors: COMPRESSORS, utf8: false });
  } catch (error) {
    throw refuse(
      "ItemInvalid",
      `row group ${index + 1} of the parquet file is damaged, or packed in a way that is not known here; write it again with snappy or zstd`,
      error,
    );
  }
}

const bounded = (outputLength: number): number => {
  if (outputLength > MAX_GROUP_BYTES) throw new Error("a page is larger than its row group may be");
  // zlib takes no limit of 0, which pages of nulls have.
  return Math.max(1, outputLength);
};

const COMPRESSORS: Compressors = {
  SNAPPY: (input, outputLength) => {
    bounded(outputLength);
    const output = new Uint8Array(outputLength);
    snappyUncompress(input, output);
    return output;
  },
  GZIP: (input, outputLength) => gunzipSync(input, { maxOutputLength: bounded(outputLength) }),
  BROTLI: (input, outputLength) => brotliDecompressSync(input, { maxOutputLength: bounded(outputLength) }),
  ZSTD: (input, outputLength) => zstdDecompressSync(input, { maxOutputLength: bounded(outputLength) }),
};

/** The image that a record holds, as data sets of images do: `{bytes, path}`. */
function imageOf(record: Record<string, unknown>, place: string): Row | undefined {
  for (const value of Object.values(record)) {
    const bytes = typeof value === "object" && value !== null && "bytes" in value ? value.bytes : value;
    const kind = bytes instanceof Uint8Array ? sniffBytes(bytes) : undefined;
    if (kind?.kind === "media" && bytes instanceof Uint8Array) {
      return { media: { type: kind.type, bytes: Uint8Array.from(bytes) }, place };
    }
  }
  return undefined;
}

function recordOf(record: Record<string, unknown>, place: string): Row {
  const plain = Object.fromEntries(Object.entries(record).map(([name, value]) => [name, plainValue(value)]));
  return { value: shallow(plain), place };
}

function plainValue(value: unknown): unknown {
  if (value instanceof Date) return value.toISOString();
  if (typeof value === "bigint") return String(value);
  if (!(value instanceof Uint8Array)) return value;
  try {
    return new TextDecoder("utf-8", { fatal: true }).decode(value);
  } catch {
    return {};
  }
}
