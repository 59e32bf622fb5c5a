import { AutoglmError, assertNever, type WorkInput } from "@autoglm/api";
import { z } from "zod";
import { openDataFile, parseDocument, type ParsedItem } from "../parse/index.ts";

export interface InputSources {
  readonly dataRoot: string;
  /** A part of the input by its digest. */
  readonly part: (sha256: string) => Promise<Uint8Array>;
}

/**
 * The items of an assignment, numbered by content alone: the same after a restart.
 * @throws AutoglmError of the input's kind (`InputFileNotFound`, `InputFormatNotRecognised`, …), or of fetching a part
 */
export function readItems(input: WorkInput, sources: InputSources): AsyncIterable<ParsedItem> {
  switch (input.kind) {
    case "items":
      return itemsOf(input.parts, sources);
    case "document":
      return parseDocument(partsOf(input.parts, sources), documentOptions(input));
    case "file":
      return parseDocument(fileOf(input.path, sources), documentOptions(input));
    default:
      return assertNever(input);
  }
}

const documentOptions = ({ format, field }: Exclude<WorkInput, { kind: "items" }>) => ({
  format,
  ...(field !== undefined && { field }),
});

async function* itemsOf(parts: readonly string[], sources: InputSources): AsyncGenerator<ParsedItem> {
  const chunks: Uint8Array[] = [];
  for await (const part of partsOf(parts, sources)) chunks.push(part);
  const parsed = z.array(z.string()).safeParse(JSON.parse(Buffer.concat(chunks).toString("utf8")));
  if (!parsed.success) {
    throw new AutoglmError("InvalidMessage", "the items of the task are no list of texts", {
      retry: "never",
    });
  }
  for (const [item, text] of parsed.data.entries()) yield { item, text };
}

async function* partsOf(parts: readonly string[], sources: InputSources): AsyncGenerator<Uint8Array> {
  for (const sha256 of parts) yield await sources.part(sha256);
}

async function* fileOf(path: string, sources: InputSources): AsyncGenerator<Uint8Array> {
  yield* await openDataFile(sources.dataRoot, path);
}
