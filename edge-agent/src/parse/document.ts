/**
 * A document of any known format, bytes to items:
 *
 *     bytes ─signature─▶ media ─────────────────────────────────────────▶ item
 *                      ▶ zip, tar, gzip ─members─▶ bytes (again)
 *                      ▶ xlsx, parquet, pdf, docx ─worker thread─▶ rows ─▶ items
 *                      ▶ text ─charset, sample─▶ format ─▶ rows ─▶ the field that holds the text ─▶ items
 *
 * Numbers depend on the content alone, so that work resumes at the same item after a restart: every non-blank line, row,
 * element, page or block has one, broken ones too, in the order of the document, and members in that of their archive.
 * Memory is bounded by a chunk, a sample and an item for what streams (text, csv, jsonl, html, markdown, archives), and by
 * a limit for what has to be there as a whole, which a thread of its own reads.
 *
 * What is wrong with a part is an error of one item. So is a document that is recognised and broken: it ends with an item
 * that says so. What is wrong from the start (nothing recognised, no such field, nothing in it) is thrown.
 */
import { AutoglmError } from "@autoglm/api";
import { readArchive } from "./archives.ts";
import { peekBytes } from "./bytes.ts";
import { ParseContext, type ParseOptions } from "./context.ts";
import { invalid, placed, refuse, type ByteSource, type Content, type ParsedItem } from "./items.ts";
import { readMedia } from "./media.ts";
import { SNIFF_BYTES, sniffBytes, type BinaryKind } from "./sniff.ts";
import { readText } from "./text-document.ts";
import { readWhole } from "./whole-document.ts";

const BINARY_FORMATS: ReadonlySet<string> = new Set([
  "xlsx",
  "parquet",
  "pdf",
  "docx",
  "image",
  "audio",
  "zip",
  "tar",
]);

/**
 * Streams items out of a document.
 * @throws AutoglmError `InputFormatNotRecognised`, `InputFieldNotFound`, `InputEmpty`, `InputTooLarge`
 */
export async function* parseDocument(source: ByteSource, options: ParseOptions): AsyncGenerator<ParsedItem> {
  const context = ParseContext.of(options);
  let item = 0;
  try {
    for await (const content of readDocument(context.watch.watched(source), context))
      yield { item: item++, ...judged(content, context) };
    if (item === 0) throw refuse("InputEmpty", "the input has no items");
  } catch (error) {
    const problem = context.watch.problemOf(error);
    if (problem === undefined) throw error;
    const { code, message } = placed(context.name, "", problem);
    if (item === 0 && code !== "ItemInvalid")
      throw new AutoglmError(code, message, { details: problem.details, cause: error });
    yield { item, error: { code, message } };
  } finally {
    await context.worker.close();
  }
}

/** A task on images has no use for texts, and says so before it loads anything for them. */
function judged(content: Content, { name, options: { media } }: ParseContext): Content {
  if (media === undefined || "error" in content || content.media !== undefined) return content;
  const what = media === "image" ? "images" : "recordings";
  return {
    error: placed(name, "", invalid(`it is text, and the task takes ${what}; use a type that takes text`)),
  };
}

async function* readDocument(source: ByteSource, context: ParseContext): AsyncGenerator<Content> {
  const { head, source: all, close } = await peekBytes(source, SNIFF_BYTES);
  try {
    const kind = sniffBytes(head);
    checkDeclared(kind, context);
    yield* kind === undefined ? readText(all, context) : readBinary(kind, all, context);
  } finally {
    await close();
  }
}

/** A declared format is taken at its word, except where the bytes can't be of it. Archives of it are good too. */
function checkDeclared(kind: BinaryKind | undefined, { format }: ParseContext): void {
  if (format === "auto" || kind?.kind === "gzip" || kind?.kind === "zip" || kind?.kind === "tar") return;
  if (kind?.kind === "unsupported") return;
  const found = kind?.kind === "media" ? kind.type.split("/")[0] : kind?.kind;
  const fits = kind === undefined ? !BINARY_FORMATS.has(format) : found === format;
  if (fits) return;
  throw refuse(
    "InputFormatNotRecognised",
    `its bytes are ${found ?? "text"}, not ${format}; set inputFormat to auto`,
  );
}

async function* readBinary(
  kind: BinaryKind,
  source: ByteSource,
  context: ParseContext,
): AsyncGenerator<Content> {
  switch (kind.kind) {
    case "media":
      yield await readMedia(source, kind.type, context);
      return;
    case "unsupported":
      throw refuse("InputFormatNotRecognised", `it is ${kind.what}, which is not read; ${kind.mend}`);
    case "pdf":
      yield* readWhole("pdf", source, context);
      return;
    case "parquet":
      yield* readWhole("parquet", source, context);
      return;
    case "zip":
    case "gzip":
    case "tar":
      yield* readArchive(kind.kind, source, context, readDocument);
      return;
    default:
      kind satisfies never;
  }
}
