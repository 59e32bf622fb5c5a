import { mkdir, open, readdir, stat, unlink, type FileHandle } from "node:fs/promises";
import { join } from "node:path";
import type { RecordPlace } from "./contents.ts";

const NAME = /^segment-(\d{8})\.log$/;

export interface StoredSegment {
  readonly number: number;
  readonly bytes: Buffer;
  readonly modifiedAtMs: number;
}

/**
 * The files of the outbox: numbered, written at the end of the last one, read anywhere, deleted whole. Knows nothing
 * of what is in them.
 */
export class SegmentFiles {
  readonly #dir: string;
  readonly #handles = new Map<number, Promise<FileHandle>>();
  readonly #sizes = new Map<number, number>();
  /** The segment that is written to. */
  active = 0;

  private constructor(dir: string) {
    this.#dir = dir;
  }

  static async open(dir: string): Promise<SegmentFiles> {
    await mkdir(dir, { recursive: true, mode: 0o700 });
    const files = new SegmentFiles(dir);
    for (const name of await readdir(dir)) {
      const number = NAME.exec(name)?.[1];
      if (number === undefined) continue;
      files.#sizes.set(Number(number), (await stat(join(dir, name))).size);
    }
    files.active = Math.max(0, ...files.#sizes.keys());
    return files;
  }

  /** Ascending. */
  get numbers(): number[] {
    return [...this.#sizes.keys()].sort((a, b) => a - b);
  }

  sizeOf(segment: number): number {
    return this.#sizes.get(segment) ?? 0;
  }

  get totalBytes(): number {
    let total = 0;
    for (const size of this.#sizes.values()) total += size;
    return total;
  }

  async readWhole(segment: number): Promise<StoredSegment> {
    const handle = await this.#handle(segment);
    const { mtimeMs } = await handle.stat();
    const bytes = Buffer.alloc(this.sizeOf(segment));
    await handle.read(bytes, 0, bytes.length, 0);
    return { number: segment, bytes, modifiedAtMs: mtimeMs };
  }

  /** The bytes of one record; shorter than asked where the file ends. */
  async read({ segment, offset, length }: RecordPlace): Promise<Buffer> {
    const bytes = Buffer.alloc(length);
    const { bytesRead } = await (await this.#handle(segment)).read(bytes, 0, length, offset);
    return bytes.subarray(0, bytesRead);
  }

  /** Cuts a segment; what was beyond is gone. */
  async cut(segment: number, size: number): Promise<void> {
    const handle = await this.#handle(segment);
    await handle.truncate(size);
    await handle.datasync();
    this.#sizes.set(segment, size);
  }

  /**
   * Writes at the end of the active segment; resolves with the offset once the bytes are on the disk. After an error
   * the file ends where it ended before.
   */
  async append(bytes: Uint8Array): Promise<number> {
    const offset = this.sizeOf(this.active);
    const handle = await this.#handle(this.active);
    try {
      let written = 0;
      while (written < bytes.length) {
        written += (await handle.write(bytes, written, bytes.length - written, offset + written))
          .bytesWritten;
      }
      await handle.datasync();
    } catch (error) {
      await handle.truncate(offset).catch(() => undefined);
      throw error;
    }
    this.#sizes.set(this.active, offset + bytes.length);
    return offset;
  }

  /** Begins a new segment and makes its name durable. */
  async rotate(): Promise<void> {
    const next = this.active + 1;
    await this.#handle(next);
    await this.#syncFolder();
    this.#sizes.set(next, 0);
    this.active = next;
  }

  async remove(segment: number): Promise<void> {
    const handle = this.#handles.get(segment);
    this.#handles.delete(segment);
    this.#sizes.delete(segment);
    await unlink(this.#path(segment));
    await (await handle)?.close();
  }

  async close(): Promise<void> {
    const handles = [...this.#handles.values()];
    this.#handles.clear();
    for (const handle of handles) await (await handle).close();
  }

  #handle(segment: number): Promise<FileHandle> {
    let handle = this.#handles.get(segment);
    if (!handle) {
      handle = open(this.#path(segment), this.#sizes.has(segment) ? "r+" : "wx+", 0o600);
      this.#handles.set(segment, handle);
      handle.catch(() => this.#handles.delete(segment));
    }
    return handle;
  }

  #path(segment: number): string {
    return join(this.#dir, `segment-${String(segment).padStart(8, "0")}.log`);
  }

  async #syncFolder(): Promise<void> {
    const folder = await open(this.#dir, "r");
    try {
      await folder.sync();
    } finally {
      await folder.close();
    }
  }
}
