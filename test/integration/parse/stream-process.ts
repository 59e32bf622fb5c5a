/**
 * Parses a large document in a process of its own, so that its memory is its own too. argv: name and MiB. Prints what
 * became of it as one line of JSON.
 */
import { setImmediate as turn } from "node:timers/promises";
import { isAutoglmError } from "@autoglm/api";
import { parseDocument } from "../../../edge-agent/src/parse/index.ts";
import { largeDocument, type LargeDocument } from "./large-documents.ts";

export interface StreamOutcome {
  readonly texts: number;
  readonly errors: number;
  /** Of the first items. */
  readonly outcomes: readonly string[];
  readonly lastItem: number;
  readonly lastText: string;
  /** Resident memory at its highest, over what the process had before. */
  readonly grownMebibytes: number;
}

const SHOWN = 5;
const PIECES_A_SAMPLE = 16;

const [name, mebibytes] = process.argv.slice(2);
const before = process.memoryUsage.rss();
let highest = before;

async function* watched(source: AsyncIterable<Uint8Array>): AsyncGenerator<Uint8Array> {
  let pieces = 0;
  for await (const piece of source) {
    if (++pieces % PIECES_A_SAMPLE === 0) highest = Math.max(highest, process.memoryUsage.rss());
    // As a file does, which is read between turns of the event loop.
    await turn();
    yield piece;
  }
}

let [texts, errors, lastItem, lastText] = [0, 0, -1, ""];
const outcomes: string[] = [];
try {
  const document = watched(largeDocument(name as LargeDocument, Number(mebibytes)));
  for await (const item of parseDocument(document, { format: "auto", name: "large" })) {
    const isText = "text" in item;
    if (isText) texts++;
    else errors++;
    lastItem = item.item;
    lastText = isText ? item.text : "";
    if (outcomes.length < SHOWN)
      outcomes.push(isText ? item.text : `${item.error.code}: ${item.error.message}`);
  }
} catch (error) {
  if (!isAutoglmError(error)) throw error;
  outcomes.push(`thrown ${error.code}: ${error.message}`);
}
const outcome: StreamOutcome = {
  texts,
  errors,
  outcomes,
  lastItem,
  lastText,
  grownMebibytes: Math.round((highest - before) / 1024 ** 2),
};
process.stdout.write(`${JSON.stringify(outcome)}\n`);
