/**
 * Where a gate writes down its decisions: JSON lines, appended in the order in which things happened. Two parts at most,
 * so that it is bounded: a full part becomes the old one, and the new one begins with a record from which alone it can be
 * replayed.
 *
 *     <scope>.jsonl  <scope>.old.jsonl
 *
 * Lines go to the file together, as soon as the writer is free: a decision is not worth a disk access of its own, and
 * nothing waits for it. What a crash leaves of a last line is cut off when the file is opened again. Where a write fails,
 * what follows can't be replayed without what is lost: the log goes on with a record from which it can.
 */
import { open, readdir, rename, rm, stat, type FileHandle } from "node:fs/promises";
import { join } from "node:path";
import type { GateLogRecord, GateOpenRecord } from "@autoglm/core";
import type { Log } from "@autoglm/telemetry";

/** Of one part. */
const PART_BYTES = 4 * 1024 * 1024;
/** Gates whose decisions are kept; those that were written longest ago go first. */
const KEPT_SCOPES = 64;
/** Longer than any line. */
const TAIL_BYTES = 64 * 1024;

export interface DecisionLogOptions {
  /** Has to exist. */
  readonly folder: string;
  /** Names the file: letters, digits, `.`, `_` and `-`. */
  readonly scope: string;
  /** What a part begins with, as things are when it is called. */
  readonly begin: () => GateOpenRecord;
  readonly log: Log;
  readonly partBytes?: number | undefined;
}

const NEXT_PART = Symbol("next part");

export class DecisionLog {
  readonly #options: DecisionLogOptions;
  readonly #path: string;
  #file: FileHandle;
  /** Of the present part, with what waits. */
  #bytes: number;
  /** What comes next can't be replayed with what stands before it. */
  #isNew = true;
  /** A write failed: the file may end in the middle of a line. */
  #isTorn = false;
  #waiting: (string | typeof NEXT_PART)[] = [];
  #writing: Promise<void> | undefined;

  private constructor(options: DecisionLogOptions, path: string, file: FileHandle, bytes: number) {
    this.#options = options;
    this.#path = path;
    this.#file = file;
    this.#bytes = bytes;
  }

  static async open(options: DecisionLogOptions): Promise<DecisionLog> {
    await removeOldest(options.folder, options.scope);
    const path = join(options.folder, `${options.scope}.jsonl`);
    const file = await open(path, "a+", 0o600);
    return new DecisionLog(options, path, file, await cutTornLine(file));
  }

  append(record: GateLogRecord): void {
    if (this.#bytes >= (this.#options.partBytes ?? PART_BYTES)) {
      this.#waiting.push(NEXT_PART);
      this.#bytes = 0;
      this.#isNew = true;
    }
    if (this.#isNew) this.#push(this.#options.begin());
    this.#isNew = false;
    this.#push(record);
  }

  /** Resolves when all that was appended is in the file. */
  async flush(): Promise<void> {
    while (this.#writing) await this.#writing;
  }

  async close(): Promise<void> {
    await this.flush();
    await this.#file.close();
  }

  #push(record: GateLogRecord): void {
    const line = `${JSON.stringify(record)}\n`;
    this.#waiting.push(line);
    this.#bytes += Buffer.byteLength(line);
    this.#writing ??= this.#write().finally(() => {
      this.#writing = undefined;
    });
  }

  /** Never rejects: inference goes on without a log, and says so. */
  async #write(): Promise<void> {
    // Lets all records of this turn of the event loop into the first write.
    await Promise.resolve();
    while (this.#waiting.length > 0) {
      const waiting = this.#waiting;
      this.#waiting = [];
      try {
        if (this.#isTorn) await cutTornLine(this.#file);
        this.#isTorn = false;
        for (const stretch of stretchesOf(waiting)) {
          if (stretch === NEXT_PART) await this.#startPart();
          else await this.#file.appendFile(stretch);
        }
      } catch (error) {
        this.#isTorn = true;
        this.#isNew = true;
        this.#waiting = [];
        this.#options.log.warn(
          { error, file: this.#path },
          "decisions of the gate could not be written down",
        );
      }
    }
  }

  async #startPart(): Promise<void> {
    // First what a full disk refuses: then the present part stays as it is.
    const path = `${this.#path}.new`;
    const fresh = await open(path, "a+", 0o600);
    try {
      await fresh.truncate();
      await rename(this.#path, oldPartOf(this.#path));
      await rename(path, this.#path);
    } catch (error) {
      await fresh.close();
      throw error;
    }
    await this.#file.close();
    this.#file = fresh;
  }
}

/** Lines that belong together as one text. */
function stretchesOf(waiting: readonly (string | typeof NEXT_PART)[]): (string | typeof NEXT_PART)[] {
  const stretches: (string | typeof NEXT_PART)[] = [];
  for (const entry of waiting) {
    const last = stretches.at(-1);
    if (typeof entry === "string" && typeof last === "string") stretches[stretches.length - 1] = last + entry;
    else stretches.push(entry);
  }
  return stretches;
}

function oldPartOf(path: string): string {
  return path.replace(/\.jsonl$/, ".old.jsonl");
}

/** Returns the length of what is whole. */
async function cutTornLine(file: FileHandle): Promise<number> {
  const { size } = await file.stat();
  const tail = Buffer.alloc(Math.min(size, TAIL_BYTES));
  await file.read(tail, 0, tail.length, size - tail.length);
  const end = size - tail.length + tail.lastIndexOf(0x0a) + 1;
  if (end < size) await file.truncate(end);
  return end;
}

async function removeOldest(folder: string, scope: string): Promise<void> {
  const names = (await readdir(folder)).filter(
    (name) => name.endsWith(".jsonl") && !name.endsWith(".old.jsonl"),
  );
  const others = names.filter((name) => name !== `${scope}.jsonl`);
  const surplus = others.length - (KEPT_SCOPES - 1);
  if (surplus <= 0) return;
  const dated = await Promise.all(
    others.map(async (name) => ({ name, writtenAt: (await stat(join(folder, name))).mtimeMs })),
  );
  const oldest = dated.sort((a, b) => a.writtenAt - b.writtenAt).slice(0, surplus);
  for (const { name } of oldest) {
    await rm(join(folder, name), { force: true });
    await rm(oldPartOf(join(folder, name)), { force: true });
  }
}
