import { createHash } from "node:crypto";
import { createReadStream } from "node:fs";
import { open } from "node:fs/promises";
import { AutoglmError, toAutoglmError, type WorkFile } from "@autoglm/api";
import type { BlobStore } from "./blob-store.ts";

/** One try of one address ended. */
type Attempt =
  | { readonly kind: "whole" }
  /** The digest of what came is wrong: it was deleted. */
  | { readonly kind: "wrongDigest" }
  | { readonly kind: "failed"; readonly reason: string };

export interface DownloadOptions {
  readonly blobs: BlobStore;
  readonly file: WorkFile;
  readonly signal: AbortSignal;
  /** Bytes that are on the disk now, those of an earlier begun download included. */
  readonly onProgress: (bytes: number) => void;
  /** Waits before round n (1, 2, …) over all addresses; rejects when the signal aborts. */
  readonly pause: (round: number) => Promise<void>;
  readonly rounds?: number;
  /** Without a byte for that long, the next address is tried. */
  readonly stallMs?: number;
}

const ROUNDS = 3;
const STALL_MS = 30_000;

/**
 * Gets a blob by HTTP, from whichever address has it, going on where an earlier try ended, and checks its digest
 * while it comes in. Two sources with a wrong digest end it: a third would hardly be right.
 * @throws AutoglmError `ModelDigestMismatch`, `ModelUnavailable`, `Aborted`
 */
export async function downloadBlob(options: DownloadOptions): Promise<void> {
  const { file, signal } = options;
  const failures: string[] = [];
  let wrongDigests = 0;
  for (let round = 0; round < (options.rounds ?? ROUNDS); round++) {
    if (round > 0) await options.pause(round);
    for (const url of file.urls) {
      const attempt = await tryAddress(url, options).catch((error: unknown): Attempt => {
        return { kind: "failed", reason: toAutoglmError(error).message };
      });
      if (signal.aborted) throw new AutoglmError("Aborted", "the download was stopped");
      if (attempt.kind === "whole") return;
      if (attempt.kind === "failed") {
        failures.push(`${redactUrl(url)}: ${attempt.reason}`);
        continue;
      }
      wrongDigests++;
      if (wrongDigests === 2 || file.urls.length === 1) throw digestMismatch(file);
    }
    if (wrongDigests > 0) throw digestMismatch(file);
  }
  throw new AutoglmError(
    "ModelUnavailable",
    `${file.path} can't be downloaded: ${failures.at(-1) ?? "it has no address"}`,
    { details: { sha256: file.sha256, failures: failures.slice(-8) } },
  );
}

function digestMismatch(file: WorkFile): AutoglmError {
  return new AutoglmError(
    "ModelDigestMismatch",
    `what the source gives for ${file.path} does not have the sha256 ${file.sha256} and was deleted`,
    { details: { path: file.path, sha256: file.sha256 } },
  );
}

async function tryAddress(url: string, options: DownloadOptions): Promise<Attempt> {
  const { blobs, file, onProgress } = options;
  let have = await blobs.partBytes(file.sha256);
  if (have > file.sizeBytes) {
    await blobs.removePart(file.sha256);
    have = 0;
  }
  const hash = createHash("sha256");
  if (have < file.sizeBytes || file.sizeBytes === 0) {
    const stalled = new AbortController();
    const signal = AbortSignal.any([options.signal, stalled.signal]);
    const stallMs = options.stallMs ?? STALL_MS;
    const timer = setTimeout(() => stalled.abort(new Error(`no data for ${stallMs} ms`)), stallMs);
    try {
      const response = await fetch(url, {
        signal,
        ...(have > 0 && { headers: { range: `bytes=${have}-` } }),
      });
      const starts = startOf(response, have);
      if (starts === undefined) {
        await response.body?.cancel();
        if (response.status === 416) await blobs.removePart(file.sha256);
        return { kind: "failed", reason: `HTTP ${response.status}` };
      }
      const part = await open(blobs.partPath(file.sha256), starts === 0 ? "w" : "r+");
      try {
        // A begun part is hashed again: that is cheap beside the download it spares.
        if (starts > 0) await hashInto(hash, blobs.partPath(file.sha256), starts);
        let at = starts;
        for await (const bytes of response.body ?? []) {
          if (at + bytes.length > file.sizeBytes) return await reject(blobs, file);
          await part.write(bytes, 0, bytes.length, at);
          hash.update(bytes);
          at += bytes.length;
          onProgress(at);
          timer.refresh();
        }
        await part.truncate(at);
        await part.datasync();
        if (at < file.sizeBytes)
          return { kind: "failed", reason: `ended after ${at} of ${file.sizeBytes} bytes` };
      } finally {
        await part.close();
      }
    } finally {
      clearTimeout(timer);
    }
  } else {
    await hashInto(hash, blobs.partPath(file.sha256), have);
  }
  if (hash.digest("hex") !== file.sha256) return await reject(blobs, file);
  await blobs.adopt(file.sha256);
  onProgress(file.sizeBytes);
  return { kind: "whole" };
}

async function reject(blobs: BlobStore, file: WorkFile): Promise<Attempt> {
  await blobs.removePart(file.sha256);
  return { kind: "wrongDigest" };
}

/** Where the body of the response begins in the file; undefined: it is no part of it. */
function startOf(response: Response, asked: number): number | undefined {
  if (response.status === 200) return 0;
  if (response.status !== 206) return undefined;
  const range = /^bytes (\d+)-/.exec(response.headers.get("content-range") ?? "");
  return range && Number(range[1]) === asked ? asked : undefined;
}

async function hashInto(hash: ReturnType<typeof createHash>, path: string, bytes: number): Promise<void> {
  if (bytes === 0) return;
  for await (const part of createReadStream(path, { end: bytes - 1, highWaterMark: 1024 * 1024 })) {
    hash.update(part as Buffer);
  }
}

/** Without credentials and query, for messages. */
function redactUrl(url: string): string {
  try {
    const { protocol, host, pathname } = new URL(url);
    return `${protocol}//${host}${pathname}`;
  } catch {
    return "an address that is no URL";
  }
}
