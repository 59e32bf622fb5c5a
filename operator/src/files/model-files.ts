/**
 * Serves model files by digest: `GET|HEAD /models/sha256/<digest>`. Whoever knows the digest knows which file it is
 * and can check what arrived, so no other right is asked for. A file under a digest never changes.
 */
import { createReadStream } from "node:fs";
import { stat } from "node:fs/promises";
import { join } from "node:path";
import { AutoglmError } from "@autoglm/api";
import type { FastifyInstance, FastifyReply, FastifyRequest } from "fastify";
import { parseRange } from "./range.ts";

export const DIGEST = /^[0-9a-f]{64}$/;

export interface ModelFilesOptions {
  /** Folder with the files as `sha256/<digest>`; absent: no file is served. */
  readonly blobsDir?: string | undefined;
}

export function serveModelFiles(server: FastifyInstance, { blobsDir }: ModelFilesOptions): void {
  server.route<{ Params: { digest: string } }>({
    method: ["GET", "HEAD"],
    url: "/models/sha256/:digest",
    handler: async (request, reply) => {
      const { digest } = request.params;
      // The pattern is what keeps the path inside the folder.
      if (blobsDir === undefined || !DIGEST.test(digest)) throw notFound(digest);
      const path = join(blobsDir, "sha256", digest);
      const file = await stat(path).catch(() => undefined);
      if (file?.isFile() !== true) throw notFound(digest);
      return sendFile({ request, reply, path, sizeBytes: file.size, etag: `"sha256-${digest}"` });
    },
  });
}

interface FileReply {
  readonly request: FastifyRequest;
  readonly reply: FastifyReply;
  readonly path: string;
  readonly sizeBytes: number;
  readonly etag: string;
}

function sendFile({ request, reply, path, sizeBytes, etag }: FileReply): FastifyReply {
  void reply.headers({
    etag,
    "accept-ranges": "bytes",
    "cache-control": "public, max-age=31536000, immutable",
    "content-type": "application/octet-stream",
  });
  const { range: wanted, "if-range": ifRange, "if-none-match": ifNoneMatch } = request.headers;
  if (ifNoneMatch === etag) return reply.code(304).send();
  const isCurrent = ifRange === undefined || ifRange === etag;
  const range = parseRange(isCurrent ? wanted : undefined, sizeBytes);
  if (range === "unsatisfiable") {
    return reply.code(416).header("content-range", `bytes */${sizeBytes}`).send();
  }
  const { first, last } = range === "whole" ? { first: 0, last: sizeBytes - 1 } : range;
  if (range !== "whole") {
    void reply.code(206).header("content-range", `bytes ${first}-${last}/${sizeBytes}`);
  }
  void reply.header("content-length", last - first + 1);
  if (request.method === "HEAD" || sizeBytes === 0) return reply.send("");
  return reply.send(createReadStream(path, { start: first, end: last }));
}

function notFound(digest: string): AutoglmError {
  return new AutoglmError("NotFound", `no model file with digest ${digest.slice(0, 64)} here`, {
    retry: "never",
    details: {
      hint: "put the file into the blobs folder of the server, or give its uri in the AutoGLMModel",
    },
  });
}
