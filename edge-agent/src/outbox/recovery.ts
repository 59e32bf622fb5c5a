import { assignmentKeyText } from "@autoglm/api";
import { OutboxContents, type RecordPlace } from "./contents.ts";
import { scanSegment, type RecordHeader } from "./record.ts";
import type { SegmentFiles } from "./segments.ts";

export interface Recovery {
  readonly contents: OutboxContents;
  readonly tombstones: readonly { readonly header: RecordHeader; readonly place: RecordPlace }[];
  readonly nextSeq: number;
  /** Damaged records and places; a torn end is none. */
  readonly damaged: number;
  /** The end of the last segment was being written when the process died. */
  readonly wasTorn: boolean;
  /** How many chunk numbers to skip per assignment, because it is not known which were used by what is damaged. */
  readonly skippedNumbers: number;
  /** Per assignment (its key as text): the highest chunk number that the files know. */
  readonly highestOf: ReadonlyMap<string, number>;
  /** Segments to keep: the next start has to see the damage too. */
  readonly pinnedSegments: ReadonlySet<number>;
}

/** Works that may still number chunks as before the damage are long over by then. */
const KEEP_DAMAGED_MS = 24 * 60 * 60 * 1000;
/** More skipped numbers than that mean a destroyed file, where single numbers don't matter any more. */
const MAX_SKIPPED_NUMBERS = 64;

/** Reads all segments and replays what is good in them; cuts a torn end. */
export async function replaySegments(files: SegmentFiles, nowMs: number): Promise<Recovery> {
  const good: { header: RecordHeader; place: RecordPlace }[] = [];
  const lost: RecordHeader[] = [];
  const pinnedSegments = new Set<number>();
  let unknownLosses = 0;
  let wasTorn = false;
  const last = files.numbers.at(-1);
  for (const segment of files.numbers) {
    const { bytes, modifiedAtMs } = await files.readWhole(segment);
    const scan = scanSegment(bytes, { mayBeTorn: segment === last });
    for (const { header, offset, length } of scan.records) {
      good.push({ header, place: { segment, offset, length } });
    }
    lost.push(...scan.lost);
    unknownLosses += scan.unknownLosses;
    wasTorn ||= scan.isTorn;
    if (scan.isTorn) await files.cut(segment, scan.end);
    const isDamaged = scan.lost.length + scan.unknownLosses > 0;
    if (isDamaged && modifiedAtMs > nowMs - KEEP_DAMAGED_MS) pinnedSegments.add(segment);
  }
  const contents = new OutboxContents();
  const tombstones = replay(contents, good, lost);
  return {
    contents,
    tombstones,
    nextSeq: 1 + Math.max(0, ...[...good.map(({ header }) => header), ...lost].map(({ seq }) => seq)),
    damaged: lost.length + unknownLosses,
    wasTorn,
    // A torn end might be a damaged record whose length is unreadable: one number is cheap.
    skippedNumbers: Math.min(MAX_SKIPPED_NUMBERS, unknownLosses + (wasTorn ? 1 : 0)),
    highestOf: new Map(Array.from(contents.keys, ([text, { highest }]) => [text, highest])),
    pinnedSegments,
  };
}

function replay(
  contents: OutboxContents,
  good: readonly { header: RecordHeader; place: RecordPlace }[],
  lost: readonly RecordHeader[],
): { header: RecordHeader; place: RecordPlace }[] {
  const forgottenAt = new Map<string, number>();
  const tombstones = good.filter(({ header }) => header.kind === "forget");
  for (const { header, place } of tombstones) {
    const text = assignmentKeyText(header.key);
    forgottenAt.set(text, Math.max(header.seq, forgottenAt.get(text) ?? -1));
    contents.addLive(place);
  }
  const isForgotten = ({ key, seq }: RecordHeader) => seq < (forgottenAt.get(assignmentKeyText(key)) ?? -1);

  // Copies of one record, left by an interrupted compaction, have the same seq; the first one counts.
  const ordered = good.toSorted((a, b) => a.header.seq - b.header.seq);
  for (const { header, place } of ordered) {
    if (isForgotten(header)) continue;
    if (header.kind === "chunk") contents.addChunk(header, place);
    if (header.kind === "state") applyState(contents, header, place);
  }
  for (const header of lost) {
    if (header.kind !== "chunk" || isForgotten(header)) continue;
    const known = contents.open(header.key);
    known.highest = Math.max(known.highest, header.chunk);
  }
  return tombstones;
}

function applyState(
  contents: OutboxContents,
  header: RecordHeader & { kind: "state" },
  place: RecordPlace,
): void {
  const known = contents.open(header.key);
  known.grant = header.grant;
  known.unlistedAt = header.unlistedAt;
  // What it says of accepted chunks includes the items of those that are dropped here.
  for (const dead of contents.accept(known, header.acceptedThrough)) contents.removeLive(dead);
  known.acceptedItems.addAll(header.acceptedItems);
  known.acceptedTotal = header.total ?? known.acceptedTotal;
  contents.setStatePlace(known, place);
}
