/**
 * Models on the node's disk.
 *
 *   wanted ──► admitted (room on the volume) ──► Downloading ──► Ready        Loaded is the engine's word
 *                  │ no room                         │ digest wrong, sources gone
 *                  └───────────────► error ◄─────────┘
 *
 * Files are blobs by digest (blob-store.ts), shared by all variants that have them; a variant is a folder of hard
 * links with the names that the engine expects, beside a description of it, so that the node knows what it holds
 * after a restart without a link. Nothing is deleted that an assignment wants.
 */
import { createHash } from "node:crypto";
import { link, mkdir, readdir, readFile, rename, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import {
  AutoglmError,
  formatQuantity,
  toAutoglmError,
  type ModelReport,
  type WorkFile,
  type OnnxWorkModel,
} from "@autoglm/api";
import type { Log } from "@autoglm/telemetry";
import { z } from "zod";
import { BlobStore } from "./blob-store.ts";
import { downloadEtaSeconds, planCollection } from "./plan.ts";
import { SharedDownloads } from "./shared-downloads.ts";

export interface ModelOnDisk {
  readonly name: string;
  readonly variant: string;
  /** Holds model.onnx, pipeline.json, …. */
  readonly directory: string;
  readonly contextLength: number;
  readonly memoryBytes: number;
  /** Of all files: two variants with the same digest are the same. */
  readonly digest: string;
}

export interface ModelStoreOptions {
  readonly folder: string;
  /** Tried after a file's own addresses: `<url>/models/sha256/<digest>`. */
  readonly modelServerUrl: string;
  /** Blobs that nobody wants are kept up to this, for the next task. */
  readonly limitBytes: number;
  readonly log: Log;
  /** A state changed or a download went on. */
  readonly onChange: () => void;
  readonly now?: () => number;
  readonly random?: () => number;
  readonly pauseMs?: number;
}

/** Left on the volume for the outbox and everybody else. */
const RESERVED_BYTES = 256 * 1024 * 1024;

const variantSchema = z.object({
  name: z.string(),
  variant: z.string(),
  sizeBytes: z.number(),
  files: z.array(z.object({ path: z.string(), sha256: z.string() })),
  /** Older descriptions lack them. */
  contextLength: z.number().optional(),
  memoryBytes: z.number().optional(),
});

interface Held {
  readonly name: string;
  readonly variant: string;
  readonly sizeBytes: number;
  readonly files: readonly Pick<WorkFile, "path" | "sha256">[];
  readonly contextLength?: number | undefined;
  readonly memoryBytes?: number | undefined;
  state: "Downloading" | "Ready" | "Failed";
  error?: AutoglmError | undefined;
  startedAtMs: number;
  /** Bytes that were there when the download began. */
  bytesAtStart: number;
}

interface Fetch {
  readonly digest: string;
  readonly model: OnnxWorkModel;
  /** Files that it found missing, once there is room for them. */
  admitted: readonly WorkFile[];
}

export class ModelStore {
  readonly #options: ModelStoreOptions;
  readonly #blobs: BlobStore;
  readonly #variantsFolder: string;
  readonly #downloads: SharedDownloads;
  /** By digest of the variant. */
  readonly #held = new Map<string, Held>();
  /** Variants whose folder was made by this process, or is being made: an engine may be reading from it. */
  readonly #linked = new Map<string, Promise<string>>();
  /** Fetches under way, one for each task: their models are as good as wanted. */
  readonly #fetches = new Set<Fetch>();
  /** Of the last fetch that asked for room. */
  #admitting: Promise<void> = Promise.resolve();
  readonly #now: () => number;
  #wanted: ReadonlySet<string> = new Set();

  constructor(options: ModelStoreOptions) {
    this.#options = options;
    this.#blobs = new BlobStore(join(options.folder, "blobs", "sha256"));
    this.#variantsFolder = join(options.folder, "variants");
    this.#now = options.now ?? Date.now;
    const { modelServerUrl, log, random, pauseMs, onChange } = options;
    this.#downloads = new SharedDownloads({
      blobs: this.#blobs,
      modelServerUrl,
      log,
      random,
      pauseMs,
      now: this.#now,
      onProgress: onChange,
      onFetched: (sha256) => this.#linkAgain(sha256),
    });
  }

  /** Reads what is on the disk. */
  async open(): Promise<void> {
    await this.#blobs.open();
    await mkdir(this.#variantsFolder, { recursive: true });
    const present = new Set((await this.#blobs.list()).map(({ sha256 }) => sha256));
    for (const name of await readdir(this.#variantsFolder)) {
      const digest = /^([0-9a-f]{64})\.json$/.exec(name)?.[1];
      if (digest === undefined) continue;
      const text = await readFile(join(this.#variantsFolder, name), "utf8");
      const parsed = variantSchema.safeParse(parseJson(text));
      if (!parsed.success || !parsed.data.files.every(({ sha256 }) => present.has(sha256))) {
        await this.#removeVariant(digest);
        continue;
      }
      this.#held.set(digest, { ...parsed.data, state: "Ready", startedAtMs: 0, bytesAtStart: 0 });
    }
  }

  /** Digests of files that assignments want: they are not collected. */
  setWanted(wanted: ReadonlySet<string>): void {
    this.#wanted = wanted;
  }

  /** For when it is not known of all assignments what they want: what was wanted before may be still. */
  addWanted(more: ReadonlySet<string>): void {
    this.#wanted = this.#wanted.union(more);
  }

  /**
   * Resolves when every file of the model is on the disk with its digest checked.
   * @param onMissing called before the first byte, if there is one to fetch
   * @throws AutoglmError `ModelDigestMismatch`, `ModelUnavailable` (no source, or no room), `Aborted`
   */
  async ensure(
    model: OnnxWorkModel,
    signal: AbortSignal,
    onMissing: () => void = () => undefined,
  ): Promise<ModelOnDisk> {
    const digest = digestOf(model);
    const held = this.#startHolding(digest, model);
    const mine: Fetch = { digest, model, admitted: [] };
    this.#fetches.add(mine);
    try {
      const missing: WorkFile[] = [];
      for (const file of model.files) {
        if (!(await this.#blobs.verify(file.sha256, signal))) missing.push(file);
      }
      if (missing.length > 0) {
        onMissing();
        held.state = "Downloading";
        held.startedAtMs = this.#now();
        await this.#admit(mine, missing);
        held.bytesAtStart = await this.#heldBytes(held);
        this.#options.onChange();
        for (const file of missing) await this.#downloads.fetch(file, signal);
      }
      const directory = await this.#linkOnce(digest, model);
      for (const { sha256 } of model.files) await this.#blobs.touch(sha256, new Date(this.#now()));
      Object.assign(held, { state: "Ready", error: undefined });
      this.#options.onChange();
      const { name, variant, contextLength, memoryBytes } = model;
      return { name, variant, directory, contextLength, memoryBytes, digest };
    } catch (cause) {
      const error = signal.aborted
        ? new AutoglmError("Aborted", "stopped", { cause })
        : toAutoglmError(cause);
      if (error.code !== "Aborted") Object.assign(held, { state: "Failed", error });
      else if (held.state === "Downloading" && !this.#isFetchedBesides(mine)) this.#held.delete(digest);
      this.#options.onChange();
      throw error;
    } finally {
      this.#fetches.delete(mine);
    }
  }

  /** What can be run as it lies on the disk. */
  ready(): readonly ModelOnDisk[] {
    const ready: ModelOnDisk[] = [];
    for (const [digest, { name, variant, state, contextLength, memoryBytes }] of this.#held) {
      if (state !== "Ready" || contextLength === undefined || memoryBytes === undefined) continue;
      const directory = join(this.#variantsFolder, digest);
      ready.push({ name, variant, directory, contextLength, memoryBytes, digest });
    }
    return ready;
  }

  /** What the node holds, for its heartbeat. */
  async reports(): Promise<ModelReport[]> {
    const reports: ModelReport[] = [];
    for (const held of this.#held.values()) {
      const downloadedBytes = held.state === "Ready" ? held.sizeBytes : await this.#heldBytes(held);
      const etaSeconds =
        held.state === "Downloading"
          ? downloadEtaSeconds({
              startedAtMs: held.startedAtMs,
              nowMs: this.#now(),
              receivedBytes: downloadedBytes - held.bytesAtStart,
              remainingBytes: held.sizeBytes - downloadedBytes,
            })
          : undefined;
      reports.push({
        model: held.name,
        variant: held.variant,
        state: held.state,
        downloadedBytes,
        sizeBytes: held.sizeBytes,
        ...(etaSeconds !== undefined && { etaSeconds }),
        ...(held.error && { error: { code: held.error.code, message: held.error.message.slice(0, 1024) } }),
      });
    }
    return reports;
  }

  /** Deletes what nobody wants, begun downloads too, beyond the limit or to make room. */
  async collect(neededBytes = 0): Promise<void> {
    const blobs = [...(await this.#blobs.list()), ...(await this.#blobs.listParts())];
    const freeBytes = await this.#spareBytes();
    const { limitBytes, log } = this.#options;
    const wanted = new Set(blobs.map(({ sha256 }) => sha256).filter((sha256) => this.#isInUse(sha256)));
    const removed = planCollection({ blobs, wanted, limitBytes, freeBytes, neededBytes });
    for (const { sha256, sizeBytes, isPart } of removed) {
      // A task may have begun to fetch it since.
      if (this.#isInUse(sha256)) continue;
      if (isPart) await this.#blobs.removePart(sha256);
      else await this.#removeBlob(sha256);
      log.info({ sha256, sizeBytes, isPart }, "deleted a model file that nobody wants");
    }
  }

  /** An assignment wants the file, a task is fetching its model, or a download of it has not ended yet. */
  #isInUse(sha256: string): boolean {
    if (this.#wanted.has(sha256) || this.#downloads.bytesOf(sha256) !== undefined) return true;
    return [...this.#fetches].some(({ model }) => model.files.some((file) => file.sha256 === sha256));
  }

  /** With the variants that have it. */
  async #removeBlob(sha256: string): Promise<void> {
    for (const [digest, held] of this.#held) {
      if (!held.files.some((file) => file.sha256 === sha256)) continue;
      this.#held.delete(digest);
      await this.#removeVariant(digest);
    }
    await this.#blobs.remove(sha256);
  }

  #startHolding(digest: string, model: OnnxWorkModel): Held {
    const known = this.#held.get(digest);
    if (known && known.state !== "Failed") return known;
    const fresh: Held = {
      name: model.name,
      variant: model.variant,
      sizeBytes: model.files.reduce((sum, { sizeBytes }) => sum + sizeBytes, 0),
      files: model.files,
      contextLength: model.contextLength,
      memoryBytes: model.memoryBytes,
      state: "Downloading",
      error: undefined,
      startedAtMs: this.#now(),
      bytesAtStart: 0,
    };
    // In place: another task that fetches the model has the same entry in hand.
    const held = known === undefined ? fresh : Object.assign(known, fresh);
    this.#held.set(digest, held);
    return held;
  }

  #isFetchedBesides(mine: Fetch): boolean {
    return [...this.#fetches].some((other) => other !== mine && other.digest === mine.digest);
  }

  /** Makes sure that the volume has room before the first byte. One at a time: two would count on the same room. */
  #admit(mine: Fetch, missing: readonly WorkFile[]): Promise<void> {
    const admitted = this.#admitting.then(() => this.#admitAlone(mine, missing));
    this.#admitting = admitted.catch(() => undefined);
    return admitted;
  }

  async #admitAlone(mine: Fetch, missing: readonly WorkFile[]): Promise<void> {
    const promised = new Set(this.#promisedFiles().map(({ sha256 }) => sha256));
    const neededBytes = await this.#blobs.bytesToWrite(missing.filter(({ sha256 }) => !promised.has(sha256)));
    await this.collect(neededBytes);
    const freeBytes = Math.max(0, await this.#spareBytes());
    if (neededBytes <= freeBytes) {
      mine.admitted = missing;
      return;
    }
    throw new AutoglmError(
      "ModelUnavailable",
      `no room for the model: it needs ${formatQuantity(neededBytes)}, the volume of the state folder has ${formatQuantity(freeBytes)} to spare`,
      { details: { neededBytes, freeBytes } },
    );
  }

  /** Bytes that nobody counts on: what is admitted has still to be written. */
  async #spareBytes(): Promise<number> {
    const promisedBytes = await this.#blobs.bytesToWrite(this.#promisedFiles());
    return (await this.#blobs.freeBytes()) - RESERVED_BYTES - promisedBytes;
  }

  #promisedFiles(): readonly WorkFile[] {
    return [...this.#fetches].flatMap(({ admitted }) => admitted);
  }

  /** The folders of variants link to the blob that was: they are made again, once. */
  #linkAgain(fetched: string): void {
    for (const [digest, { files }] of this.#held) {
      if (files.some(({ sha256 }) => sha256 === fetched)) this.#linked.delete(digest);
    }
  }

  #linkOnce(digest: string, model: OnnxWorkModel): Promise<string> {
    let linked = this.#linked.get(digest);
    if (!linked) {
      linked = this.#linkVariant(digest, model);
      this.#linked.set(digest, linked);
      linked.catch(() => this.#linked.delete(digest));
    }
    return linked;
  }

  async #linkVariant(digest: string, model: OnnxWorkModel): Promise<string> {
    const directory = join(this.#variantsFolder, digest);
    const fresh = `${directory}.new`;
    await rm(fresh, { recursive: true, force: true });
    await mkdir(fresh);
    for (const { path, sha256 } of model.files) {
      if (path.includes("/") || path === "..") {
        throw new AutoglmError("InvalidMessage", `"${path}" is no file name`, { retry: "never" });
      }
      await link(this.#blobs.path(sha256), join(fresh, path));
    }
    await rm(directory, { recursive: true, force: true });
    await rename(fresh, directory);
    const files = model.files.map(({ path, sha256 }) => ({ path, sha256 }));
    const sizeBytes = model.files.reduce((sum, file) => sum + file.sizeBytes, 0);
    const { name, variant, contextLength, memoryBytes } = model;
    const description = { name, variant, sizeBytes, files, contextLength, memoryBytes };
    await writeFile(`${directory}.json`, JSON.stringify(description));
    return directory;
  }

  async #removeVariant(digest: string): Promise<void> {
    this.#linked.delete(digest);
    await rm(join(this.#variantsFolder, `${digest}.json`), { force: true });
    await rm(join(this.#variantsFolder, digest), { recursive: true, force: true });
  }

  async #heldBytes(held: Held): Promise<number> {
    const present = new Map((await this.#blobs.list()).map(({ sha256, sizeBytes }) => [sha256, sizeBytes]));
    let bytes = 0;
    for (const { sha256 } of held.files) {
      bytes +=
        present.get(sha256) ?? this.#downloads.bytesOf(sha256) ?? (await this.#blobs.partBytes(sha256));
    }
    return Math.min(bytes, held.sizeBytes);
  }
}

function digestOf(model: OnnxWorkModel): string {
  const hash = createHash("sha256");
  for (const { path, sha256 } of model.files.toSorted((a, b) => (a.path < b.path ? -1 : 1))) {
    hash.update(`${path}\n${sha256}\n`);
  }
  return hash.digest("hex");
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}
