/** Archives: each file in them is a document of its own, and what is wrong with it is its own. */
import path from "node:path/posix";
import type { InputFormat } from "@autoglm/api";
import { MAX_SPOOL_BYTES, randomAccess } from "./bytes.ts";
import type { ParseContext } from "./context.ts";
import { placed, refuse, type ByteSource, type Content, type Media } from "./items.ts";
import { readImage } from "./media.ts";
import { sniffBytes } from "./sniff.ts";
import { readTar } from "./tar.ts";
import { readWhole } from "./whole-document.ts";
import { checkOffice, openZip, type Member, type Zip } from "./zip.ts";

/** The table of a data set of images, as Hugging Face's image folders have it: one record for each image. */
const IMAGE_TABLE = /(^|\/)metadata\.(csv|tsv|jsonl)$/i;

type ReadDocument = (source: ByteSource, context: ParseContext) => AsyncGenerator<Content>;

export async function* readArchive(
  kind: "zip" | "tar" | "gzip",
  source: ByteSource,
  context: ParseContext,
  readDocument: ReadDocument,
): AsyncGenerator<Content> {
  switch (kind) {
    case "gzip":
      yield* readDocument(
        context.budget.gunzip(source),
        context.inner(context.name, { format: context.format }),
      );
      return;
    case "tar":
      checkFormat(context, "tar", "a tar archive");
      for await (const member of readTar(source)) yield* readMember(member, context, readDocument);
      return;
    case "zip":
      yield* readZip(source, context, readDocument);
      return;
    default:
      kind satisfies never;
  }
}

async function* readZip(
  source: ByteSource,
  context: ParseContext,
  readDocument: ReadDocument,
): AsyncGenerator<Content> {
  const access = await randomAccess(source, {
    what: "a zip archive",
    limit: MAX_SPOOL_BYTES,
    inPlace: Infinity,
  });
  try {
    const zip = await openZip(access, context.budget);
    const { kind } = zip;
    if (typeof kind === "object") {
      throw refuse("InputFormatNotRecognised", `it is ${kind.unsupported}, which is not read; ${kind.mend}`);
    }
    if (kind !== "archive") {
      checkFormat(context, kind, `a ${kind} document`);
      await checkOffice(zip);
      yield* readWhole(kind, spooled(access), context);
      return;
    }
    checkFormat(context, "zip", "a zip archive");
    const table = imageTable(zip, context);
    if (table !== undefined) yield* readMember(table, context, readDocument, imagesBeside(table, zip));
    else for (const member of zip.members) yield* readMember(member, context, readDocument);
  } finally {
    await access.close();
  }
}

/** A declared text or image may come packed; an office document is what it is. */
function checkFormat({ format }: ParseContext, kind: InputFormat, found: string): void {
  const isOffice = kind === "docx" || kind === "xlsx";
  const wantsOffice = format === "docx" || format === "xlsx";
  if (format === "auto" || format === kind || (!isOffice && !wantsOffice)) return;
  throw refuse("InputFormatNotRecognised", `it is ${found}, not ${format}; set inputFormat to auto`);
}

/** What was spooled once is read where it is. */
function spooled(access: {
  readonly at: { readonly fd: number; readonly size: number } | { readonly bytes: Uint8Array };
}): ByteSource {
  const { at } = access;
  async function* bytes(): AsyncGenerator<Uint8Array> {
    if ("bytes" in at) yield at.bytes;
  }
  return "fd" in at ? Object.assign(bytes(), { file: at }) : bytes();
}

async function* readMember(
  member: Member,
  context: ParseContext,
  readDocument: ReadDocument,
  image?: (path: string) => Promise<Media | undefined>,
): AsyncGenerator<Content> {
  // A place holder that keeps an empty folder is no document.
  if (member.size === 0) return;
  let name = context.name === "" ? member.name : `${context.name}/${member.name}`;
  try {
    const declared = context.format === "zip" || context.format === "tar" ? "auto" : context.format;
    const inner = context.inner(name, { format: declared, ...(image && { image }) });
    name = inner.name;
    if (member.refusal !== undefined) throw refuse("ItemInvalid", member.refusal);
    yield* readDocument(member.open(), inner);
  } catch (error) {
    const problem = context.watch.problemOf(error);
    if (problem === undefined) throw error;
    yield { error: placed(name, "", problem) };
    // One bomb is an item; a thousand of them are an input that has to end.
    context.budget.check();
  }
}

function imageTable({ members }: Zip, { options, format }: ParseContext): Member | undefined {
  if (options.media !== "image" || (format !== "auto" && format !== "zip")) return undefined;
  return members.find(({ name, refusal }) => refusal === undefined && IMAGE_TABLE.test(name));
}

function imagesBeside(table: Member, { members }: Zip): (name: string) => Promise<Media | undefined> {
  const byName = new Map(members.map((member) => [member.name, member]));
  const folder = path.dirname(table.name);
  return async (name) => {
    const member = byName.get(path.join(folder, name)) ?? byName.get(path.normalize(name));
    if (member === undefined || member.refusal !== undefined) return undefined;
    return readImage(member.open(), (head) => {
      const kind = sniffBytes(head);
      return kind?.kind === "media" ? kind.type : undefined;
    });
  };
}
