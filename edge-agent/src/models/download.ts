import { createHash, type Hash } from "node:crypto";
import { createReadStream } from "node:fs";
import { open } from "node:fs/promises";
import { AutoglmError, toAutoglmError, type WorkFile } from "@autoglm/api";
import type { BlobStore } from "./blob-store.ts";

/** One try of one address ended. */
type Attempt =
  | { readonly kind: "whole" }
  /** The digest is wrong: what was there is deleted. It is the source's fault alone if all bytes came from it. */
  | { readonly kind: "wrongDigest"; readonly isAllFromSource: boolean }
  | { readonly kind: "failed"; readonly reason: string };

/** The hash of the part's first bytes. It grows with the part: going on at the next address needs no second reading. */
interface PartHash {
  hash: Hash;
  bytes: number;
}

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
 * while it comes in. Two sources with a wrong digest end it: a third would hardly be right. A source that only went on
 * with what others began is asked for the whole file before it counts as wrong.
 * @throws AutoglmError `ModelDigestMismatch`, `ModelUnavailable`, `Aborted`
 */
export async function downloadBlob(options: DownloadOptions): Promise<void> {
  const { file, signal } = options;
  const failures: string[] = [];
  const begun: PartHash = { hash: createHash("sha256"), bytes: 0 };
  const ask = (url: string): Promise<Attempt> =>
    tryAddress(url, options, begun).catch((error: unknown) => {
      return { kind: "failed", reason: toAutoglmError(error).message };
    });
  let wrongDigests = 0;
  for (let round = 0; round < (options.rounds ?? ROUNDS); round++) {
    if (round > 0) await options.pause(round);
    for (const url of file.urls) {
      let attempt = await ask(url);
      if (attempt.kind === "wrongDigest" && !attempt.isAllFromSource) attempt = await ask(url);
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

async function tryAddress(url: string, options: DownloadOptions, begun: PartHash): Promise<Attempt> {
  const { blobs, file, onProgress } = options;
  let have = await blobs.partBytes(file.sha256);
  if (have > file.sizeBytes) {
    await blobs.removePart(file.sha256);
    have = 0;
  }
  // Before the source is asked: a slow disk may need longer for a large part than a source may keep silent.
  if (begun.bytes !== have) await hashPart(begun, blobs.partPath(file.sha256), have, options.signal);
  let starts: number | undefined = have;
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
      starts = startOf(response, have);
      if (starts === undefined) {
        await response.body?.cancel();
        if (response.status === 416) await blobs.removePart(file.sha256);
        return { kind: "failed", reason: `HTTP ${response.status}` };
      }
      if (starts === 0) restart(begun);
      const part = await open(blobs.partPath(file.sha256), starts === 0 ? "w" : "r+");
      try {
        let at = starts;
        for await (const bytes of response.body ?? []) {
          if (at + bytes.length > file.sizeBytes) return await reject(options, begun, starts);
          await part.write(bytes, 0, bytes.length, at);
          begun.hash.update(bytes);
          at += bytes.length;
          begun.bytes = at;
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
  }
  if (begun.hash.copy().digest("hex") !== file.sha256) return await reject(options, begun, starts);
  await blobs.adopt(file.sha256);
  onProgress(file.sizeBytes);
  return { kind: "whole" };
}

async function reject({ blobs, file }: DownloadOptions, begun: PartHash, starts: number): Promise<Attempt> {
  await blobs.removePart(file.sha256);
  restart(begun);
  return { kind: "wrongDigest", isAllFromSource: starts === 0 };
}

/** Where the body of the response begins in the file; undefined: it is no part of it. */
function startOf(response: Response, asked: number): number | undefined {
  if (response.status === 200) return 0;
  if (response.status !== 206) return undefined;
  const range = /^bytes (\d+)-/.exec(response.headers.get("content-range") ?? "");
  return range && Number(range[1]) === asked ? asked : undefined;
}

function restart(begun: PartHash): void {
  begun.hash = createHash("sha256");
  begun.bytes = 0;
}

async function hashPart(begun: PartHash, path: string, bytes: number, signal: AbortSignal): Promise<void> {
  restart(begun);
  if (bytes === 0) return;
  for await (const read of createReadStream(path, { end: bytes - 1, highWaterMark: 1024 * 1024, signal })) {
    begun.hash.update(read as Buffer);
    begun.bytes += (read as Buffer).length;
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
