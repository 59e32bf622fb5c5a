import { createHash } from "node:crypto";
import { createReadStream } from "node:fs";
import { readdir, readFile, stat } from "node:fs/promises";
import path from "node:path";
import { pipeline } from "node:stream/promises";
import { AutoglmError } from "@autoglm/api";
import { z } from "zod";
import type { ModelOnDisk } from "./model-store.ts";

const DEFAULT_CONTEXT_LENGTH = 512;
const contextSchema = z.looseObject({ contextLength: z.int().min(1).optional() });

/**
 * A folder with the files of one variant, as it lies on somebody's disk.
 * @throws AutoglmError `ModelLoadFailed`, naming what is missing
 */
export async function readModelFolder(directory: string): Promise<ModelOnDisk> {
  const names = await readdir(directory).catch((cause: unknown) => {
    throw new AutoglmError("ModelLoadFailed", `the folder ${directory} can't be read`, { cause });
  });
  for (const name of ["model.onnx", "pipeline.json"]) {
    if (!names.includes(name)) {
      throw new AutoglmError(
        "ModelLoadFailed",
        `${directory} has no ${name}: a model is model.onnx, and pipeline.json that says how to feed it`,
      );
    }
  }
  const hash = createHash("sha256");
  let memoryBytes = 128 * 2 ** 20;
  for (const name of names.sort()) {
    const file = path.join(directory, name);
    const stats = await stat(file);
    if (!stats.isFile()) continue;
    hash.update(`${name}\n`);
    await pipeline(createReadStream(file), async (chunks: AsyncIterable<Buffer>) => {
      for await (const chunk of chunks) hash.update(chunk);
    });
    memoryBytes += stats.size;
  }
  return {
    name: path.basename(directory),
    variant: "default",
    directory,
    contextLength: await contextLengthOf(directory),
    memoryBytes,
    digest: hash.digest("hex"),
  };
}

async function contextLengthOf(directory: string): Promise<number> {
  try {
    const config: unknown = JSON.parse(await readFile(path.join(directory, "pipeline.json"), "utf8"));
    return contextSchema.parse(config).contextLength ?? DEFAULT_CONTEXT_LENGTH;
  } catch (cause) {
    throw new AutoglmError("ModelLoadFailed", `${directory}/pipeline.json is no JSON object`, { cause });
  }
}
