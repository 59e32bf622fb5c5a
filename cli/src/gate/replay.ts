/** Reads a decision log and decides everything again by the code that agents run. */
import { createReadStream } from "node:fs";
import { open } from "node:fs/promises";
import { createInterface } from "node:readline";
import { GateReplay, type GateLogRecord, type ReplayDifference } from "@autoglm/core";
import { z } from "zod";

/** Bytes; the longest record has a few hundred. */
const LONGEST_LINE = 64 * 1024;

/** As much as tells a record from something else; what is in it, the replay compares. */
const recordSchema = z.discriminatedUnion("kind", [
  z.looseObject({
    kind: z.literal("open"),
    v: z.number(),
    policy: z.looseObject({}),
    calibration: z.looseObject({}),
  }),
  z.looseObject({
    kind: z.literal("decision"),
    item: z.number(),
    score: z.number().nullable(),
    inputs: z.looseObject({ features: z.looseObject({}) }),
    decision: z.looseObject({}),
  }),
  z.looseObject({
    kind: z.literal("outcome"),
    item: z.number().nullable(),
    score: z.number(),
    pHard: z.number().nullable(),
    agrees: z.boolean(),
    share: z.number(),
  }),
]);

export interface ReplayReport {
  readonly decisions: number;
  readonly outcomes: number;
  /** The first record that is not reproduced. */
  readonly difference?: ReplayDifference & { readonly line: number; readonly item?: number };
}

/** Stops at the first difference; a line that is no record is one. A last line that is being written does not count. */
export async function replayFile(file: string): Promise<ReplayReport> {
  const replay = new GateReplay();
  let line = 0;
  for await (const text of wholeLines(file)) {
    line++;
    const record = parseRecord(text);
    const difference =
      record === undefined
        ? { what: "record", recorded: "no record of a gate", replayed: undefined }
        : replay.next(record);
    if (difference) {
      const item =
        record === undefined || record.kind === "open" || record.item === null ? {} : { item: record.item };
      return {
        decisions: replay.decisions,
        outcomes: replay.outcomes,
        difference: { ...difference, line, ...item },
      };
    }
  }
  return { decisions: replay.decisions, outcomes: replay.outcomes };
}

async function* wholeLines(file: string): AsyncGenerator<string> {
  const end = await endOfLastLine(file);
  if (end === 0) return;
  const input = createReadStream(file, { end: end - 1 });
  yield* createInterface({ input, crlfDelay: Infinity });
}

async function endOfLastLine(file: string): Promise<number> {
  const handle = await open(file);
  try {
    const { size } = await handle.stat();
    const tail = Buffer.alloc(Math.min(size, LONGEST_LINE));
    await handle.read(tail, 0, tail.length, size - tail.length);
    return size - tail.length + tail.lastIndexOf(0x0a) + 1;
  } finally {
    await handle.close();
  }
}

function parseRecord(text: string): GateLogRecord | undefined {
  try {
    const parsed = recordSchema.safeParse(JSON.parse(text));
    // Beyond what was checked, whatever is wrong shows as a difference.
    return parsed.success ? (parsed.data as unknown as GateLogRecord) : undefined;
  } catch {
    return undefined;
  }
}
