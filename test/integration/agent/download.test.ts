import { randomBytes } from "node:crypto";
import { readFile, writeFile } from "node:fs/promises";
import { Readable } from "node:stream";
import { setTimeout as sleep } from "node:timers/promises";
import type { WorkFile } from "@autoglm/api";
import { afterAll, afterEach, beforeAll, expect, test, vi } from "vitest";
import { BlobStore } from "../../../edge-agent/src/models/blob-store.ts";
import { downloadBlob } from "../../../edge-agent/src/models/download.ts";
import { Site } from "./site.ts";

/** How long the disk takes for what is read through a stream. */
const disk = vi.hoisted(() => ({ delayMs: 0, reads: 0 }));

vi.mock(import("node:fs"), async (importOriginal) => {
  const fs = await importOriginal();
  const createReadStream = (...parameters: Parameters<typeof fs.createReadStream>) => {
    disk.reads++;
    const stream = fs.createReadStream(...parameters);
    return disk.delayMs === 0 ? stream : Readable.from(delayed(stream, disk.delayMs));
  };
  return { ...fs, createReadStream } as typeof fs;
});

async function* delayed(stream: AsyncIterable<unknown>, delayMs: number): AsyncGenerator {
  await sleep(delayMs);
  yield* stream;
}

let site: Site;
let blobs: BlobStore;

beforeAll(async () => {
  site = await Site.start();
  blobs = new BlobStore(await site.folder());
  await blobs.open();
});
afterEach(() => {
  site.intercept = undefined;
  site.requests.length = 0;
  Object.assign(disk, { delayMs: 0, reads: 0 });
});
afterAll(async () => {
  await site.stop();
});

const download = (file: WorkFile, stallMs = 10_000) =>
  downloadBlob({
    blobs,
    file,
    signal: new AbortController().signal,
    onProgress: () => undefined,
    pause: async () => undefined,
    stallMs,
  });

/** The addresses of a blob, told apart by their query. */
function withUrls(file: WorkFile, ...names: readonly string[]): WorkFile {
  return { ...file, urls: names.map((name) => `${site.url}/models/sha256/${file.sha256}?${name}`) };
}

/** What a good source sends; an address with a query is none that the site itself answers. */
function answerWhole(bytes: Buffer, request: { readonly headers: { readonly range?: string | undefined } }) {
  const from = Number(/^bytes=(\d+)-$/.exec(request.headers.range ?? "")?.[1] ?? 0);
  const range = `bytes ${from}-${bytes.length - 1}/${bytes.length}`;
  return { status: from > 0 ? 206 : 200, headers: { "content-range": range }, rest: bytes.subarray(from) };
}

test("a begun part is gone on with on a disk that is slower than a source may keep silent", async () => {
  const bytes = randomBytes(100_000);
  const file = { ...site.blob("model.onnx", bytes), urls: [] };
  const urls = [`${site.url}/models/sha256/${file.sha256}`];
  await writeFile(blobs.partPath(file.sha256), bytes.subarray(0, 90_000));
  disk.delayMs = 1500;
  await download({ ...file, urls }, 1000);
  expect(await readFile(blobs.path(file.sha256))).toEqual(bytes);
  expect(site.requests).toEqual([expect.stringMatching(/bytes=90000-$/)]);
});

test("a part is read once, not for every address", async () => {
  const bytes = randomBytes(100_000);
  const file = withUrls(site.blob("model.onnx", bytes), "gone", "cut", "good");
  await writeFile(blobs.partPath(file.sha256), bytes.subarray(0, 50_000));
  site.intercept = (request, response) => {
    const { status, headers, rest } = answerWhole(bytes, request);
    if (request.url?.endsWith("gone")) response.writeHead(503).end();
    else if (request.url?.endsWith("cut")) response.writeHead(status, headers).end(rest.subarray(0, 20_000));
    else response.writeHead(status, headers).end(rest);
    return true;
  };
  await download(file);
  expect(await readFile(blobs.path(file.sha256))).toEqual(bytes);
  expect(site.requests.at(-1)).toMatch(/bytes=70000-$/);
  expect(disk.reads).toBe(1);
});

test("a short page from a wrong source does not make the next source's file a wrong one", async () => {
  const bytes = randomBytes(100_000);
  const file = withUrls(site.blob("model.onnx", bytes), "portal", "good");
  site.intercept = (request, response) => {
    const { status, headers, rest } = answerWhole(bytes, request);
    if (request.url?.endsWith("portal")) response.writeHead(200).end("<html>please log in</html>");
    else response.writeHead(status, headers).end(rest);
    return true;
  };
  await download(file);
  expect(await readFile(blobs.path(file.sha256))).toEqual(bytes);
});

test("a whole part of wrong bytes from before does not count against the source", async () => {
  const bytes = randomBytes(1000);
  const file = withUrls(site.blob("model.onnx", bytes), "good");
  await writeFile(blobs.partPath(file.sha256), randomBytes(1000));
  site.intercept = (_, response) => {
    response.writeHead(200).end(bytes);
    return true;
  };
  await download(file);
  expect(await readFile(blobs.path(file.sha256))).toEqual(bytes);
});
