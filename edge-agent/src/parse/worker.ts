/**
 * Entry of the thread that parses whole documents: what would hold the agent's event loop for seconds, and what a hostile
 * document may make endless or huge, ends with this thread alone.
 */
import { readSync } from "node:fs";
import { parentPort } from "node:worker_threads";
import { isAutoglmError, type ErrorCode } from "@autoglm/api";
import type { Row } from "./items.ts";
import { readValues, shallow } from "./values.ts";
import type { FromWorker, OpenDocument, RowGroup, ToWorker } from "./worker-protocol.ts";

/** A batch ends with either. */
const BATCH_ROWS = 256;
const BATCH_LENGTH = 1024 * 1024;
const READ_BYTES = 1024 * 1024;

const port = parentPort;
if (port === null) throw new Error("worker.ts is the entry of a worker thread");

let more = Promise.withResolvers<void>();
port.on("message", (message: ToWorker) => {
  if (message.kind === "more") more.resolve();
  else void parse(message);
});

async function parse(request: OpenDocument): Promise<void> {
  try {
    for await (const { group, rows } of await groupsOf(request)) {
      for await (const batch of batches(rows)) {
        more = Promise.withResolvers();
        send({ kind: "rows", group, rows: batch });
        await more.promise;
      }
    }
    send({ kind: "end" });
  } catch (error) {
    send(failureOf(error, request.format));
  }
}

const send = (message: FromWorker) => port.postMessage(message);

async function groupsOf(request: OpenDocument): Promise<Iterable<RowGroup> | AsyncIterable<RowGroup>> {
  switch (request.format) {
    case "json":
    case "yaml":
    case "xml":
      return [{ group: "", rows: elements(textOf(request), request.format) }];
    case "xlsx":
      return (await import("./xlsx.ts")).readXlsx(bytesOf(request));
    case "docx":
      return [
        {
          group: "",
          rows: await (await import("./docx.ts")).readDocx(bytesOf(request), request.maxItemBytes),
        },
      ];
    case "pdf":
      return [{ group: "", rows: (await import("./pdf.ts")).readPdf(bytesOf(request), request) }];
    case "parquet":
      return [
        {
          group: "",
          rows: (await import("./parquet.ts")).readParquet(sliceOf(request), {
            ...request,
            size: sizeOf(request),
          }),
        },
      ];
    default:
      return request.format satisfies never;
  }
}

function* elements(text: string, format: "json" | "yaml" | "xml"): Generator<Row> {
  for (const [index, value] of readValues(text, format).entries()) {
    yield { value: shallow(value), place: `element ${index + 1}` };
  }
}

async function* batches(rows: RowGroup["rows"]): AsyncGenerator<readonly Row[]> {
  let batch: Row[] = [];
  let length = 0;
  for await (const row of rows) {
    batch.push(row);
    length += lengthOf(row);
    if (batch.length < BATCH_ROWS && length < BATCH_LENGTH) continue;
    yield batch;
    batch = [];
    length = 0;
  }
  if (batch.length > 0) yield batch;
}

function lengthOf(row: Row): number {
  if ("media" in row) return row.media.bytes.length;
  if ("error" in row || typeof row.value === "number") return 16;
  if (typeof row.value === "string") return row.value.length;
  const members = typeof row.value === "object" && row.value !== null ? Object.values(row.value) : [];
  return members.reduce<number>((sum, member) => sum + (typeof member === "string" ? member.length : 16), 0);
}

function textOf({ at }: OpenDocument): string {
  if (!("text" in at)) throw new Error("the document is no text");
  return at.text;
}

function sizeOf({ at }: OpenDocument): number {
  if ("fd" in at) return at.size;
  return "bytes" in at ? at.bytes.length : 0;
}

function bytesOf(request: OpenDocument): Uint8Array {
  return sliceOf(request)(0, sizeOf(request));
}

/** Descriptors are the process's: the file that the agent opened, and checked, is read here. */
function sliceOf({ at }: OpenDocument): (start: number, end: number) => Uint8Array {
  if ("bytes" in at) return (start, end) => at.bytes.subarray(start, end);
  if (!("fd" in at)) throw new Error("the document has no bytes");
  return (start, end) => {
    const bytes = new Uint8Array(Math.max(0, end - start));
    for (let done = 0; done < bytes.length;) {
      const count = readSync(at.fd, bytes, done, Math.min(READ_BYTES, bytes.length - done), start + done);
      if (count === 0) throw new Error("the file became shorter while it was read");
      done += count;
    }
    return bytes;
  };
}

/** Messages of parsers may quote the document: they are not passed on. */
function failureOf(error: unknown, format: string): FromWorker & { readonly kind: "failed" } {
  if (isAutoglmError(error)) return { kind: "failed", code: error.code, message: error.message };
  const code: ErrorCode = "ItemInvalid";
  const isDeep = error instanceof RangeError && /call stack/i.test(error.message);
  const problem = isDeep ? "nests too deep to be read" : "is damaged, cut off or of an unknown kind";
  return {
    kind: "failed",
    code,
    message: `the ${format} document ${problem}; save it again with the program that made it`,
  };
}
