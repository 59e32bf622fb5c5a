/** What an assignment works on: the items of its input, and the way back from an item to the record that it came from. */
import {
  AutoglmError,
  assertNever,
  type ItemResult,
  type TaskType,
  type WorkInput,
  type WorkSpec,
} from "@autoglm/api";
import { z } from "zod";
import {
  readHttp,
  readObject,
  shownAddress,
  type AllowedHosts,
  type ObjectStoreOptions,
} from "../inputs/index.ts";
import {
  openDataFile,
  parseDocument,
  type ByteSource,
  type ItemSource,
  type ParsedItem,
  type ParseOptions,
} from "../parse/index.ts";
import { mapOutputToRecord, preprocess } from "../preprocess/index.ts";

/** What lies elsewhere, and what of it the node may read. */
export interface RemoteInputs {
  readonly allowedHosts: AllowedHosts;
  readonly objectStore: ObjectStoreOptions | undefined;
  readonly maxBytes: number;
}

export interface InputSources {
  readonly dataRoot: string;
  /** A part of the input by its digest. */
  readonly part: (sha256: string) => Promise<Uint8Array>;
  readonly remote: RemoteInputs;
  /** Ends a read that waits for a server. */
  readonly signal?: AbortSignal;
}

export type InputSpec = Pick<WorkSpec, "input" | "type" | "preprocess">;
type DocumentInput = Exclude<WorkInput, { kind: "items" }>;

/** Bytes of UTF-8 that an item may have before step split makes several of it. */
const MAX_UNSPLIT_BYTES = 16 * 1024 * 1024;

/**
 * The items of an assignment, numbered by content alone: the same after a restart.
 * @throws AutoglmError of the input's kind (`InputFileNotFound`, `InputFormatNotRecognised`, …), or of fetching a part
 */
export function readItems(spec: InputSpec, sources: InputSources): AsyncIterable<ParsedItem> {
  const { input, preprocess: steps } = spec;
  const items =
    input.kind === "items"
      ? itemsOf(input.parts, sources)
      : documentItems(input, parseOptions(input, spec), sources);
  return steps === undefined ? items : preprocess(items, steps);
}

async function* documentItems(
  input: DocumentInput,
  options: ParseOptions,
  sources: InputSources,
): AsyncGenerator<ParsedItem> {
  yield* parseDocument(await openInput(input, sources), options);
}

async function openInput(
  input: DocumentInput,
  { dataRoot, remote, signal, part }: InputSources,
): Promise<ByteSource> {
  const { maxBytes } = remote;
  const limits = { maxBytes, ...(signal && { signal }) };
  switch (input.kind) {
    case "document":
      return partsOf(input.parts, part);
    case "file":
      return openDataFile(dataRoot, input.path);
    case "url":
      return readHttp(input.url, { ...limits, allowed: remote.allowedHosts, name: nameOf(input) });
    case "object":
      return readObject(input, remote.objectStore, limits);
    default:
      return assertNever(input);
  }
}

function parseOptions(input: DocumentInput, { type, preprocess: steps }: InputSpec): ParseOptions {
  const { format, field } = input;
  const splits = steps?.some(({ step }) => step === "split") === true;
  return {
    ...OPTIONS_OF_TYPE[type],
    format,
    name: nameOf(input),
    ...(field !== undefined && { field }),
    ...(splits && { maxItemBytes: MAX_UNSPLIT_BYTES }),
  };
}

/** A query may hold a secret: it is not shown. */
function nameOf(input: DocumentInput): string {
  switch (input.kind) {
    case "document":
      return "";
    case "file":
      return input.path;
    case "url":
      return shownAddress(input.url);
    case "object":
      return `${input.bucket}/${input.key}`;
    default:
      return assertNever(input);
  }
}

const LABEL_FIELDS = ["candidate_labels", "candidateLabels", "labels", "标签"];

/** What an item of a type is made of besides one text of a line, by the names that records commonly have. */
const OPTIONS_OF_TYPE: Partial<
  Readonly<Record<TaskType, Pick<ParseOptions, "media" | "unit" | "fields" | "textFields">>>
> = {
  "image-classification": { media: "image" },
  "image-to-text": { media: "image" },
  "object-detection": { media: "image" },
  "image-text-matching": {
    media: "image",
    textFields: ["caption", "captions"],
    fields: { labels: LABEL_FIELDS },
  },
  "automatic-speech-recognition": { media: "audio" },
  "question-answering": {
    unit: "document",
    textFields: ["context", "passage", "paragraph", "article", "document", "上下文", "文章"],
    fields: { question: ["question", "query", "问题"] },
  },
  "zero-shot-classification": { fields: { labels: LABEL_FIELDS } },
  "relation-extraction": { fields: { head: ["head", "subject"], tail: ["tail", "object"] } },
  summarization: { unit: "document", textFields: ["document", "article"] },
};

async function* itemsOf(parts: readonly string[], { part }: InputSources): AsyncGenerator<ParsedItem> {
  const chunks: Uint8Array[] = [];
  for await (const chunk of partsOf(parts, part)) chunks.push(chunk);
  const parsed = z.array(z.string()).safeParse(JSON.parse(Buffer.concat(chunks).toString("utf8")));
  if (!parsed.success) {
    throw new AutoglmError("InvalidMessage", "the items of the task are no list of texts", {
      retry: "never",
    });
  }
  for (const [item, text] of parsed.data.entries()) yield { item, text };
}

async function* partsOf(parts: readonly string[], part: InputSources["part"]): AsyncGenerator<Uint8Array> {
  for (const sha256 of parts) yield await part(sha256);
}

/**
 * Results of preprocessed items, with offsets in the text of the record. What an item came from is kept while it is
 * worked on, so as many as the engine holds.
 */
export function keepSources(items: AsyncIterable<ParsedItem>): {
  readonly items: AsyncIterable<ParsedItem>;
  readonly restore: (result: ItemResult) => ItemResult;
} {
  const open = new Map<number, { readonly text: string; readonly source: ItemSource }>();
  async function* watched(): AsyncGenerator<ParsedItem> {
    for await (const parsed of items) {
      if ("text" in parsed && parsed.source !== undefined) {
        open.set(parsed.item, { text: parsed.text, source: parsed.source });
      }
      yield parsed;
    }
  }
  function restore(result: ItemResult): ItemResult {
    const kept = open.get(result.item);
    if (kept === undefined) return result;
    open.delete(result.item);
    const { record, start, end } = kept.source;
    const { output } = result;
    return {
      ...result,
      source: { record, start, end },
      ...(output !== undefined && { output: mapOutputToRecord(output, kept.text, kept.source) }),
    };
  }
  return { items: watched(), restore };
}
