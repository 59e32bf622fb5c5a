import { existsSync } from "node:fs";
import { mkdir, readFile, rm, symlink } from "node:fs/promises";
import { homedir } from "node:os";
import path from "node:path";
import { parseAllDocuments } from "yaml";
import { parseQuantityBytes } from "@autoglm/api";
import type { ModelOnDisk } from "../../../edge-agent/src/engine/index.ts";

const repository = path.join(import.meta.dirname, "../../..");
const cache =
  process.env["AUTOGLM_CACHE"] ??
  path.join(process.env["XDG_CACHE_HOME"] ?? path.join(homedir(), ".cache"), "autoglm");

interface CatalogueModel {
  readonly metadata: { readonly name: string };
  readonly spec: {
    readonly variants: readonly {
      readonly name: string;
      readonly memory: string;
      readonly contextLength: number;
      readonly files: readonly { readonly path: string; readonly sha256: string }[];
    }[];
  };
}

/** A variant of a sample model as the agent's model store lays it out: files by name, links to the blobs. */
export async function sampleModel(folder: string, name: string, variantName?: string): Promise<ModelOnDisk> {
  const catalogue = await readFile(path.join(repository, "models/catalogue.yaml"), "utf8");
  const models: readonly CatalogueModel[] = parseAllDocuments(catalogue).map((document) => document.toJS());
  const variants = models.find(({ metadata }) => metadata.name === name)?.spec.variants ?? [];
  const variant = variants.find((candidate) => variantName === undefined || candidate.name === variantName);
  if (variant === undefined) throw new Error(`the catalogue has no model ${name} ${variantName ?? ""}`);
  const directory = path.join(folder, name, variant.name);
  await rm(directory, { recursive: true, force: true });
  await mkdir(directory, { recursive: true });
  for (const file of variant.files) {
    const blob = path.join(cache, "models/blobs/sha256", file.sha256);
    if (!existsSync(blob)) throw new Error(`${name}/${file.path} is not built: run models/build all`);
    await symlink(blob, path.join(directory, file.path));
  }
  return {
    name,
    variant: variant.name,
    directory,
    contextLength: variant.contextLength,
    memoryBytes: parseQuantityBytes(variant.memory),
    digest: variant.files.map(({ sha256 }) => sha256).join("-"),
  };
}

/** Where the card of a model and what was measured on it lie. */
export const modelFolder = (name: string) => path.join(repository, "models", name);

/** The reference answers that the recipe of a model wrote. */
export async function readVectors<T>(name: string): Promise<T> {
  return JSON.parse(await readFile(path.join(repository, "models", name, "vectors.json"), "utf8"));
}

export const exampleFolder = path.join(repository, "examples/data");
