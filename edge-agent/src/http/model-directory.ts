/**
 * The models that this agent serves by name: those in its store, and those in the folder AUTOGLM_SERVE_DIR:
 *
 *     <model>/model.onnx, pipeline.json, …             one variant, named "default"
 *     <model>/<variant>/model.onnx, pipeline.json, …
 */
import { createHash } from "node:crypto";
import { readdirSync, readFileSync, statSync } from "node:fs";
import path from "node:path";
import { AutoglmError } from "@autoglm/api";
import { firstNames } from "@autoglm/core";
import type { ModelOnDisk } from "../engine/index.ts";
import { tensorConfigSchema, type TensorConfig } from "../pipelines/tensor-contract.ts";

export interface ServedEntry {
  readonly model: ModelOnDisk;
  /** Of a model that takes tensors. */
  readonly contract: TensorConfig | undefined;
}

export interface ModelDirectoryOptions {
  readonly serveDir: string | undefined;
  /** Models of the store, by name, as far as they are complete. */
  readonly stored: () => readonly ModelOnDisk[];
}

/** Of an inference process without a model, with room for its work. */
const PROCESS_BYTES = 96 * 1024 * 1024;
/** Weights are packed for the processor beside the ones of the file. */
const WEIGHTS_FACTOR = 1.5;
const DEFAULT_CONTEXT_LENGTH = 512;
/** An unknown name costs a look into the folder at most so often. */
const RESCAN_MS = 1000;

export class ModelDirectory {
  readonly #options: ModelDirectoryOptions;
  readonly #entries = new Map<string, ServedEntry>();
  #ofFolder: readonly ServedEntry[] = [];
  #scannedAt = -Infinity;

  constructor(options: ModelDirectoryOptions) {
    this.#options = options;
    this.refresh();
  }

  /** Looks at store and folder anew. */
  refresh(): void {
    const { serveDir, stored } = this.#options;
    this.#scannedAt = performance.now();
    this.#ofFolder = serveDir === undefined ? [] : scanFolder(serveDir, this.#ofFolder);
    this.#entries.clear();
    // A folder that the user points at goes before what tasks have brought.
    for (const entry of [...this.#ofFolder, ...stored().map(entryOf)]) {
      const { name, variant } = entry.model;
      if (!this.#entries.has(name)) this.#entries.set(name, entry);
      const key = `${name}/${variant}`;
      if (!this.#entries.has(key)) this.#entries.set(key, entry);
    }
  }

  /** @throws AutoglmError `ModelNotFound`, naming the models that there are */
  find(name: string, variant?: string): ServedEntry {
    const key = variant === undefined ? name : `${name}/${variant}`;
    let entry = this.#entries.get(key);
    if (entry === undefined && performance.now() - this.#scannedAt > RESCAN_MS) {
      this.refresh();
      entry = this.#entries.get(key);
    }
    if (entry !== undefined) return entry;
    const names = this.list().map(({ model }) =>
      variant === undefined ? model.name : `${model.name}/${model.variant}`,
    );
    const known = firstNames([...new Set(names)], 20);
    const what = variant === undefined ? name : `${name}, variant ${variant}`;
    throw new AutoglmError(
      "ModelNotFound",
      `this agent has no model ${what.slice(0, 200)}; it has: ${known}; GET /v1/models lists them all`,
    );
  }

  /** Every variant once. */
  list(): readonly ServedEntry[] {
    return [...new Set(this.#entries.values())];
  }

  /** Variants of the folder: they are there to be served, not because a task was here. */
  get ofFolder(): readonly ServedEntry[] {
    return this.#ofFolder;
  }
}

function entryOf(model: ModelOnDisk): ServedEntry {
  const config = readConfig(model.directory);
  const parsed = tensorConfigSchema.safeParse(config);
  return { model, contract: parsed.success ? parsed.data : undefined };
}

function readConfig(directory: string): Readonly<Record<string, unknown>> {
  try {
    const parsed: unknown = JSON.parse(readFileSync(path.join(directory, "pipeline.json"), "utf8"));
    return typeof parsed === "object" && parsed !== null ? { ...parsed } : {};
  } catch {
    // Loading says what is wrong with it.
    return {};
  }
}

function scanFolder(folder: string, known: readonly ServedEntry[]): readonly ServedEntry[] {
  const found: ServedEntry[] = [];
  for (const name of foldersIn(folder)) {
    const directory = path.join(folder, name);
    const variants = isModel(directory) ? [["default", directory] as const] : variantsIn(directory);
    for (const [variant, place] of variants) {
      const files = filesIn(place);
      const digest = createHash("sha256")
        .update(`${place}\n${files.map(fileIdentity).join("\n")}`)
        .digest("hex");
      const same = known.find(({ model }) => model.digest === digest);
      found.push(same ?? entryOf({ name, variant, directory: place, digest, ...demandsOf(place, files) }));
    }
  }
  return found;
}

function foldersIn(folder: string): readonly string[] {
  try {
    const entries = readdirSync(folder).filter((name) => !name.startsWith("."));
    return entries.filter((name) => statSync(path.join(folder, name)).isDirectory()).sort();
  } catch (cause) {
    throw new AutoglmError("InvalidOption", `AUTOGLM_SERVE_DIR: the folder ${folder} can't be read`, {
      cause,
    });
  }
}

const isModel = (directory: string) => filesIn(directory).some(({ name }) => name === "model.onnx");

const variantsIn = (directory: string) =>
  foldersIn(directory)
    .map((variant) => [variant, path.join(directory, variant)] as const)
    .filter(([, place]) => isModel(place));

interface FileView {
  readonly name: string;
  readonly sizeBytes: number;
  readonly changedMs: number;
}

function filesIn(directory: string): readonly FileView[] {
  return readdirSync(directory)
    .sort()
    .flatMap((name) => {
      const stats = statSync(path.join(directory, name), { throwIfNoEntry: false });
      return stats?.isFile() === true ? [{ name, sizeBytes: stats.size, changedMs: stats.mtimeMs }] : [];
    });
}

const fileIdentity = ({ name, sizeBytes, changedMs }: FileView) => `${name} ${sizeBytes} ${changedMs}`;

function demandsOf(place: string, files: readonly FileView[]) {
  const { contextLength } = readConfig(place);
  const weights = files
    .filter(({ name }) => !name.endsWith(".json"))
    .reduce((sum, { sizeBytes }) => sum + sizeBytes, 0);
  return {
    contextLength:
      typeof contextLength === "number" && contextLength >= 1 ? contextLength : DEFAULT_CONTEXT_LENGTH,
    memoryBytes: PROCESS_BYTES + Math.round(weights * WEIGHTS_FACTOR),
  };
}
