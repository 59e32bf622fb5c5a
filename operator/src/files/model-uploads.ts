/**
 * Takes model files by digest: `PUT /models/sha256/<digest>`, from who may create AutoGLMModels. A file is there under its
 * digest when all of it has arrived and the digest is right, and not before; a second upload of the same is no error.
 */
import { createHash, randomUUID } from "node:crypto";
import { createWriteStream } from "node:fs";
import { mkdir, open, rename, rm, stat } from "node:fs/promises";
import path from "node:path";
import type { Readable } from "node:stream";
import { pipeline } from "node:stream/promises";
import { AutoglmError } from "@autoglm/api";
import type { FastifyInstance, FastifyRequest } from "fastify";
import { DIGEST } from "./model-files.ts";

/** Beyond the largest model that is placed by memory tiers. */
const MAX_FILE_BYTES = 64 * 2 ** 30;

export interface ModelUploadOptions {
  /** Absent: nothing is taken. */
  readonly blobsDir?: string | undefined;
  /** @throws AutoglmError for a caller who may not */
  readonly authorise: (request: FastifyRequest) => Promise<void>;
}

export function takeModelFiles(server: FastifyInstance, { blobsDir, authorise }: ModelUploadOptions): void {
  void server.register(async (scope) => {
    // The body is streamed to the disk, whatever its type.
    scope.removeAllContentTypeParsers();
    scope.addContentTypeParser("*", (_request, payload, done) => done(null, payload));
    scope.put<{ Params: { digest: string }; Body: Readable | undefined }>(
      "/models/sha256/:digest",
      { bodyLimit: MAX_FILE_BYTES, onRequest: authorise },
      async (request, reply) => {
        const { digest } = request.params;
        if (!DIGEST.test(digest)) {
          throw new AutoglmError("InvalidOption", "the digest must be 64 lowercase hex digits");
        }
        if (blobsDir === undefined) {
          throw new AutoglmError("InvalidOption", "this server keeps no model files", {
            details: { hint: "set AUTOGLM_MODEL_BLOBS_DIR of the ingester, or give uri in the AutoGLMModel" },
          });
        }
        const isNew = await store(path.join(blobsDir, "sha256"), digest, request.body);
        return reply.code(isNew ? 201 : 200).send({ digest });
      },
    );
  });
}

async function store(folder: string, digest: string, body: Readable | undefined): Promise<boolean> {
  const target = path.join(folder, digest);
  if ((await stat(target).catch(() => undefined))?.isFile() === true) {
    body?.resume();
    return false;
  }
  await mkdir(folder, { recursive: true });
  const partial = path.join(folder, `.${digest}.${randomUUID()}`);
  const hash = createHash("sha256");
  try {
    if (body !== undefined) {
      body.on("data", (chunk: Buffer) => hash.update(chunk));
      await pipeline(body, createWriteStream(partial, { flags: "wx", mode: 0o644 }));
    }
    const found = hash.digest("hex");
    if (found !== digest) {
      throw new AutoglmError("ModelDigestMismatch", `what arrived has the digest ${found}, not ${digest}`, {
        retry: "never",
        details: { hint: "upload the file again; if it repeats, something on the way changes it" },
      });
    }
    const handle = await open(partial, "r");
    await handle.sync();
    await handle.close();
    await rename(partial, target);
    return true;
  } catch (cause) {
    await rm(partial, { force: true });
    if (cause instanceof Error && "code" in cause && cause.code === "ENOSPC") {
      throw new AutoglmError("ResultStoreFull", "the volume of the model files is full", {
        cause,
        details: { hint: "enlarge the volume of the ingester, or delete files of models that are gone" },
      });
    }
    throw cause;
  }
}
