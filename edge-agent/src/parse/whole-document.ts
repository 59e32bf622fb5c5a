/** Documents that a thread of its own reads as a whole, and what becomes of its rows. */
import { isAutoglmError, type AutoglmError } from "@autoglm/api";
import { randomAccess } from "./bytes.ts";
import type { ParseContext } from "./context.ts";
import type { DocumentRequest } from "./document-worker.ts";
import { invalid, placed, tooLong, type ByteSource, type Content, type Row } from "./items.ts";
import { takeTexts } from "./take-texts.ts";
import type { WholeFormat } from "./worker-protocol.ts";

/** Of a pdf, xlsx or docx. */
const MAX_WHOLE_BYTES = 64 * 1024 * 1024;
/** Parquet that is no local file is copied to a spool file first. */
const MAX_PARQUET_SPOOL_BYTES = 2 * 1024 ** 3;

/** @throws AutoglmError `InputTooLarge`, `InputFieldNotFound`, `ItemInvalid` for what is broken */
export async function* readWhole(
  format: Exclude<WholeFormat, "json" | "yaml" | "xml">,
  source: ByteSource,
  context: ParseContext,
): AsyncGenerator<Content> {
  const isLarge = format === "parquet";
  const access = await randomAccess(source, {
    what: `a ${format} document`,
    limit: isLarge ? MAX_PARQUET_SPOOL_BYTES : MAX_WHOLE_BYTES,
    inPlace: isLarge ? Infinity : MAX_WHOLE_BYTES,
  });
  try {
    const { maxItemBytes, options } = context;
    yield* fromWorker(
      { format, at: access.at, maxItemBytes, wantsImages: options.media === "image" },
      context,
    );
  } finally {
    await access.close();
  }
}

/** Each group of rows has its own columns, so its own choice of the field; a group without one fails alone. */
export async function* fromWorker(request: DocumentRequest, context: ParseContext): AsyncGenerator<Content> {
  const batches = context.worker.parse(request);
  try {
    let next = await batches.next();
    // Asked anew: the rows move it on.
    const isOver = () => next.done === true;
    let groups = 0;
    const problems: AutoglmError[] = [];
    while (next.done !== true) {
      const { group } = next.value;
      groups++;
      async function* rows(): AsyncGenerator<Row> {
        for (; next.done !== true && next.value.group === group; next = await batches.next())
          yield* next.value.rows;
      }
      const isProse = request.format === "pdf" || request.format === "docx";
      try {
        const texts =
          isProse && context.options.unit === "document" ? oneText(rows(), context.maxItemBytes) : rows();
        yield* takeTexts(texts, {
          ...context.options,
          name: context.name,
          image: context.image,
          maxItemBytes: context.maxItemBytes,
        });
      } catch (error) {
        if (!isAutoglmError(error) || error.code !== "InputFieldNotFound") throw error;
        problems.push(error);
        for await (const _ of rows());
        if (groups > 1 || !isOver()) {
          yield { error: placed(context.name, `sheet ${group}`, invalid(error.message)) };
        }
      }
    }
    const [problem] = problems;
    if (groups === 1 && problem !== undefined) throw problem;
  } finally {
    await batches.return(undefined);
  }
}

/** All texts as one; what is broken stays an item of its own. */
export async function* oneText(rows: AsyncGenerator<Row>, maxItemBytes: number): AsyncGenerator<Row> {
  const texts: string[] = [];
  let length = 0;
  let place: string | undefined;
  for await (const row of rows) {
    if (!("value" in row)) {
      yield row;
      continue;
    }
    place ??= row.place;
    length += String(row.value).length + 1;
    // The count goes on without the texts: the document is too long whatever follows.
    if (length > maxItemBytes) texts.length = 0;
    else texts.push(String(row.value));
  }
  if (place === undefined) return;
  yield length > maxItemBytes
    ? { error: tooLong(maxItemBytes), place: "" }
    : { value: texts.join("\n"), place: "" };
}
