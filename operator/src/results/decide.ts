/**
 * What a chunk of results means for a run, decided once and purely.
 *
 * Invariants, whatever the order and the repetition in which the chunks of any epochs arrive:
 * - an item has at most one final and at most one provisional result, the first that was decided on;
 * - a provisional result is refused once the item has a final one;
 * - the watermark of an assignment covers only chunks that were decided on, from 0 without a gap;
 * - every item that came in was either stored or counted as a duplicate;
 * - a complete run never becomes incomplete.
 *
 * Items are judged one by one even in a chunk that was seen before: a node that lost its disk may count its chunks
 * from 0 again, and its new results must not vanish. Epoch and shard do not decide: results of an older epoch that
 * arrive late are as good as any, if they are first.
 */
import {
  huggingFaceShape,
  type ItemRanges,
  type ItemResult,
  type Ledger,
  type ResultChunk,
} from "@autoglm/api";
import { containsItem, contiguousFromZero, countItems, rangesOf, unionOfRanges } from "@autoglm/core";

const SAMPLE_ITEMS = 5;
const SAMPLE_CHARACTERS = 512;

/** Everything that is known of one run without reading its results. Plain JSON. */
export interface RunState {
  readonly run: number;
  /** Items with a final result. */
  readonly accepted: ItemRanges;
  /** Items that had a provisional result at some time. */
  readonly provisional: ItemRanges;
  /** Accepted items whose result is an error. */
  readonly failed: number;
  /** Rows stored, final and provisional: the acceptance number of the next one. */
  readonly rows: number;
  readonly duplicatesDropped: number;
  /** Items in the input, as the highest epoch that read it to its end said. */
  readonly total?: { readonly items: number; readonly epoch: number };
  readonly firstAcceptedAt?: string;
  readonly lastAcceptedAt?: string;
  readonly sample: Ledger["sample"];
  readonly assignments: readonly AssignmentState[];
}

interface AssignmentState {
  readonly epoch: number;
  readonly shard: number;
  /** Chunks decided on. */
  readonly chunks: ItemRanges;
}

export interface ChunkDecision {
  /** Results to store, in their order in the chunk. */
  readonly rows: readonly ItemResult[];
  readonly state: RunState;
}

export function emptyRun(run: number): RunState {
  return {
    run,
    accepted: [],
    provisional: [],
    failed: 0,
    rows: 0,
    duplicatesDropped: 0,
    sample: [],
    assignments: [],
  };
}

/** @param facts the chunk must be of the state's run; `now` is when it is decided, ISO 8601 */
export function decideChunk(facts: {
  readonly state: RunState;
  readonly chunk: ResultChunk;
  readonly now: string;
}): ChunkDecision {
  const { state, chunk, now } = facts;
  const finals = new Map<number, ItemResult>();
  const provisionals = new Set<number>();
  const rows: ItemResult[] = [];
  for (const result of chunk.items) {
    const { item, stage } = result;
    if (containsItem(state.accepted, item) || finals.has(item)) continue;
    if (stage === "final") {
      finals.set(item, result);
    } else {
      if (containsItem(state.provisional, item) || provisionals.has(item)) continue;
      provisionals.add(item);
    }
    rows.push(result);
  }
  const failed = [...finals.values()].filter(({ error }) => error !== undefined).length;
  return {
    rows,
    state: {
      ...state,
      accepted: unionOfRanges(state.accepted, rangesOf(finals.keys())),
      provisional: unionOfRanges(state.provisional, rangesOf(provisionals)),
      failed: state.failed + failed,
      rows: state.rows + rows.length,
      duplicatesDropped: state.duplicatesDropped + chunk.items.length - rows.length,
      ...decideTotal(state, chunk),
      ...(finals.size > 0 && { firstAcceptedAt: state.firstAcceptedAt ?? now, lastAcceptedAt: now }),
      sample: sampleOf(state.sample, finals),
      assignments: withChunk(state.assignments, chunk),
    },
  };
}

/** True when every item of the input has a final result. */
export function runIsComplete({ total, accepted }: RunState): boolean {
  return total !== undefined && contiguousFromZero(accepted) >= total.items;
}

/** Most gaps in what a run has; honest results come nearly in order, and the whole state is written with each chunk. */
const MOST_RANGES = 16_384;

/** True for a state that only a node that means harm, by numbers with gaps, brings about. */
export function isTooScattered({ accepted, provisional, assignments }: RunState): boolean {
  const lists = [accepted, provisional, ...assignments.map(({ chunks }) => chunks)];
  return lists.some(({ length }) => length > MOST_RANGES);
}

function decideTotal(state: RunState, { end, key }: ResultChunk): Pick<RunState, "total"> {
  if (end === undefined || runIsComplete(state)) return {};
  if (state.total !== undefined && state.total.epoch >= key.epoch) return {};
  return { total: { items: end.total, epoch: key.epoch } };
}

function withChunk(assignments: readonly AssignmentState[], { key, chunk }: ResultChunk): AssignmentState[] {
  const isSame = ({ epoch, shard }: AssignmentState) => epoch === key.epoch && shard === key.shard;
  const chunks = unionOfRanges(assignments.find(isSame)?.chunks ?? [], [[chunk, chunk]]);
  return [
    ...assignments.filter((assignment) => !isSame(assignment)),
    { epoch: key.epoch, shard: key.shard, chunks },
  ];
}

function sampleOf(sample: Ledger["sample"], finals: ReadonlyMap<number, ItemResult>): Ledger["sample"] {
  const last = sample.at(SAMPLE_ITEMS - 1)?.item ?? Infinity;
  const added = [...finals.values()].filter(({ item }) => item < last);
  if (added.length === 0) return sample;
  const lowest = added.sort((a, b) => a.item - b.item).slice(0, SAMPLE_ITEMS);
  return [...sample, ...lowest.map((result) => ({ item: result.item, output: sampleText(result) }))]
    .sort((a, b) => a.item - b.item)
    .slice(0, SAMPLE_ITEMS);
}

function sampleText({ output, error }: ItemResult): string {
  const text = JSON.stringify(output === undefined ? { error } : huggingFaceShape(output));
  if (text.length <= SAMPLE_CHARACTERS) return text;
  // A surrogate pair cut in half is no valid text.
  return text.slice(0, SAMPLE_CHARACTERS - 1).replace(/[\uD800-\uDBFF]$/, "") + "…";
}

/** Most ranges and assignments that a ledger message holds. */
const LEDGER_RANGES = 4096;
const LEDGER_ASSIGNMENTS = 512;

/**
 * The ledger of a run. Watermarks are given for every run that is kept, so that a node can delete what it still
 * holds of an earlier one. A list that is too long is cut: what is left out is computed again, or deleted later.
 */
export function ledgerOf(facts: {
  readonly task: string;
  readonly state: RunState;
  /** All runs that are kept. */
  readonly runs: readonly RunState[];
  readonly revision: number;
  readonly storeFull: boolean;
}): Ledger {
  const { task, state, runs, revision, storeFull } = facts;
  const { firstAcceptedAt, lastAcceptedAt } = state;
  return {
    v: 1,
    task,
    run: state.run,
    revision,
    accepted: countItems(state.accepted),
    failed: state.failed,
    ...(state.total && { total: state.total.items }),
    complete: runIsComplete(state),
    duplicatesDropped: state.duplicatesDropped,
    ...(firstAcceptedAt !== undefined && { firstAcceptedAt }),
    ...(lastAcceptedAt !== undefined && { lastAcceptedAt }),
    acceptedItems: state.accepted.slice(0, LEDGER_RANGES),
    assignments: runs
      .flatMap(({ run, assignments }) => assignments.map((assignment) => ({ run, ...assignment })))
      .sort((a, b) => b.run - a.run || b.epoch - a.epoch || a.shard - b.shard)
      .slice(0, LEDGER_ASSIGNMENTS)
      .map(({ run, shard, epoch, chunks }) => ({
        task,
        run,
        shard,
        epoch,
        acceptedThrough: contiguousFromZero(chunks) - 1,
      })),
    sample: state.sample,
    storeFull,
  };
}
