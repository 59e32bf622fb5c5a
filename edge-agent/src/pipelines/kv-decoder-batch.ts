import { positionsFor, type KvCache } from "./kv-cache.ts";
import { CHUNK, type KvDecoderGraph, type StepLogits } from "./kv-decoder-graph.ts";
import type { DecoderRow } from "./kv-decoder-row.ts";

export interface BatchLimits {
  /** Most rows of one graph run. */
  readonly maxRows: number;
  /** Positions that the cache may hold, padding included: rows × the longest that a row may come to. */
  readonly maxPositions: number;
}

/** Prompts run together while the longest of them is no longer than this times the shortest. */
const MAX_PADDING = 1.35;
/** Of prompts together, padding included: beyond it a run gains nothing more, and only takes memory. */
const MAX_PREFILL_TOKENS = 512;

interface Member {
  readonly row: DecoderRow;
  readonly done: PromiseWithResolvers<void>;
}

/**
 * Rows that decode together, one graph run per token:
 *
 *     waiting ──prefill (prompts of like length together)──▶ running ──step, step, …──▶ complete, leaves
 *
 * A prompt of more than a chunk goes in alone, chunk by chunk, and the others make a step between two of them. A row joins between two steps as soon as there is room, oldest first, and leaves with its last token. The order in which
 * rows came and went changes nothing in what a row answers.
 */
export class KvDecoderBatch {
  readonly #graph: KvDecoderGraph;
  #cache: KvCache;
  readonly #limits: BatchLimits;
  readonly #vocabSize: number;
  #waiting: Member[] = [];
  #joining: readonly Member[] = [];
  /** In the order of the cache's rows. */
  #running: Member[] = [];
  #isRunning = false;
  #onStep: (() => void)[] = [];

  constructor(graph: KvDecoderGraph, vocabSize: number, limits: BatchLimits) {
    this.#graph = graph;
    this.#cache = graph.newCache();
    this.#limits = limits;
    this.#vocabSize = vocabSize;
  }

  /**
   * Resolves when all these rows are complete; others may run meanwhile.
   * @param onStep called after every graph run
   */
  async decode(rows: readonly DecoderRow[], onStep: () => void): Promise<void> {
    const members = rows.map((row) => ({ row, done: Promise.withResolvers<void>() }));
    this.#waiting.push(...members);
    // Of its own for every call: callers may pass the same function.
    const listener = () => onStep();
    this.#onStep.push(listener);
    if (!this.#isRunning) void this.#run();
    try {
      await Promise.all(members.map(({ done }) => done.promise));
    } finally {
      this.#onStep = this.#onStep.filter((other) => other !== listener);
    }
  }

  /** Never rejects: what goes wrong goes to the rows. */
  async #run(): Promise<void> {
    this.#isRunning = true;
    try {
      while (this.#waiting.length + this.#running.length > 0) {
        this.#joining = this.#takeJoining();
        if (this.#joining.length > 0) await this.#join(this.#joining);
        else await this.#step();
        this.#joining = [];
        this.#sayProgress();
      }
    } catch (error) {
      // The cache may lack the step that failed: everybody has to begin again.
      for (const { done } of [...this.#joining, ...this.#running, ...this.#waiting]) done.reject(error);
      this.#joining = [];
      while (this.#cache.rows > 0) this.#cache.remove(this.#cache.rows - 1);
      this.#running = [];
      this.#waiting = [];
    } finally {
      this.#isRunning = false;
    }
  }

  /** Those that there is room for and that can be prefilled together. */
  #takeJoining(): readonly Member[] {
    const joining: Member[] = [];
    const [first] = this.#waiting;
    if (first === undefined) return joining;
    let longest = first.row.promptIds.length;
    let shortest = longest;
    for (const member of this.#waiting) {
      const { length } = member.row.promptIds;
      if (joining.length > 0 && Math.max(longest, length) > CHUNK) continue;
      if (Math.max(longest, length) > MAX_PADDING * Math.min(shortest, length)) continue;
      if ((joining.length + 1) * Math.max(longest, length) > MAX_PREFILL_TOKENS && joining.length > 0) break;
      if (!this.#hasRoom([...joining, member])) break;
      longest = Math.max(longest, length);
      shortest = Math.min(shortest, length);
      joining.push(member);
    }
    this.#waiting = this.#waiting.filter((member) => !joining.includes(member));
    return joining;
  }

  /** One row has room always. */
  #hasRoom(joining: readonly Member[]): boolean {
    const { maxRows, maxPositions } = this.#limits;
    const all = [...this.#running, ...joining];
    const longest = Math.max(this.#cache.capacity, ...all.map(({ row }) => positionsFor(row.positions)));
    return all.length <= maxRows && (all.length === 1 || all.length * longest <= maxPositions);
  }

  async #join(joining: readonly Member[]): Promise<void> {
    const prompts = joining.map(({ row }) => row.promptIds);
    const logits = await this.#prefill(prompts);
    this.#running.push(...joining);
    this.#take(logits, this.#running.length - joining.length, joining.length);
  }

  /** The cache has the rows of the prompts behind its others afterwards. */
  async #prefill(prompts: readonly (readonly number[])[]): Promise<StepLogits> {
    const lengths = prompts.map(({ length }) => length);
    const [first = []] = prompts;
    if (first.length <= CHUNK) {
      const { block, ...logits } = await this.#graph.prefill(prompts);
      this.#cache.add(block, lengths);
      return logits;
    }
    const { cache, ...logits } = await this.#graph.prefillLong(first, async () => {
      if (this.#running.length > 0) await this.#step();
      this.#sayProgress();
    });
    // A long past is not held twice where nothing forces it.
    if (this.#cache.rows === 0) this.#cache = cache;
    else this.#cache.add(cache.block(), lengths);
    return logits;
  }

  #sayProgress(): void {
    for (const listener of this.#onStep) listener();
  }

  async #step(): Promise<void> {
    const logits = await this.#graph.step(
      this.#cache,
      this.#running.map(({ row }) => row.lastId),
    );
    this.#take(logits, 0, this.#running.length);
  }

  /** Gives the rows from `first` on their logits, and lets go those that are complete. */
  #take({ logits, normalizers }: StepLogits, first: number, count: number): void {
    for (let index = count - 1; index >= 0; index--) {
      const member = this.#running[first + index];
      if (member === undefined) continue;
      const own = logits.subarray(index * this.#vocabSize, (index + 1) * this.#vocabSize);
      if (!member.row.take(own, normalizers[index] ?? 0)) continue;
      member.done.resolve();
      this.#cache.remove(first + index);
      const last = this.#running.pop();
      if (last !== undefined && last !== member) this.#running[first + index] = last;
    }
  }
}
