/**
 * The agent's memory of results that nobody has committed yet. It outlives kill -9 and power loss; the bus does not
 * have to.
 *
 *   sealed ──append──► durable ──accept(through)──► dead ──► reclaimed
 *                         │ ▲
 *                 publish └─┘ as often as needed (publisher.ts)
 *
 * Model: segment files, written only at the end. All appends that wait share one fdatasync (group commit). An index in
 * memory (contents.ts) says where each live record is; it is rebuilt from the files at start. A segment with nothing
 * live is unlinked; when more than half of all bytes are dead, the emptiest segment is copied to the end and unlinked.
 *
 * Invariants:
 *   1. A chunk whose append resolved is served until it is accepted, forgotten on purpose, or reported as damaged.
 *   2. What an assignment has produced (accepted and pending items) survives as long as the assignment is known, so
 *      that work resumes after the last sealed chunk.
 *   3. A chunk number is never used for two contents. The bus keeps the first chunk under a number and calls the
 *      second a duplicate, so a reused number could lose the second's items. Numbers of damaged chunks are therefore
 *      filled with empty chunks and their items computed anew (`missingChunks`); where it is not known which number
 *      is damaged, numbers are skipped (`skippedNumbers`).
 *   4. Never drops for lack of space: beyond the limit `append` refuses with OutboxFull, and the work stops.
 */
import { AutoglmError, assignmentKeyText, type AssignmentKey } from "@autoglm/api";
import { CommitQueue } from "./commit-queue.ts";
import {
  missingChunks,
  type KeyContents,
  type OutboxContents,
  type PendingChunk,
  type RecordPlace,
} from "./contents.ts";
import { planReclaim } from "./plan.ts";
import { decodeRecord, encodeRecord, type RecordHeader } from "./record.ts";
import { replaySegments, type Recovery } from "./recovery.ts";
import { SegmentFiles } from "./segments.ts";

export interface OutboxOptions {
  /** Bytes of pending chunks beyond which `append` refuses. */
  readonly limitBytes: number;
  /** A segment that is larger is closed and a new one begun. */
  readonly segmentBytes?: number;
  readonly now?: () => number;
  /** A chunk turned out to be damaged when it was read: its items must be computed again. */
  readonly onDamage?: (key: AssignmentKey) => void;
}

/** A sealed chunk on its way into the outbox. */
export type ChunkDraft = Omit<RecordHeader & { kind: "chunk" }, "kind" | "seq">;

const DEFAULT_SEGMENT_BYTES = 8 * 1024 * 1024;

export class Outbox {
  readonly #files: SegmentFiles;
  readonly #contents: OutboxContents;
  readonly #options: OutboxOptions;
  readonly #commits: CommitQueue;
  readonly #tombstones: { readonly header: RecordHeader; place: RecordPlace }[];
  readonly #freed: (() => void)[] = [];
  #nextSeq: number;
  /** Bytes of chunks that wait for their commit. */
  #waitingBytes = 0;
  #refusedForSpace = false;
  /** What the files said at start. */
  readonly recovery: Recovery;

  /** @throws AutoglmError `OutboxCorrupt` when the folder can't be read or written at all */
  static async open(dir: string, options: OutboxOptions): Promise<Outbox> {
    try {
      const files = await SegmentFiles.open(dir);
      const recovery = await replaySegments(files, (options.now ?? Date.now)());
      // Always a fresh segment: a damaged end is never written behind.
      await files.rotate();
      return new Outbox(files, recovery, options);
    } catch (cause) {
      throw new AutoglmError("OutboxCorrupt", "the outbox can't be opened", { cause, details: { dir } });
    }
  }

  private constructor(files: SegmentFiles, recovery: Recovery, options: OutboxOptions) {
    this.#files = files;
    this.#options = options;
    this.recovery = recovery;
    this.#contents = recovery.contents;
    this.#tombstones = [...recovery.tombstones];
    this.#nextSeq = recovery.nextSeq;
    this.#commits = new CommitQueue({
      write: (bytes) => this.#write(bytes),
      afterCommit: () => this.#reclaim(),
    });
  }

  get keys(): Iterable<KeyContents> {
    return this.#contents.keys.values();
  }

  find(key: AssignmentKey): KeyContents | undefined {
    return this.#contents.find(key);
  }

  get chunks(): number {
    return this.#contents.pendingChunks;
  }

  get bytes(): number {
    return this.#contents.pendingBytes;
  }

  /** Bytes of all files, dead ones included. */
  get diskBytes(): number {
    return this.#files.totalBytes;
  }

  get limitBytes(): number {
    return this.#options.limitBytes;
  }

  /** An append was refused, and nothing has been freed since. */
  get isFull(): boolean {
    return this.#refusedForSpace;
  }

  /** False after a failed write, until one succeeds. */
  get isWritable(): boolean {
    return this.#commits.lastError === undefined;
  }

  /** Begins to know the assignment, or learns its grant anew. */
  open(key: AssignmentKey, grant: string): KeyContents {
    const contents = this.#contents.open(key);
    if (contents.grant !== grant || contents.unlistedAt !== undefined) {
      contents.grant = grant;
      contents.unlistedAt = undefined;
      this.#saveState(contents);
    }
    return contents;
  }

  /** Chunk numbers to fill with empty chunks before anything else is sealed for the assignment (invariant 3). */
  numbersToFill(key: AssignmentKey): number[] {
    const contents = this.#contents.open(key);
    const numbers = missingChunks(contents);
    const { skippedNumbers, highestOf } = this.recovery;
    const skipThrough = (highestOf.get(assignmentKeyText(key)) ?? -1) + skippedNumbers;
    for (let chunk = contents.highest + 1; chunk <= skipThrough; chunk++) numbers.push(chunk);
    return numbers;
  }

  /**
   * Resolves once the chunk is on the disk.
   * @throws AutoglmError `OutboxFull` beyond the limit or when the disk is full, `OutboxCorrupt` when it can't be written
   */
  async append(draft: ChunkDraft, body: Uint8Array): Promise<void> {
    const header = { kind: "chunk", seq: this.#nextSeq++, ...draft } as const;
    const record = encodeRecord(header, body);
    if (this.#contents.pendingBytes + this.#waitingBytes + record.length > this.limitBytes) {
      this.#refusedForSpace = true;
      throw new AutoglmError("OutboxFull", `the outbox has reached its limit of ${this.limitBytes} bytes`, {
        details: { bytes: this.bytes, limitBytes: this.limitBytes },
      });
    }
    this.#waitingBytes += record.length;
    try {
      await this.#commits.append(record, (place) => this.#contents.addChunk(header, place));
      this.#refusedForSpace = false;
    } catch (cause) {
      throw this.#translate(cause);
    } finally {
      this.#waitingBytes -= record.length;
    }
  }

  /** Resolves when space was freed, or after some seconds, because a full disk is not freed by us alone. */
  async whenFreed(signal: AbortSignal): Promise<void> {
    const freed = Promise.withResolvers<void>();
    this.#freed.push(freed.resolve);
    const timer = setTimeout(freed.resolve, 2000);
    signal.addEventListener("abort", () => freed.resolve(), { once: true });
    await freed.promise;
    clearTimeout(timer);
  }

  /** The chunk as it goes onto the wire; undefined when it is gone, or damaged (then `onDamage` was called). */
  async read(pending: PendingChunk): Promise<Buffer | undefined> {
    for (;;) {
      const { place } = pending;
      const isLive = () => this.find(pending.key)?.chunks.get(pending.chunk) === pending;
      try {
        const record = decodeRecord(await this.#files.read(place));
        if (record) return record.body;
      } catch (cause) {
        if (isLive() && pending.place === place) throw this.#translate(cause);
      }
      if (!isLive()) return undefined;
      // A compaction moved it while it was being read.
      if (pending.place !== place) continue;
      const contents = this.#contents.open(pending.key);
      this.#contents.drop(contents, pending);
      this.#contents.removeLive(place);
      this.#options.onDamage?.(pending.key);
      return undefined;
    }
  }

  /** Everything up to `through` is committed by the ingester: it is deleted here. */
  accept(key: AssignmentKey, through: number): void {
    const contents = this.find(key);
    if (!contents || through <= contents.acceptedThrough) return;
    this.#saveState(contents, this.#contents.accept(contents, through));
    this.#announceFreed();
  }

  /** Notes that the assignment left the desired document. */
  markUnlisted(key: AssignmentKey, at: number): void {
    const contents = this.find(key);
    if (!contents || contents.unlistedAt !== undefined) return;
    contents.unlistedAt = at;
    this.#saveState(contents);
  }

  /** Gives up what is known of the assignment, pending chunks included. */
  forget(key: AssignmentKey): void {
    const contents = this.find(key);
    if (!contents) return;
    const places = this.#contents.forget(contents);
    const header = { kind: "forget", seq: this.#nextSeq++, key: contents.key } as const;
    this.#commits.appendUnattended(encodeRecord(header), (place) => {
      this.#tombstones.push({ header, place });
      this.#contents.addLive(place);
      for (const dead of places) this.#contents.removeLive(dead);
    });
    this.#announceFreed();
  }

  /** Resolves when everything that was asked for is on the disk; errors show in {@link isWritable}. */
  async flush(): Promise<void> {
    await this.#commits.idle();
  }

  async close(): Promise<void> {
    await this.flush();
    await this.#files.close();
  }

  /** Once the state is durable, the records at `superseded` are dead. */
  #saveState(contents: KeyContents, superseded: readonly RecordPlace[] = []): void {
    const { key, grant, acceptedThrough, acceptedTotal, unlistedAt } = contents;
    const header: RecordHeader = {
      kind: "state",
      seq: this.#nextSeq++,
      key,
      grant,
      acceptedThrough,
      acceptedItems: contents.acceptedItems.toRanges(),
      ...(acceptedTotal !== undefined && { total: acceptedTotal }),
      ...(unlistedAt !== undefined && { unlistedAt }),
    };
    this.#commits.appendUnattended(encodeRecord(header), (place) => {
      for (const dead of superseded) this.#contents.removeLive(dead);
      // Forgotten in the meantime: the record is dead from the start.
      if (this.find(key) === contents) this.#contents.setStatePlace(contents, place);
    });
  }

  async #write(bytes: Buffer): Promise<{ segment: number; offset: number }> {
    if (this.#files.sizeOf(this.#files.active) >= (this.#options.segmentBytes ?? DEFAULT_SEGMENT_BYTES)) {
      await this.#files.rotate();
    }
    return { segment: this.#files.active, offset: await this.#files.append(bytes) };
  }

  /** Runs between commits, so that nothing else writes. */
  async #reclaim(): Promise<void> {
    for (;;) {
      const oldest = this.#files.numbers[0] ?? 0;
      const action = planReclaim({
        segments: this.#files.numbers.map((number) => ({
          number,
          bytes: this.#files.sizeOf(number),
          liveBytes: this.#contents.liveBytesOf(number),
          isPinned: number === this.#files.active || this.recovery.pinnedSegments.has(number),
        })),
        segmentBytes: this.#options.segmentBytes ?? DEFAULT_SEGMENT_BYTES,
      });
      if (!action) break;
      if (action.kind === "copy") await this.#copyLive(action.segment);
      await this.#files.remove(action.segment);
      this.#contents.removeSegment(action.segment);
      // A tombstone is needed only as long as a file older than itself exists.
      if (action.segment === oldest) this.#buryTombstones();
    }
  }

  async #copyLive(segment: number): Promise<void> {
    const moves: { readonly place: RecordPlace; readonly move: (place: RecordPlace) => void }[] = [];
    for (const contents of this.#contents.keys.values()) {
      if (contents.statePlace?.segment === segment) {
        moves.push({ place: contents.statePlace, move: (p) => this.#contents.setStatePlace(contents, p) });
      }
      for (const pending of contents.chunks.values()) {
        if (pending.place.segment !== segment) continue;
        moves.push({ place: pending.place, move: (p) => this.#moveLive(pending, p) });
      }
    }
    for (const tombstone of this.#tombstones) {
      if (tombstone.place.segment !== segment) continue;
      moves.push({ place: tombstone.place, move: (p) => this.#moveLive(tombstone, p) });
    }
    if (moves.length === 0) return;
    const records = await Promise.all(moves.map(({ place }) => this.#files.read(place)));
    const written = await this.#write(Buffer.concat(records));
    let { offset } = written;
    for (const { place, move } of moves) {
      move({ segment: written.segment, offset, length: place.length });
      offset += place.length;
    }
  }

  #moveLive(owner: { place: RecordPlace }, place: RecordPlace): void {
    this.#contents.removeLive(owner.place);
    owner.place = place;
    this.#contents.addLive(place);
  }

  #buryTombstones(): void {
    const oldest = this.#files.numbers[0] ?? 0;
    for (let index = this.#tombstones.length - 1; index >= 0; index--) {
      const tombstone = this.#tombstones[index];
      if (!tombstone || tombstone.place.segment > oldest) continue;
      this.#contents.removeLive(tombstone.place);
      this.#tombstones.splice(index, 1);
    }
  }

  #announceFreed(): void {
    this.#refusedForSpace = false;
    for (const resolve of this.#freed.splice(0)) resolve();
  }

  #translate(cause: unknown): AutoglmError {
    const code = cause instanceof Error && "code" in cause ? cause.code : undefined;
    if (code === "ENOSPC" || code === "EDQUOT") {
      this.#refusedForSpace = true;
      return new AutoglmError("OutboxFull", "the volume of the outbox is full", { cause });
    }
    return new AutoglmError("OutboxCorrupt", "the outbox can't be read or written", { cause });
  }
}
