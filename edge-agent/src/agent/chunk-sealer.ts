/**
 * Results of one assignment, as they come out of the engine, to chunks in the outbox.
 *
 * A chunk is sealed when the last one is `intervalMs` old (so the first result leaves at once, and a slow model sends
 * each of its results), or when it is large. While one is being sealed the next one fills; when that is full too, the
 * engine waits. A full outbox is waited for, never given up: the work stops, and nothing is lost.
 */
import {
  encodeMessage,
  hasErrorCode,
  itemResultSchema,
  resultChunkSchema,
  WIRE_VERSION,
  type AssignmentKey,
  type AutoglmError,
  type ItemResult,
} from "@autoglm/api";
import { ItemSet } from "../outbox/item-set.ts";
import type { Outbox } from "../outbox/outbox.ts";

export interface ChunkSealerOptions {
  readonly node: string;
  readonly key: AssignmentKey;
  readonly outbox: Outbox;
  readonly intervalMs: number;
  readonly signal: AbortSignal;
  /** Keeps outputs on the node and gives what may leave in their place. */
  readonly withhold?: ((results: readonly ItemResult[]) => Promise<readonly ItemResult[]>) | undefined;
  readonly onSealed: (results: readonly ItemResult[]) => void;
  /** The outbox refuses; undefined: it takes again. */
  readonly onBlocked: (error: AutoglmError | undefined) => void;
}

const CHUNK_BYTES = 256 * 1024;
const CHUNK_ITEMS = 1000;
/** A chunk has room for one result of this size beside what triggers the sealing. */
const RESULT_BYTES = 192 * 1024;

export class ChunkSealer {
  readonly #options: ChunkSealerOptions;
  #results: ItemResult[] = [];
  #bytes = 0;
  #sealedAtMs = -Infinity;
  #timer: NodeJS.Timeout | undefined;
  #sealing: Promise<void> = Promise.resolve();
  #failure: unknown;

  constructor(options: ChunkSealerOptions) {
    this.#options = options;
  }

  /** Seals an empty chunk under each of these numbers. */
  async fillNumbers(numbers: readonly number[]): Promise<void> {
    for (const chunk of numbers) await this.#store(chunk, [], undefined);
  }

  /**
   * Resolves when there is room for the next result.
   * @throws what sealing an earlier one failed with
   */
  async add(result: ItemResult): Promise<void> {
    if (this.#failure !== undefined) throw this.#failure;
    const checked = checkResult(result);
    this.#results.push(checked.result);
    this.#bytes += checked.bytes;
    if (this.#bytes >= CHUNK_BYTES || this.#results.length >= CHUNK_ITEMS) {
      await this.#seal();
      return;
    }
    const dueInMs = this.#sealedAtMs + this.#options.intervalMs - performance.now();
    if (dueInMs <= 0) this.#sealInBackground();
    else this.#timer ??= setTimeout(() => this.#sealInBackground(), dueInMs);
  }

  /** Seals what there is. */
  async flush(): Promise<void> {
    await this.#seal();
  }

  /** Seals the rest and says how many items the input has. */
  async finish(total: number): Promise<void> {
    await this.#seal(total);
  }

  /** Ends the timer; results that are not sealed are dropped. */
  close(): void {
    clearTimeout(this.#timer);
    this.#results = [];
  }

  #sealInBackground(): void {
    this.#seal().catch((error: unknown) => {
      this.#failure = error;
    });
  }

  /** Chunks are numbered and written one after the other. */
  #seal(total?: number): Promise<void> {
    clearTimeout(this.#timer);
    this.#timer = undefined;
    this.#sealedAtMs = performance.now();
    const sealing = this.#sealing.then(async () => {
      const results = this.#results;
      if (results.length === 0 && total === undefined) return;
      this.#results = [];
      this.#bytes = 0;
      const { outbox, key, withhold } = this.#options;
      const leaving = withhold === undefined ? results : await withhold(results);
      await this.#store((outbox.find(key)?.highest ?? -1) + 1, leaving, total);
    });
    this.#sealing = sealing.catch(() => undefined);
    return sealing;
  }

  async #store(chunk: number, results: readonly ItemResult[], total: number | undefined): Promise<void> {
    const { node, key, outbox, signal, onSealed, onBlocked } = this.#options;
    const { task, run, shard, epoch } = key;
    const producedAt = new Date().toISOString();
    const body = encodeMessage(resultChunkSchema, {
      v: WIRE_VERSION,
      node,
      key: { task, run, shard, epoch },
      chunk,
      producedAt,
      items: [...results],
      ...(total !== undefined && { end: { total } }),
    });
    const items = new ItemSet();
    for (const { item } of results) items.add(item);
    const draft = {
      key: { task, run, shard, epoch },
      chunk,
      items: items.toRanges(),
      producedAt,
      ...(total !== undefined && { total }),
    };
    for (let wasBlocked = false; ; wasBlocked = true) {
      try {
        await outbox.append(draft, body);
        if (wasBlocked) onBlocked(undefined);
        break;
      } catch (error) {
        if (!hasErrorCode(error, "OutboxFull") || signal.aborted) throw error;
        onBlocked(error);
        await outbox.whenFreed(signal);
      }
    }
    onSealed(results);
  }
}

/** A result that does not fit the wire is an error of its item alone. */
function checkResult(result: ItemResult): { readonly result: ItemResult; readonly bytes: number } {
  const parsed = itemResultSchema.safeParse(result);
  const bytes = parsed.success ? Buffer.byteLength(JSON.stringify(parsed.data)) : 0;
  if (parsed.success && bytes <= RESULT_BYTES) return { result: parsed.data, bytes };
  const error = parsed.success
    ? { code: "ItemTooLong", message: `the result is larger than ${RESULT_BYTES} bytes` }
    : { code: "Internal", message: "the model gave a result of an unknown form" };
  return { result: { item: result.item, stage: "final", ms: 0, error }, bytes: 256 };
}
