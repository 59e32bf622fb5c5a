import { createHash } from "node:crypto";
import { createReadStream } from "node:fs";
import { mkdir, readdir, readFile, rename, rm, stat, statfs, utimes, writeFile } from "node:fs/promises";
import { join } from "node:path";

export interface StoredBlob {
  readonly sha256: string;
  readonly sizeBytes: number;
  /** When it was last wanted; of a part, when it last grew. */
  readonly usedAtMs: number;
  readonly isPart: boolean;
}

/** A blob that is being put together; a later process goes on with it. */
const PART = ".part";
/** Beside a blob: its size and time of change when its digest was last checked. */
const VERIFIED = ".verified";

/**
 * Model files by the sha256 of their content:
 *
 *   <sha>.part ──whole, digest right──► <sha> + <sha>.verified
 *
 * A blob is trusted without reading it again as long as its size and its time of change are those of its marker; else
 * it is read and hashed before it is used.
 */
export class BlobStore {
  readonly folder: string;

  constructor(folder: string) {
    this.folder = folder;
  }

  async open(): Promise<void> {
    await mkdir(this.folder, { recursive: true });
  }

  path(sha256: string): string {
    return join(this.folder, sha256);
  }

  partPath(sha256: string): string {
    return this.path(sha256) + PART;
  }

  /** Bytes of a download that was begun; 0 when there is none. */
  async partBytes(sha256: string): Promise<number> {
    return (await sizeOf(this.partPath(sha256))) ?? 0;
  }

  /** The blob is there and its digest is right. One that is damaged is deleted. */
  async verify(sha256: string, signal?: AbortSignal): Promise<boolean> {
    const file = await stat(this.path(sha256)).catch(() => undefined);
    if (!file) return false;
    const marker = await readFile(this.path(sha256) + VERIFIED, "utf8").catch(() => undefined);
    if (marker === markerText(file)) return true;
    if ((await hashFile(this.path(sha256), signal)) !== sha256) {
      await this.remove(sha256);
      return false;
    }
    await writeFile(this.path(sha256) + VERIFIED, markerText(file));
    return true;
  }

  /** Turns a part whose digest was checked into the blob. */
  async adopt(sha256: string): Promise<void> {
    await rename(this.partPath(sha256), this.path(sha256));
    await writeFile(this.path(sha256) + VERIFIED, markerText(await stat(this.path(sha256))));
  }

  async removePart(sha256: string): Promise<void> {
    await rm(this.partPath(sha256), { force: true });
  }

  async remove(sha256: string): Promise<void> {
    await rm(this.path(sha256) + VERIFIED, { force: true });
    await rm(this.path(sha256), { force: true });
  }

  /** Notes that the blob is wanted now. */
  async touch(sha256: string, at: Date): Promise<void> {
    await utimes(this.path(sha256) + VERIFIED, at, at).catch(() => undefined);
  }

  async list(): Promise<StoredBlob[]> {
    const blobs: StoredBlob[] = [];
    for (const sha256 of await this.#digestsOf(/^([0-9a-f]{64})$/)) {
      const file = await stat(this.path(sha256)).catch(() => undefined);
      const marker = await stat(this.path(sha256) + VERIFIED).catch(() => undefined);
      if (!file) continue;
      blobs.push({ sha256, sizeBytes: file.size, usedAtMs: marker?.mtimeMs ?? file.mtimeMs, isPart: false });
    }
    return blobs;
  }

  /** Downloads that were begun. */
  async listParts(): Promise<StoredBlob[]> {
    const parts: StoredBlob[] = [];
    for (const sha256 of await this.#digestsOf(/^([0-9a-f]{64})\.part$/)) {
      const file = await stat(this.partPath(sha256)).catch(() => undefined);
      if (file) parts.push({ sha256, sizeBytes: file.size, usedAtMs: file.mtimeMs, isPart: true });
    }
    return parts;
  }

  /** Bytes of these files that are not on the disk yet; a file that is listed twice is written once. */
  async bytesToWrite(files: readonly Pick<StoredBlob, "sha256" | "sizeBytes">[]): Promise<number> {
    // Parts first: one that becomes whole in between is in both lists and not in none.
    const stored = [...(await this.listParts()), ...(await this.list())];
    const writtenBytes = new Map(stored.map(({ sha256, sizeBytes }) => [sha256, sizeBytes]));
    const missingBytes = new Map(
      files.map(({ sha256, sizeBytes }) => [
        sha256,
        Math.max(0, sizeBytes - (writtenBytes.get(sha256) ?? 0)),
      ]),
    );
    return missingBytes.values().reduce((sum, bytes) => sum + bytes, 0);
  }

  /** Bytes that may still be written to the volume. */
  async freeBytes(): Promise<number> {
    const { bavail, bsize } = await statfs(this.folder);
    return bavail * bsize;
  }

  async #digestsOf(name: RegExp): Promise<string[]> {
    return (await readdir(this.folder)).flatMap((entry) => name.exec(entry)?.[1] ?? []);
  }
}

/** sha256 of a file as hex. */
async function hashFile(path: string, signal?: AbortSignal): Promise<string> {
  const hash = createHash("sha256");
  for await (const bytes of createReadStream(path, {
    highWaterMark: 1024 * 1024,
    ...(signal && { signal }),
  })) {
    hash.update(bytes as Buffer);
  }
  return hash.digest("hex");
}

const markerText = (file: { readonly size: number; readonly mtimeMs: number }) =>
  `${file.size} ${file.mtimeMs}\n`;

async function sizeOf(path: string): Promise<number | undefined> {
  return (await stat(path).catch(() => undefined))?.size;
}
