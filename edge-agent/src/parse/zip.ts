/** Zip archives, and the office formats that are zip archives of XML. */
import yauzl, { type Entry, type ZipFile } from "yauzl";
import { isAutoglmError } from "@autoglm/api";
import type { InflateBudget, RandomAccess } from "./bytes.ts";
import { refuse, type ByteSource } from "./items.ts";

export const MAX_MEMBERS = 100_000;
/** What an office document may unpack to: its reader holds all of it. */
const MAX_OFFICE_BYTES = 256 * 1024 * 1024;

export interface Member {
  readonly name: string;
  readonly size: number;
  /** Why it is not read. */
  readonly refusal?: string;
  readonly open: () => ByteSource;
}

export interface Zip {
  readonly kind: "archive" | "docx" | "xlsx" | { readonly unsupported: string; readonly mend: string };
  /** Files in the order of the archive's directory. */
  readonly members: readonly Member[];
}

/** @throws AutoglmError `ItemInvalid` when it is no whole zip archive, `InputTooLarge` for one with too many members */
export async function openZip(access: RandomAccess, budget: InflateBudget): Promise<Zip> {
  // Names are decoded and judged here: yauzl would end at the first one that leaves the archive.
  const options = { decodeStrings: false, autoClose: false } as const;
  const { at } = access;
  const members: Member[] = [];
  try {
    const zip =
      "fd" in at
        ? await yauzl.fromFdPromise(at.fd, options)
        : await yauzl.fromBufferPromise(
            Buffer.from(at.bytes.buffer, at.bytes.byteOffset, at.bytes.byteLength),
            options,
          );
    if (zip.entryCount > MAX_MEMBERS) throw tooManyMembers();
    for await (const entry of zip.eachEntry()) {
      const member = memberOf(zip, entry, budget);
      if (isFile(member.name)) members.push(member);
      if (members.length > MAX_MEMBERS) throw tooManyMembers();
    }
  } catch (error) {
    if (isAutoglmError(error)) throw error;
    throw refuse("ItemInvalid", "the zip archive is damaged or cut off; pack it again", error);
  }
  return { kind: kindOf(new Set(members.map(({ name }) => name))), members };
}

export const tooManyMembers = () =>
  refuse("InputTooLarge", `an archive may hold ${MAX_MEMBERS} files; split it into several`);

/** Folders and what systems leave behind are no documents. */
export const isFile = (name: string): boolean =>
  !name.endsWith("/") && !/(^|\/)(__MACOSX\/|\.DS_Store$|Thumbs\.db$|\._)/.test(name);

/** A member never becomes a file, but its name is shown, and records refer to images by it. */
export const nameProblem = (name: string): string | undefined =>
  yauzl.validateFileName(name) === null && !name.includes("\0")
    ? undefined
    : "its name leads out of the archive, so it is not read; pack it with a relative name";

function memberOf(zip: ZipFile, entry: Entry, budget: InflateBudget): Member {
  const name = decodeName(entry.fileNameRaw);
  const refusal =
    nameProblem(name) ??
    (entry.isEncrypted() ? "it is encrypted; pack it without a password" : undefined) ??
    (entry.canDecodeFileData() ? undefined : "its compression is neither deflate nor none; pack it again");
  return {
    name,
    size: entry.uncompressedSize,
    ...(refusal !== undefined && { refusal }),
    open: () => inflated(zip, entry, budget),
  };
}

async function* inflated(zip: ZipFile, entry: Entry, budget: InflateBudget): AsyncGenerator<Uint8Array> {
  try {
    const stream = await zip.openReadStreamPromise(entry);
    try {
      yield* budget.guard(stream, () => entry.compressedSize);
    } finally {
      stream.destroy();
    }
  } catch (error) {
    if (isAutoglmError(error)) throw error;
    throw refuse("ItemInvalid", "its data in the zip archive is damaged or cut off; pack it again", error);
  }
}

/** UTF-8, flagged or not; else the code page of Chinese Windows, which marks nothing. */
function decodeName(bytes: Buffer): string {
  let name: string;
  try {
    name = new TextDecoder("utf-8", { fatal: true }).decode(bytes);
  } catch {
    name = new TextDecoder("gb18030").decode(bytes);
  }
  return name.replaceAll("\\", "/");
}

function kindOf(names: ReadonlySet<string>): Zip["kind"] {
  if (names.has("word/document.xml")) return "docx";
  if (names.has("xl/workbook.xml")) return "xlsx";
  if (names.has("ppt/presentation.xml")) {
    return { unsupported: "a PowerPoint presentation", mend: "save it as pdf" };
  }
  if (names.has("xl/workbook.bin"))
    return { unsupported: "a binary Excel workbook (.xlsb)", mend: "save it as xlsx" };
  if (names.has("mimetype") && names.has("content.xml")) {
    return { unsupported: "an OpenDocument file", mend: "save it as docx or xlsx" };
  }
  return "archive";
}

/**
 * Reads an office document through once, before its reader unpacks it into memory.
 * @throws AutoglmError `InputTooLarge` for a bomb, `ItemInvalid` for damaged data and for XML that declares entities
 */
export async function checkOffice(zip: Zip): Promise<void> {
  let total = 0;
  for (const member of zip.members) {
    if (member.refusal !== undefined) throw refuse("ItemInvalid", `part ${member.name}: ${member.refusal}`);
    const isXml = /\.(xml|rels|vml)$/i.test(member.name);
    let tail = Buffer.alloc(0);
    for await (const chunk of member.open()) {
      total += chunk.length;
      if (total > MAX_OFFICE_BYTES) {
        throw refuse(
          "InputTooLarge",
          `the document unpacks to more than ${MAX_OFFICE_BYTES / 1024 ** 2} MiB; split it, or save it as csv or text`,
        );
      }
      if (!isXml) continue;
      const window = Buffer.concat([tail, chunk]);
      // Office writes no document type; who does wants entities expanded or files read.
      if (/<!(DOCTYPE|ENTITY)/i.test(window.toString("latin1").replaceAll("\0", ""))) {
        throw refuse(
          "ItemInvalid",
          `part ${member.name} declares a document type with entities, which are never expanded; save the document again with an office program`,
        );
      }
      tail = window.subarray(-24);
    }
  }
}
