/** A model as it lies on somebody's disk: a folder with the files of one variant. */
import { createHash } from "node:crypto";
import { readdirSync, readFileSync, statSync } from "node:fs";
import path from "node:path";
import { AutoglmError } from "@autoglm/api";
import { z } from "zod";
import type { ModelOnDisk } from "./model-store.ts";

/** Of an inference process without a model, with room for its work. */
const PROCESS_BYTES = 96 * 1024 * 1024;
/** Weights are packed for the processor beside the ones of the file. */
const WEIGHTS_FACTOR = 1.5;
const DEFAULT_CONTEXT_LENGTH = 512;
const contextSchema = z.looseObject({ contextLength: z.number().min(1) });

/** Without reading a file: cheap enough to look again. */
export interface ModelFolderView {
  readonly directory: string;
  readonly files: readonly FileView[];
  /** Of names, sizes and times: who writes to the folder makes another model of it. */
  readonly digest: string;
}

interface FileView {
  readonly name: string;
  readonly sizeBytes: number;
  readonly changedMs: number;
}

/** Undefined: there is no model.onnx. @throws AutoglmError `ModelLoadFailed` when the folder can't be read */
export function viewModelFolder(directory: string): ModelFolderView | undefined {
  const files = filesIn(directory);
  if (!files.some(({ name }) => name === "model.onnx")) return undefined;
  const identities = files.map(({ name, sizeBytes, changedMs }) => `${name} ${sizeBytes} ${changedMs}`);
  const digest = createHash("sha256")
    .update([directory, ...identities].join("\n"))
    .digest("hex");
  return { directory, files, digest };
}

export function modelOfFolder(
  { directory, files, digest }: ModelFolderView,
  { name, variant }: Pick<ModelOnDisk, "name" | "variant">,
): ModelOnDisk {
  const config = contextSchema.safeParse(readPipelineConfig(directory));
  const weights = files
    .filter((file) => !file.name.endsWith(".json"))
    .reduce((sum, { sizeBytes }) => sum + sizeBytes, 0);
  return {
    name,
    variant,
    directory,
    digest,
    contextLength: config.data?.contextLength ?? DEFAULT_CONTEXT_LENGTH,
    memoryBytes: PROCESS_BYTES + Math.round(weights * WEIGHTS_FACTOR),
  };
}

/**
 * The model of one folder, under the folder's name.
 * @throws AutoglmError `ModelLoadFailed`, naming what is missing
 */
export function readModelFolder(directory: string): ModelOnDisk {
  const view = viewModelFolder(directory);
  if (view === undefined) throw missing(directory, "model.onnx");
  if (!view.files.some(({ name }) => name === "pipeline.json")) throw missing(directory, "pipeline.json");
  return modelOfFolder(view, { name: path.basename(directory), variant: "default" });
}

/** Undefined where it is none: loading says what is wrong with it. */
export function readPipelineConfig(directory: string): unknown {
  try {
    return JSON.parse(readFileSync(path.join(directory, "pipeline.json"), "utf8"));
  } catch {
    return undefined;
  }
}

function filesIn(directory: string): readonly FileView[] {
  return namesIn(directory).flatMap((name) => {
    const stats = statSync(path.join(directory, name), { throwIfNoEntry: false });
    return stats?.isFile() === true ? [{ name, sizeBytes: stats.size, changedMs: stats.mtimeMs }] : [];
  });
}

function namesIn(directory: string): readonly string[] {
  try {
    return readdirSync(directory).sort();
  } catch (cause) {
    throw new AutoglmError("ModelLoadFailed", `the folder ${directory} can't be read`, { cause });
  }
}

const missing = (directory: string, name: string) =>
  new AutoglmError(
    "ModelLoadFailed",
    `${directory} has no ${name}: a model is model.onnx, and pipeline.json that says how to feed it`,
  );
