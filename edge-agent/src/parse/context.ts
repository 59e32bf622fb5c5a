/** What reading one input carries through its archives and documents. */
import type { InputFormat } from "@autoglm/api";
import { InflateBudget } from "./bytes.ts";
import { DocumentWorker, type DocumentLimits } from "./document-worker.ts";
import { refuse, shortName, type Media } from "./items.ts";
import { SourceWatch } from "./source-watch.ts";

const DEFAULT_MAX_ITEM_BYTES = 256 * 1024;
/** Archives in archives; a tar.gz is two. */
const MAX_NESTING = 5;

export interface ParseOptions {
  readonly format: InputFormat;
  /** Shown in front of every problem; default: none. */
  readonly name?: string;
  /** The field or column that holds the text; default: see `inputField` of AutoGLMTask. */
  readonly field?: string;
  /** Names of a text field to look for before the well-known ones. */
  readonly textFields?: readonly string[];
  /** Other texts of a record: the name that each goes by, and the names of fields that it is looked for under. */
  readonly fields?: Readonly<Record<string, readonly string[]>>;
  /** Longest item in bytes of UTF-8, default 256 KiB. */
  readonly maxItemBytes?: number;
  /** What the task works on besides text; what it does not take is an error of its item. */
  readonly media?: "image" | "audio";
  /** What one item of prose is: a paragraph or page, or the whole document. Tables and lists have rows in any case. */
  readonly unit?: "block" | "document";
  readonly limits?: DocumentLimits;
}

export class ParseContext {
  readonly options: ParseOptions;
  readonly name: string;
  readonly format: InputFormat;
  readonly maxItemBytes: number;
  readonly budget: InflateBudget;
  readonly worker: DocumentWorker;
  /** Of the bytes that all of this is read from. */
  readonly watch: SourceWatch;
  readonly image: ((path: string) => Promise<Media | undefined>) | undefined;
  readonly #nesting: number;

  private constructor(
    options: ParseOptions,
    from: Pick<ParseContext, "name" | "format" | "budget" | "worker" | "watch" | "image">,
    nesting: number,
  ) {
    this.options = options;
    this.maxItemBytes = options.maxItemBytes ?? DEFAULT_MAX_ITEM_BYTES;
    this.name = from.name;
    this.format = from.format;
    this.budget = from.budget;
    this.worker = from.worker;
    this.watch = from.watch;
    this.image = from.image;
    this.#nesting = nesting;
  }

  static of(options: ParseOptions): ParseContext {
    const { format, name = "", limits } = options;
    const from = {
      name: shortName(name),
      format,
      budget: new InflateBudget(),
      worker: new DocumentWorker(limits),
      watch: new SourceWatch(),
      image: undefined,
    };
    return new ParseContext(options, from, 0);
  }

  /** A document inside of this one. @throws AutoglmError `InputTooLarge` when it lies too deep */
  inner(
    name: string,
    from: { readonly format?: InputFormat; readonly image?: ParseContext["image"] } = {},
  ): ParseContext {
    if (this.#nesting >= MAX_NESTING) {
      throw refuse(
        "InputTooLarge",
        `it lies ${MAX_NESTING} archives deep, which is the limit; pack it flatter`,
      );
    }
    const { format = this.format, image } = from;
    const { budget, worker, watch } = this;
    return new ParseContext(
      this.options,
      { name: shortName(name), format, budget, worker, watch, image },
      this.#nesting + 1,
    );
  }
}
