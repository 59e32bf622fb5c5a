import { assignmentKeyText, type AssignmentKey, type ItemRanges } from "@autoglm/api";
import { ItemSet } from "./item-set.ts";
import type { RecordHeader } from "./record.ts";

/** Where a record lies; a record that nothing refers to any more is dead, and its bytes can be reclaimed. */
export interface RecordPlace {
  readonly segment: number;
  readonly offset: number;
  readonly length: number;
}

export interface PendingChunk {
  readonly key: AssignmentKey;
  readonly chunk: number;
  readonly items: ItemRanges;
  /** ISO 8601, when it was sealed. */
  readonly producedAt: string;
  readonly total?: number;
  place: RecordPlace;
}

/** What the outbox knows of one assignment. */
export interface KeyContents {
  readonly key: AssignmentKey;
  /** Goes along with every chunk; empty when the record that held it is damaged. */
  grant: string;
  acceptedThrough: number;
  readonly acceptedItems: ItemSet;
  /** Highest chunk number that was ever sealed; those between are pending, accepted or lost. */
  highest: number;
  /** Items of the whole input, when an accepted chunk said so. */
  acceptedTotal: number | undefined;
  /** Since when the assignment is not in the desired document any more; milliseconds. */
  unlistedAt: number | undefined;
  /** By number; those that are neither accepted nor lost. */
  readonly chunks: Map<number, PendingChunk>;
  statePlace: RecordPlace | undefined;
}

/**
 * The outbox's index: what its files say, in memory. Built by replaying records in any order of files, because every
 * record carries a sequence number; a `forget` ends what came before it, the newest `state` of a key counts, a chunk
 * at or below `acceptedThrough` is dead.
 */
export class OutboxContents {
  readonly keys = new Map<string, KeyContents>();
  readonly #liveBytesOfSegment = new Map<number, number>();
  pendingChunks = 0;
  /** Bytes of pending chunks: what the limit counts. */
  pendingBytes = 0;

  find(key: AssignmentKey): KeyContents | undefined {
    return this.keys.get(assignmentKeyText(key));
  }

  /** The key's contents, made empty when there are none. */
  open(key: AssignmentKey): KeyContents {
    const text = assignmentKeyText(key);
    let contents = this.keys.get(text);
    if (!contents) {
      const { task, run, shard, epoch } = key;
      contents = {
        key: { task, run, shard, epoch },
        grant: "",
        acceptedThrough: -1,
        acceptedItems: new ItemSet(),
        highest: -1,
        acceptedTotal: undefined,
        unlistedAt: undefined,
        chunks: new Map(),
        statePlace: undefined,
      };
      this.keys.set(text, contents);
    }
    return contents;
  }

  addChunk(header: RecordHeader & { kind: "chunk" }, place: RecordPlace): void {
    const contents = this.open(header.key);
    const { chunk, items, producedAt, total } = header;
    contents.highest = Math.max(contents.highest, chunk);
    if (chunk <= contents.acceptedThrough || contents.chunks.has(chunk)) return;
    const pending: PendingChunk = {
      key: contents.key,
      chunk,
      items,
      producedAt,
      place,
      ...(total !== undefined && { total }),
    };
    contents.chunks.set(chunk, pending);
    this.pendingChunks++;
    this.pendingBytes += place.length;
    this.addLive(place);
  }

  /**
   * Chunks up to `through` are committed elsewhere. Returns where they lay: their bytes stay live until it is durable
   * that they were accepted.
   */
  accept(contents: KeyContents, through: number): RecordPlace[] {
    if (through <= contents.acceptedThrough) return [];
    contents.acceptedThrough = through;
    contents.highest = Math.max(contents.highest, through);
    const accepted = [...contents.chunks.values()].filter(({ chunk }) => chunk <= through);
    for (const pending of accepted) {
      contents.acceptedItems.addAll(pending.items);
      contents.acceptedTotal ??= pending.total;
      this.drop(contents, pending);
    }
    return accepted.map(({ place }) => place);
  }

  /** The chunk is not pending any more: accepted, forgotten or lost. Its bytes stay live. */
  drop(contents: KeyContents, pending: PendingChunk): void {
    if (!contents.chunks.delete(pending.chunk)) return;
    this.pendingChunks--;
    this.pendingBytes -= pending.place.length;
  }

  /** Returns where its records lay: live until it is durable that they are forgotten. */
  forget(contents: KeyContents): RecordPlace[] {
    const places = [...contents.chunks.values()].map(({ place }) => place);
    for (const pending of contents.chunks.values()) this.drop(contents, pending);
    if (contents.statePlace) places.push(contents.statePlace);
    contents.statePlace = undefined;
    this.keys.delete(assignmentKeyText(contents.key));
    return places;
  }

  setStatePlace(contents: KeyContents, place: RecordPlace | undefined): void {
    if (contents.statePlace) this.removeLive(contents.statePlace);
    contents.statePlace = place;
    if (place) this.addLive(place);
  }

  addLive({ segment, length }: RecordPlace): void {
    this.#liveBytesOfSegment.set(segment, this.liveBytesOf(segment) + length);
  }

  removeLive({ segment, length }: RecordPlace): void {
    const bytes = this.#liveBytesOfSegment.get(segment);
    if (bytes !== undefined) this.#liveBytesOfSegment.set(segment, bytes - length);
  }

  /** The segment's file is gone. */
  removeSegment(segment: number): void {
    this.#liveBytesOfSegment.delete(segment);
  }

  liveBytesOf(segment: number): number {
    return this.#liveBytesOfSegment.get(segment) ?? 0;
  }
}

/** Items with a result that is accepted or pending. */
export function producedItems(contents: KeyContents): ItemSet {
  const items = new ItemSet(contents.acceptedItems.toRanges());
  for (const pending of contents.chunks.values()) items.addAll(pending.items);
  return items;
}

/** Items of the whole input, once a chunk that is accepted or pending says so. */
export function inputTotal(contents: KeyContents): number | undefined {
  if (contents.acceptedTotal !== undefined) return contents.acceptedTotal;
  for (const { total } of contents.chunks.values()) if (total !== undefined) return total;
  return undefined;
}

/** Numbers of chunks that were sealed and then lost to damage: the ingester waits for them. */
export function missingChunks(contents: KeyContents): number[] {
  const missing: number[] = [];
  for (let chunk = contents.acceptedThrough + 1; chunk <= contents.highest; chunk++) {
    if (!contents.chunks.has(chunk)) missing.push(chunk);
  }
  return missing;
}
