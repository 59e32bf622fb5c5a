import { KvCache, type KvBlock, type KvShape } from "./kv-cache.ts";
import { floatsOf, type Session, type Tensor } from "./pipeline.ts";

/** Logits of the positions that were asked for, and the logarithm of the sum of their exponentials. */
export interface StepLogits {
  /** [row][picked][vocabulary]; a fresh buffer that the caller may change. */
  readonly logits: Float32Array;
  /** [row][picked]. */
  readonly normalizers: Float32Array;
}

export interface Prefilled extends StepLogits {
  readonly block: KvBlock;
}

/**
 * Tokens of a prompt that run at once. Attention compares each of them with all before: without this limit the table of it
 * is what takes most memory (heads × tokens × tokens), 4 GB at 8,000 tokens of 16 heads. Chunks of 128 took 140 MB less than
 * of 512 at 2,000 tokens of the sample model, and a tenth less time.
 */
export const CHUNK = 128;

const STEP_OUTPUTS = ["logits", "log_normalizer", "appended"];
const SCORE_OUTPUTS = ["logits", "log_normalizer"];

/**
 * The graph of a decoder, run for rows of lengths of their own (padded on the right; a row's mask says how long it is):
 *
 *     input_ids [rows, tokens], attention_mask [rows, longest], logits_at [rows, picked] int64,
 *     past_key_values.{layer}.{key,value} [rows, kvHeads, past, headDim]
 *       → logits [rows, picked, vocabulary], log_normalizer [rows, picked, 1],
 *         appended [2 × layers, rows, kvHeads, tokens, headDim]
 *
 * What GroupQueryAttention can do sets the limits: many tokens of many rows without a past, one token of many rows with
 * one, many tokens with a past of one row alone. A row's logits are the
 * same whatever runs with it.
 */
export class KvDecoderGraph {
  readonly #session: Session;
  readonly #shape: KvShape;

  constructor(session: Session, shape: KvShape) {
    this.#session = session;
    this.#shape = shape;
  }

  newCache(): KvCache {
    return new KvCache(this.#session, this.#shape);
  }

  /** Logits behind the last token of each prompt, none of which is longer than a chunk. */
  async prefill(prompts: readonly (readonly number[])[]): Promise<Prefilled> {
    const lengths = prompts.map(({ length }) => length);
    const past = this.newCache().emptyFeeds(prompts.length);
    const picked = lengths.map((length) => [length - 1]);
    const outputs = await this.#run(prompts, { lengths, past, picked }, STEP_OUTPUTS);
    return { ...logitsOf(outputs), block: this.#blockOf(outputs, prompts.length, Math.max(...lengths)) };
  }

  /**
   * The same for one prompt of any length, chunk by chunk, in a cache of its own.
   * @param onChunk called, and waited for, after each chunk but the last
   */
  async prefillLong(
    prompt: readonly number[],
    onChunk: () => Promise<void> | void,
  ): Promise<StepLogits & { readonly cache: KvCache }> {
    const cache = this.newCache();
    cache.reserve(1, prompt.length + 1);
    const { block, ...first } = await this.prefill([prompt.slice(0, CHUNK)]);
    cache.add(block, [Math.min(CHUNK, prompt.length)]);
    let logits: StepLogits = first;
    for (let start = CHUNK; start < prompt.length; start += CHUNK) {
      await onChunk();
      const ids = prompt.slice(start, start + CHUNK);
      const lengths = [start + ids.length];
      const picked = [[ids.length - 1]];
      const outputs = await this.#run([ids], { lengths, past: cache.feeds(), picked }, STEP_OUTPUTS);
      cache.append(this.#blockOf(outputs, 1, ids.length), ids.length);
      logits = logitsOf(outputs);
    }
    return { ...logits, cache };
  }

  /** The next token of every row of the cache, which takes it in. */
  async step(cache: KvCache, ids: readonly number[]): Promise<StepLogits> {
    const lengths = cache.lengths.map((length) => length + 1);
    const rows = ids.map((id) => [id]);
    const picked = ids.map(() => [0]);
    const outputs = await this.#run(rows, { lengths, past: cache.feeds(), picked }, STEP_OUTPUTS);
    cache.append(this.#blockOf(outputs, ids.length, 1), 1);
    return logitsOf(outputs);
  }

  /** Logits behind each of the tokens that would follow the one row of the cache; the cache stays as it is. */
  async peek(cache: KvCache, ids: readonly number[]): Promise<StepLogits> {
    const lengths = cache.lengths.map((length) => length + ids.length);
    const picked = [[...ids.keys()]];
    return logitsOf(await this.#run([ids], { lengths, past: cache.feeds(), picked }, SCORE_OUTPUTS));
  }

  #blockOf(outputs: Readonly<Record<string, Tensor>>, rows: number, tokens: number): KvBlock {
    const data = floatsOf(outputs, "appended");
    const size = rows * this.#shape.kvHeads * tokens * this.#shape.headDim;
    return { rows, stride: tokens, part: (index) => data.subarray(index * size, (index + 1) * size) };
  }

  #run(
    rows: readonly (readonly number[])[],
    state: {
      readonly lengths: readonly number[];
      readonly past: Readonly<Record<string, Tensor>>;
      readonly picked: readonly (readonly number[])[];
    },
    outputs: readonly string[],
  ): Promise<Readonly<Record<string, Tensor>>> {
    const { lengths, past, picked } = state;
    const tokens = Math.max(...rows.map(({ length }) => length));
    const longest = Math.max(...lengths);
    const ids = new Int32Array(rows.length * tokens);
    const mask = new Uint8Array(rows.length * longest);
    for (const [row, length] of lengths.entries()) {
      ids.set(rows[row] ?? [], row * tokens);
      mask.fill(1, row * longest, row * longest + length);
    }
    return this.#session.run(
      {
        input_ids: this.#session.int64(ids, [rows.length, tokens]),
        attention_mask: this.#session.int64(mask, [rows.length, longest]),
        logits_at: this.#session.int64(picked.flat(), [rows.length, picked[0]?.length ?? 0]),
        ...past,
      },
      outputs,
    );
  }
}

function logitsOf(outputs: Readonly<Record<string, Tensor>>): StepLogits {
  return { logits: floatsOf(outputs, "logits"), normalizers: floatsOf(outputs, "log_normalizer") };
}
