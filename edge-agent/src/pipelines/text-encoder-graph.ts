import { floatsOf, type PipelineFiles, type Session } from "./pipeline.ts";
import type { TextEncoderInputs } from "./text-encoder-config.ts";
import { TextTokenizer } from "./text-tokenizer.ts";

/** UTF-16 units per token, about: English has more, Chinese fewer. */
const UNITS_PER_TOKEN = 4;
const MAX_BATCH_ITEMS = 64;

/**
 * The graph of a text encoder with its tokenizer:
 *
 *     ids, mask (and types) [batch, length] int64 → output [batch, width] float32
 *
 * Rows are padded to the longest; the mask hides the padding, so that the answer to a text does not depend on what runs
 * with it.
 */
export class TextEncoderGraph {
  readonly batching: { readonly maxItems: number; readonly maxLength: number };
  readonly #session: Session;
  readonly #config: TextEncoderInputs;
  readonly #tokenizer: TextTokenizer;

  private constructor(session: Session, config: TextEncoderInputs, tokenizer: TextTokenizer, tokens: number) {
    this.#session = session;
    this.#config = config;
    this.#tokenizer = tokenizer;
    this.batching = { maxItems: MAX_BATCH_ITEMS, maxLength: tokens * UNITS_PER_TOKEN };
  }

  /** @throws PipelineFailure for files of another form */
  static async create(
    session: Session,
    config: TextEncoderInputs,
    files: PipelineFiles,
  ): Promise<TextEncoderGraph> {
    const tokens = Math.min(config.maxTokens, files.contextLength);
    const tokenizer = new TextTokenizer(await files.readJson("tokenizer.json"), tokens);
    return new TextEncoderGraph(session, config, tokenizer, tokens);
  }

  /** Token ids of a text, with the opening that the model expects. */
  encode(text: string): readonly number[] {
    const { prefixes } = this.#config;
    const has = prefixes.some((prefix) => text.startsWith(prefix));
    return this.#tokenizer.encode(has ? text : `${prefixes[0] ?? ""}${text}`);
  }

  /** Output rows, one after the other. */
  async run(rows: readonly (readonly number[])[]): Promise<Float32Array> {
    if (rows.length === 0) return new Float32Array(0);
    const { inputs, output, padId } = this.#config;
    const length = Math.max(...rows.map((row) => row.length));
    const dims = [rows.length, length];
    const ids = new Int32Array(rows.length * length).fill(padId);
    const mask = new Uint8Array(rows.length * length);
    for (const [index, row] of rows.entries()) {
      ids.set(row, index * length);
      mask.fill(1, index * length, index * length + row.length);
    }
    const outputs = await this.#session.run({
      [inputs.ids]: this.#session.int64(ids, dims),
      [inputs.mask]: this.#session.int64(mask, dims),
      ...(inputs.types === undefined
        ? {}
        : { [inputs.types]: this.#session.int64(new Uint8Array(ids.length), dims) }),
    });
    return floatsOf(outputs, output);
  }
}
