/** Downloads of blobs, one for each at a time: who wants the same blob waits for it, and it stops when nobody does. */
import { setTimeout as sleep } from "node:timers/promises";
import { AutoglmError, hasErrorCode, type WorkFile } from "@autoglm/api";
import type { Log } from "@autoglm/telemetry";
import type { BlobStore } from "./blob-store.ts";
import { downloadBlob } from "./download.ts";

const PAUSE_MS = 1000;
const PROGRESS_INTERVAL_MS = 1000;

export interface SharedDownloadsOptions {
  readonly blobs: BlobStore;
  /** Tried after a file's own addresses: `<url>/models/sha256/<digest>`. */
  readonly modelServerUrl: string;
  readonly log: Log;
  readonly onProgress: () => void;
  /** The blob is new, or made anew. */
  readonly onFetched: (sha256: string) => void;
  readonly now: () => number;
  readonly random?: (() => number) | undefined;
  readonly pauseMs?: number | undefined;
}

interface Download {
  readonly done: Promise<void>;
  readonly stop: AbortController;
  bytes: number;
  waiting: number;
}

export class SharedDownloads {
  readonly #options: SharedDownloadsOptions;
  readonly #running = new Map<string, Download>();

  constructor(options: SharedDownloadsOptions) {
    this.#options = options;
  }

  /** Bytes that are here; undefined where nothing is on its way. */
  bytesOf(sha256: string): number | undefined {
    return this.#running.get(sha256)?.bytes;
  }

  /**
   * Joins a download of the blob that is on its way, or begins one.
   * @throws AutoglmError as {@link downloadBlob}, `Aborted`
   */
  async fetch(file: WorkFile, signal: AbortSignal): Promise<void> {
    const running = this.#running.get(file.sha256);
    if (!running || running.stop.signal.aborted) {
      await running?.done.catch(() => undefined);
      // Somebody else's download may have ended since the file was found missing.
      if (await this.#options.blobs.verify(file.sha256, signal)) return;
    }
    const joined = this.#running.get(file.sha256) ?? this.#begin(file);
    joined.waiting++;
    const leave = Promise.withResolvers<never>();
    const onAbort = () => leave.reject(new AutoglmError("Aborted", "stopped"));
    if (signal.aborted) onAbort();
    signal.addEventListener("abort", onAbort, { once: true });
    try {
      await Promise.race([joined.done, leave.promise]);
    } finally {
      signal.removeEventListener("abort", onAbort);
      joined.waiting--;
      if (joined.waiting === 0) joined.stop.abort();
    }
  }

  #begin(file: WorkFile): Download {
    const stop = new AbortController();
    const { blobs, modelServerUrl, log, onProgress, onFetched, now } = this.#options;
    const { random = Math.random, pauseMs = PAUSE_MS } = this.#options;
    const ownUrl = `${modelServerUrl.replace(/\/$/, "")}/models/sha256/${file.sha256}`;
    let reportedAt = now();
    const fetched = downloadBlob({
      blobs,
      file: { ...file, urls: [...new Set([...file.urls, ownUrl])] },
      signal: stop.signal,
      onProgress: (bytes) => {
        download.bytes = bytes;
        if (now() - reportedAt < PROGRESS_INTERVAL_MS) return;
        reportedAt = now();
        onProgress();
      },
      pause: async (round) => {
        await sleep(pauseMs * 2 ** (round - 1) * (0.5 + random()), undefined, { signal: stop.signal });
      },
    });
    const done = fetched.then(() => {
      onFetched(file.sha256);
      log.info({ path: file.path, sha256: file.sha256, sizeBytes: file.sizeBytes }, "model file is here");
    });
    const download: Download = { done, stop, bytes: 0, waiting: 0 };
    this.#running.set(file.sha256, download);
    void done
      .catch((error: unknown) => {
        if (!hasErrorCode(error, "Aborted")) log.warn({ error }, "model file is not here");
      })
      .finally(() => {
        if (this.#running.get(file.sha256) === download) this.#running.delete(file.sha256);
      });
    return download;
  }
}
