/**
 * The models that this agent serves by name: those in its store, and those in the folder AUTOGLM_SERVE_DIR:
 *
 *     <model>/model.onnx, pipeline.json, …             one variant, named "default"
 *     <model>/<variant>/model.onnx, pipeline.json, …
 *
 * What lies there besides is passed over: a folder without a model, one that can't be read (lost+found), a link to nothing.
 */
import { readdirSync, statSync } from "node:fs";
import path from "node:path";
import { AutoglmError } from "@autoglm/api";
import { firstNames } from "@autoglm/core";
import type { ModelOnDisk } from "../engine/index.ts";
import {
  modelOfFolder,
  readPipelineConfig,
  viewModelFolder,
  type ModelFolderView,
} from "../models/model-folder.ts";
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
  const parsed = tensorConfigSchema.safeParse(readPipelineConfig(model.directory));
  return { model, contract: parsed.success ? parsed.data : undefined };
}

function scanFolder(folder: string, known: readonly ServedEntry[]): readonly ServedEntry[] {
  const found: ServedEntry[] = [];
  for (const name of foldersToServe(folder)) {
    for (const { variant, view } of variantsIn(path.join(folder, name))) {
      const same = known.find(({ model }) => model.digest === view.digest);
      found.push(same ?? entryOf(modelOfFolder(view, { name, variant })));
    }
  }
  return found;
}

function variantsIn(
  directory: string,
): readonly { readonly variant: string; readonly view: ModelFolderView }[] {
  const view = ifReadable(() => viewModelFolder(directory));
  if (view !== undefined) return [{ variant: "default", view }];
  const variants = ifReadable(() => foldersIn(directory)) ?? [];
  return variants.flatMap((variant) => {
    const view = ifReadable(() => viewModelFolder(path.join(directory, variant)));
    return view === undefined ? [] : [{ variant, view }];
  });
}

function foldersIn(folder: string): readonly string[] {
  const names = readdirSync(folder).filter((name) => !name.startsWith("."));
  return names
    .filter((name) => ifReadable(() => statSync(path.join(folder, name)).isDirectory()) === true)
    .sort();
}

function ifReadable<T>(read: () => T): T | undefined {
  try {
    return read();
  } catch {
    return undefined;
  }
}

/** @throws AutoglmError `InvalidOption` when the folder itself can't be read */
function foldersToServe(folder: string): readonly string[] {
  try {
    return foldersIn(folder);
  } catch (cause) {
    throw new AutoglmError("InvalidOption", `AUTOGLM_SERVE_DIR: the folder ${folder} can't be read`, {
      cause,
    });
  }
}
