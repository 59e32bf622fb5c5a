import type { ItemResult } from "@autoglm/api";
import type { ParsedItem } from "../parse/index.ts";
import type { PipelineItem } from "../pipelines/pipeline.ts";

/** Items of a request between being read and being taken by the caller. */
const MAX_OPEN_ITEMS = 256;
/** UTF-16 units of texts and bytes of media that wait; one item may exceed it. */
const MAX_OPEN_LENGTH = 4 * 1024 * 1024;

/** An item that the parser made something of. */
export type WholeItem = Pick<PipelineItem, "text" | "fields" | "media"> & { readonly item: number };

/**
 * One `infer` call: reads items as long as there is room for them, and holds results until they are taken.
 *
 *     items ──read (bounded)──▶ queue of the model ──▶ settle ──▶ results ──take──▶ caller
 *
 * Every item read is settled once; the request ends when the source has ended and all are taken, or with an error.
 */
export class InferenceRequest {
  readonly #items: AsyncIterable<ParsedItem>;
  readonly #results: ItemResult[] = [];
  /** Lengths of items that are not taken yet. */
  readonly #open = new Map<number, number>();
  #openLength = 0;
  #sourceEnded = false;
  #error: unknown;
  #over = false;
  #changed = Promise.withResolvers<void>();

  constructor(items: AsyncIterable<ParsedItem>) {
    this.#items = items;
  }

  /** The caller has left or the request failed: what is still queued for it may be dropped. */
  get over(): boolean {
    return this.#over;
  }

  /** Reads the source to its end, no faster than results are taken. Never rejects: its failure ends the request. */
  async read(enqueue: (item: WholeItem) => void): Promise<void> {
    try {
      for await (const parsed of this.#items) {
        if (this.#over) return;
        const length = "text" in parsed ? heldLength(parsed) : 0;
        this.#open.set(parsed.item, length);
        this.#openLength += length;
        if ("text" in parsed) enqueue(parsed);
        else this.settle({ item: parsed.item, stage: "final", ms: 0, error: parsed.error });
        while (this.#isFull() && !this.#over) await this.#changed.promise;
        if (this.#over) return;
      }
    } catch (error) {
      this.#error = error;
    } finally {
      this.#sourceEnded = true;
      this.#wake();
    }
  }

  settle(result: ItemResult): void {
    this.#results.push(result);
    this.#wake();
  }

  /** Ends the request at once; results that nobody took are dropped. */
  fail(error: unknown): void {
    this.#error ??= error;
    this.end();
  }

  end(): void {
    this.#over = true;
    this.#wake();
  }

  /** Results as they come. @throws what {@link fail} was given, or what the source threw once all before it is taken */
  async *take(): AsyncGenerator<ItemResult> {
    for (;;) {
      const result = this.#over ? undefined : this.#results.shift();
      if (result !== undefined) {
        this.#openLength -= this.#open.get(result.item) ?? 0;
        this.#open.delete(result.item);
        this.#wake();
        yield result;
      } else if (this.#over || (this.#sourceEnded && this.#open.size === 0)) {
        if (this.#error !== undefined) throw this.#error;
        return;
      } else {
        await this.#changed.promise;
      }
    }
  }

  #isFull(): boolean {
    return this.#open.size >= MAX_OPEN_ITEMS || this.#openLength >= MAX_OPEN_LENGTH;
  }

  #wake(): void {
    this.#changed.resolve();
    this.#changed = Promise.withResolvers();
  }
}

function heldLength({ text, fields, media }: WholeItem): number {
  let length = text.length + (media?.bytes.length ?? 0);
  if (fields !== undefined) for (const field of Object.values(fields)) length += field.length;
  return length;
}
