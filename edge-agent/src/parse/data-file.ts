import { constants } from "node:fs";
import { open, realpath, type FileHandle } from "node:fs/promises";
import path from "node:path";
import { AutoglmError, isAutoglmError } from "@autoglm/api";
import type { ByteSource } from "./items.ts";

const CHUNK_BYTES = 64 * 1024;

/**
 * Opens a regular file below `dataRoot`. Symbolic links are followed as long as they stay below it.
 * The file is open until the result is iterated to its end or left.
 * @throws AutoglmError `InputFileOutsideDataRoot`, or `InputFileNotFound` also for what can't be read
 */
export async function openDataFile(dataRoot: string, relativePath: string): Promise<ByteSource> {
  if (
    path.isAbsolute(relativePath) ||
    relativePath.includes("\0") ||
    relativePath.split(/[/\\]/).includes("..")
  ) {
    throw outside(relativePath);
  }
  let file: FileHandle | undefined;
  try {
    const root = await realpath(dataRoot);
    const target = await realpath(path.join(root, relativePath));
    if (!target.startsWith(root.endsWith(path.sep) ? root : root + path.sep)) throw outside(relativePath);
    // The name is resolved: a link here now was put in its place meanwhile. NONBLOCK: opening a pipe must not wait.
    file = await open(target, constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK);
    const stat = await file.stat();
    if (!stat.isFile()) throw notFound(relativePath, "is not a regular file");
    return Object.assign(chunksOf(file), { file: { fd: file.fd, size: stat.size } });
  } catch (cause) {
    await file?.close();
    if (isAutoglmError(cause)) throw cause;
    throw notFound(relativePath, "does not exist or can't be read", cause);
  }
}

async function* chunksOf(file: FileHandle): AsyncGenerator<Uint8Array> {
  try {
    for (;;) {
      const { bytesRead, buffer } = await file.read(Buffer.allocUnsafe(CHUNK_BYTES), 0, CHUNK_BYTES);
      if (bytesRead === 0) return;
      yield buffer.subarray(0, bytesRead);
    }
  } finally {
    await file.close();
  }
}

function outside(relativePath: string): AutoglmError {
  return new AutoglmError(
    "InputFileOutsideDataRoot",
    `${relativePath} is not below the data root of the node`,
  );
}

function notFound(relativePath: string, problem: string, cause?: unknown): AutoglmError {
  return new AutoglmError("InputFileNotFound", `${relativePath} ${problem} below the data root of the node`, {
    cause,
  });
}
