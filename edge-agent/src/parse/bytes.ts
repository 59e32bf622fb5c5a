/** Byte streams: looking ahead, bounds on what comes out of a decompressor, and random access within a limit. */
import { randomUUID } from "node:crypto";
import { constants } from "node:fs";
import { open, unlink, type FileHandle } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createGunzip } from "node:zlib";
import { Readable } from "node:stream";
import { refuse, type ByteSource } from "./items.ts";

/** Output of one decompressor that is looked at for its ratio. */
const BOMB_BYTES = 16 * 1024 * 1024;
/** Text compresses ten- to fiftyfold; only bombs and empty disks go beyond this. */
const MAX_RATIO = 250;
/** What all archives of one input may unpack to. */
const MAX_INFLATED_BYTES = 16 * 1024 ** 3;
/** An archive that is no local file is read from a spool file of at most this size. */
export const MAX_SPOOL_BYTES = 2 * 1024 ** 3;
/** A spool up to this size stays in memory. */
const MAX_BUFFER_BYTES = 8 * 1024 * 1024;

/** Looks at the first bytes; `source` then has all of them. Close it, whether it was read or not. */
export async function peekBytes(
  source: ByteSource,
  length: number,
): Promise<{ readonly head: Uint8Array; readonly source: ByteSource; readonly close: () => Promise<void> }> {
  const iterator = source[Symbol.asyncIterator]();
  const chunks: Uint8Array[] = [];
  let size = 0;
  let done = false;
  while (size < length && !done) {
    const next = await iterator.next();
    if (next.done === true) done = true;
    else {
      chunks.push(next.value);
      size += next.value.length;
    }
  }
  const close = async () => void (await iterator.return?.());
  async function* replay(): AsyncGenerator<Uint8Array> {
    try {
      yield* chunks;
      if (!done)
        for (let next = await iterator.next(); next.done !== true; next = await iterator.next())
          yield next.value;
    } finally {
      await close();
    }
  }
  return {
    head: chunks.length === 1 ? (chunks[0] ?? new Uint8Array(0)) : Buffer.concat(chunks),
    // A file read to its end is closed, and small enough to be here already.
    source: Object.assign(replay(), !done && source.file && { file: source.file }),
    close,
  };
}

/** Counts what decompressors give, over all archives of one input. */
export class InflateBudget {
  #inflated = 0;

  /**
   * @param compressed bytes that went in so far
   * @throws AutoglmError `InputTooLarge` for what only a decompression bomb does
   */
  async *guard(output: AsyncIterable<Uint8Array>, compressed: () => number): AsyncGenerator<Uint8Array> {
    let own = 0;
    for await (const chunk of output) {
      own += chunk.length;
      this.#inflated += chunk.length;
      if (own > BOMB_BYTES && own > compressed() * MAX_RATIO) {
        throw refuse(
          "InputTooLarge",
          `it unpacks to more than ${MAX_RATIO} times its size, as decompression bombs do; give the file without compression`,
        );
      }
      this.check();
      yield chunk;
    }
  }

  /** @throws AutoglmError `InputTooLarge` once it is used up */
  check(): void {
    if (!this.isSpent) return;
    throw refuse(
      "InputTooLarge",
      `an input may unpack to ${MAX_INFLATED_BYTES / 1024 ** 3} GiB in all; split it into several tasks`,
    );
  }

  get isSpent(): boolean {
    return this.#inflated > MAX_INFLATED_BYTES;
  }

  /** @throws AutoglmError `ItemInvalid` for data that is no gzip to its end */
  async *gunzip(source: AsyncIterable<Uint8Array>): AsyncGenerator<Uint8Array> {
    let compressed = 0;
    async function* counted(): AsyncGenerator<Uint8Array> {
      for await (const chunk of source) {
        compressed += chunk.length;
        yield chunk;
      }
    }
    const gunzip = createGunzip();
    const input = Readable.from(counted(), { objectMode: false, highWaterMark: 64 * 1024 });
    input.on("error", (error) => gunzip.destroy(error)).pipe(gunzip);
    try {
      yield* this.guard(gunzip, () => compressed);
    } catch (error) {
      if (isZlibError(error)) {
        throw refuse("ItemInvalid", "its gzip data is damaged or cut off; pack it again", error);
      }
      throw error;
    } finally {
      input.destroy();
      gunzip.destroy();
    }
  }
}

const isZlibError = (error: unknown): boolean =>
  error instanceof Error && "code" in error && typeof error.code === "string" && error.code.startsWith("Z_");

/** A document whose parts can be read in any order: a local file in place, else in memory or in a file without a name. */
export interface RandomAccess {
  readonly at: { readonly fd: number; readonly size: number } | { readonly bytes: Uint8Array };
  readonly size: number;
  readonly close: () => Promise<void>;
}

/**
 * @param limit bytes that `what` may have where it has to be copied
 * @param inPlace bytes that it may have as a local file
 * @throws AutoglmError `InputTooLarge`
 */
export async function randomAccess(
  source: ByteSource,
  { limit, what, inPlace }: { readonly limit: number; readonly what: string; readonly inPlace: number },
): Promise<RandomAccess> {
  const { file } = source;
  if (file !== undefined) {
    if (file.size > inPlace) throw overLimit(what, inPlace);
    return { at: { fd: file.fd, size: file.size }, size: file.size, close: async () => undefined };
  }
  const chunks: Uint8Array[] = [];
  let size = 0;
  let spool: FileHandle | undefined;
  try {
    for await (const chunk of source) {
      size += chunk.length;
      if (size > limit) throw overLimit(what, limit);
      if (spool === undefined && size > MAX_BUFFER_BYTES) {
        spool = await openSpool();
        for (const waiting of [...chunks, chunk]) await spool.appendFile(waiting);
        chunks.length = 0;
      } else if (spool === undefined) chunks.push(chunk);
      else await spool.appendFile(chunk);
    }
  } catch (error) {
    await spool?.close();
    throw error;
  }
  if (spool !== undefined) {
    const held = spool;
    return { at: { fd: held.fd, size }, size, close: () => held.close() };
  }
  return { at: { bytes: Buffer.concat(chunks) }, size, close: async () => undefined };
}

/** Without a name at once: it is gone with the process, however that ends. */
async function openSpool(): Promise<FileHandle> {
  const path = join(tmpdir(), `autoglm-spool-${randomUUID()}`);
  const file = await open(path, constants.O_RDWR | constants.O_CREAT | constants.O_EXCL, 0o600);
  await unlink(path);
  return file;
}

const overLimit = (what: string, limit: number) =>
  refuse(
    "InputTooLarge",
    `${what} may have ${limit / 1024 ** 2} MiB here; split it, or convert it to csv or jsonl, which have no limit`,
  );
