import { createHash } from "node:crypto";
import { mkdirSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { ledgerSchema, type ResultRecord, resultPageSchema } from "@autoglm/api";
import { createLogger } from "@autoglm/telemetry";
import type { FastifyInstance } from "fastify";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { ResultStore } from "../results/store.ts";
import { LoopbackAccess } from "./access.ts";
import { Changes } from "./changes.ts";
import { createResultServer } from "./http.ts";

const UID = "11111111-aaaa-bbbb-cccc-222222222222";
const TOKEN = "a-token-of-this-machine";
const CONTENT = Buffer.from("0123456789".repeat(100));
const DIGEST = createHash("sha256").update(CONTENT).digest("hex");
const EMPTY_DIGEST = createHash("sha256").digest("hex");

let dir: string;
let store: ResultStore;
let changes: Changes;
let server: FastifyInstance;
let stopping: AbortController;
let chunk: number;

beforeEach(() => {
  dir = mkdtempSync(join(tmpdir(), "autoglm-http-"));
  mkdirSync(join(dir, "blobs/sha256"), { recursive: true });
  writeFileSync(join(dir, "blobs/sha256", DIGEST), CONTENT);
  writeFileSync(join(dir, "blobs/sha256", EMPTY_DIGEST), "");
  writeFileSync(join(dir, "secret"), "not a model");
  store = new ResultStore({ dir: join(dir, "store"), reserveBytes: 0 });
  changes = new Changes();
  stopping = new AbortController();
  chunk = 0;
  server = createResultServer({
    store,
    changes,
    access: new LoopbackAccess(TOKEN),
    isStoreFull: () => false,
    modelBlobsDir: join(dir, "blobs"),
    log: createLogger({ name: "test", level: "silent" }),
    signal: stopping.signal,
    followMs: 300,
  });
});
afterEach(async () => {
  stopping.abort();
  await server.close();
  store.close();
  rmSync(dir, { recursive: true });
});

function accept(
  items: readonly number[],
  options: { readonly total?: number; readonly run?: number } = {},
): void {
  const { total, run = 0 } = options;
  store.commit([
    {
      task: { uid: UID, namespace: "default", name: "reviews" },
      chunk: {
        v: 1,
        node: "edge-1",
        key: { task: UID, run, shard: 0, epoch: 1 },
        chunk,
        producedAt: "2026-11-23T08:00:00Z",
        items: items.map((item) => ({
          item,
          stage: "final",
          ms: 1,
          error: { code: "ItemInvalid", message: "x" },
        })),
        ...(total !== undefined && { end: { total } }),
      },
    },
  ]);
  chunk += 1;
  changes.announce(UID);
}

const get = (url: string, headers: Record<string, string> = {}) =>
  server.inject({ url, headers: { authorization: `Bearer ${TOKEN}`, ...headers } });
async function page(query = "") {
  const answer = await get(`/results/${UID}${query}`);
  expect(answer.statusCode).toBe(200);
  return resultPageSchema.parse(answer.json());
}
const itemsOf = (records: readonly ResultRecord[]) => records.map(({ item }) => item);

describe("GET /results", () => {
  it("gives all results by item, page after page, with the ledger", async () => {
    accept([3, 1, 0, 4, 2], { total: 5 });
    const first = await page("?limit=3");
    const second = await page(`?limit=3&cursor=${first.cursor}`);
    expect([...itemsOf(first.results), ...itemsOf(second.results)]).toEqual([0, 1, 2, 3, 4]);
    expect(second.cursor).toBeUndefined();
    expect(second).toMatchObject({
      task: { uid: UID, namespace: "default", name: "reviews" },
      ledger: { accepted: 5, failed: 5, complete: true },
    });
  });

  it("lets a follower wait for more, gives what came, and ends with the run", async () => {
    accept([5, 1]);
    const first = await page("?follow=true");
    const waiting = page(`?follow=true&cursor=${first.cursor}`);
    accept([0]);
    const second = await waiting;
    const idle = await page(`?follow=true&cursor=${second.cursor}`);
    accept([2, 3, 4], { total: 6 });
    const last = await page(`?follow=true&cursor=${idle.cursor}`);
    expect([first, second, idle, last].map(({ results }) => itemsOf(results))).toEqual([
      [5, 1],
      [0],
      [],
      [2, 3, 4],
    ]);
    expect(last.cursor).toBeUndefined();
    expect(last.ledger.complete).toBe(true);
  });

  it("stays on its run when the next one begins", async () => {
    accept([0, 1]);
    const { cursor } = await page("?follow=true&limit=1");
    accept([0], { run: 1 });
    expect((await page(`?follow=true&cursor=${cursor}`)).results).toMatchObject([{ run: 0, item: 1 }]);
    expect((await page()).run).toBe(1);
    expect(itemsOf((await page("?run=0")).results)).toEqual([0, 1]);
  });

  it("lets a follower wait for a run that has not begun, but not for one that is gone", async () => {
    accept([0], { total: 1, run: 20 });
    const waiting = page("?follow=true&run=21");
    await new Promise((resolve) => setTimeout(resolve, 20));
    accept([0, 1], { run: 21 });
    expect(await waiting).toMatchObject({ run: 21, results: [{ item: 0 }, { item: 1 }] });
    expect((await get(`/results/${UID}?follow=true&run=3`)).statusCode).toBe(404);
  });

  it("lets a follower wait for a task that has no result yet", async () => {
    const waiting = page("?follow=true");
    await new Promise((resolve) => setTimeout(resolve, 20));
    accept([0]);
    expect(itemsOf((await waiting).results)).toEqual([0]);
  });

  it("streams lines, and goes on until the run is complete when asked to follow", async () => {
    const lines = async (query: string) => {
      const answer = await get(`/results/${UID}${query}`, { accept: "application/x-ndjson" });
      expect(answer.headers["content-type"]).toContain("application/x-ndjson");
      return answer.body
        .split("\n")
        .filter(Boolean)
        .map((line) => (JSON.parse(line) as ResultRecord).item);
    };
    accept([2, 1]);
    expect(await lines("?limit=1")).toEqual([1, 2]);
    const following = lines("?follow=true");
    await new Promise((resolve) => setTimeout(resolve, 20));
    accept([0], { total: 3 });
    expect(await following).toEqual([2, 1, 0]);
  });

  it.each([
    ["?limit=0"],
    ["?limit=1.5"],
    ["?follow=perhaps"],
    ["?cursor=nonsense"],
    ["?cursor=i0.1&order=accepted"],
    ["?cursor=i0.1&run=1"],
    ["?page=2"],
  ])("refuses %s and says what is possible", async (query) => {
    accept([0]);
    const answer = await get(`/results/${UID}${query}`);
    expect(answer.statusCode).toBe(400);
    expect(answer.json()).toMatchObject({ code: "InvalidOption", message: expect.any(String) });
  });
});

describe("access", () => {
  it("asks for a token before it says anything", async () => {
    accept([0]);
    for (const uid of [UID, "unknown"]) {
      const answer = await get(`/results/${uid}`, { authorization: "Bearer wrong" });
      expect(answer.statusCode).toBe(401);
      expect(answer.headers["www-authenticate"]).toBe("Bearer");
    }
  });

  it("gives a task that is denied the same answer as one that does not exist", async () => {
    accept([0]);
    const denying = createResultServer({
      store,
      changes,
      access: { judge: () => Promise.resolve("denied"), judgeUpload: () => Promise.resolve("denied") },
      isStoreFull: () => false,
      log: createLogger({ name: "test", level: "silent" }),
      signal: stopping.signal,
      followMs: 100,
    });
    for (const query of ["", "?follow=true"]) {
      const [known, unknown] = await Promise.all(
        [UID, UID.replace("1", "2")].map((uid) => denying.inject({ url: `/results/${uid}${query}` })),
      );
      expect(known?.statusCode).toBe(404);
      expect(known?.body.replace(UID, "")).toBe(unknown?.body.replace(UID.replace("1", "2"), ""));
    }
    await denying.close();
  });
});

it("gives the ledger", async () => {
  accept([0, 1], { total: 3 });
  const answer = await get(`/ledger/${UID}`);
  expect(ledgerSchema.parse(answer.json())).toMatchObject({ accepted: 2, total: 3, acceptedItems: [[0, 1]] });
  expect((await get("/ledger/unknown")).json()).toMatchObject({ code: "NotFound", hint: expect.any(String) });
});

describe("GET /models/sha256", () => {
  const model = (headers: Record<string, string> = {}, method: "GET" | "HEAD" = "GET", digest = DIGEST) =>
    server.inject({ method, url: `/models/sha256/${digest}`, headers });

  it("gives the whole file, once and for all", async () => {
    const answer = await model();
    expect(answer.rawPayload.equals(CONTENT)).toBe(true);
    expect(answer.headers).toMatchObject({
      etag: `"sha256-${DIGEST}"`,
      "accept-ranges": "bytes",
      "content-length": "1000",
      "cache-control": "public, max-age=31536000, immutable",
    });
    expect((await model({ "if-none-match": `"sha256-${DIGEST}"` })).statusCode).toBe(304);
  });

  it("resumes", async () => {
    const answer = await model({ range: "bytes=990-" });
    expect(answer.statusCode).toBe(206);
    expect(answer.body).toBe("0123456789");
    expect(answer.headers).toMatchObject({ "content-range": "bytes 990-999/1000", "content-length": "10" });
    const beyond = await model({ range: "bytes=1000-" });
    expect(beyond.statusCode).toBe(416);
    expect(beyond.headers["content-range"]).toBe("bytes */1000");
    expect((await model({ range: "bytes=990-", "if-range": '"another"' })).statusCode).toBe(200);
  });

  it("tells the size without the content", async () => {
    const answer = await model({}, "HEAD");
    expect(answer.statusCode).toBe(200);
    expect(answer.headers["content-length"]).toBe("1000");
    expect(answer.body).toBe("");
    expect((await model({}, "GET", EMPTY_DIGEST)).headers["content-length"]).toBe("0");
  });

  it.each([
    "0".repeat(64),
    "..%2f..%2fsecret",
    "%2e%2e/%2e%2e/secret",
    "../../secret",
    `${DIGEST}%00`,
    DIGEST.toUpperCase(),
    "",
  ])("does not find %s", async (digest) => {
    const answer = await model({}, "GET", digest);
    expect(answer.statusCode).toBe(404);
    expect(answer.json()).toMatchObject({ code: "NotFound", hint: expect.any(String) });
  });
});

describe("PUT /models/sha256", () => {
  const model = Buffer.from("a new model".repeat(1000));
  const digest = createHash("sha256").update(model).digest("hex");
  const put = (payload: Buffer, options: { readonly digest?: string; readonly token?: string } = {}) =>
    server.inject({
      method: "PUT",
      url: `/models/sha256/${options.digest ?? digest}`,
      payload,
      headers: {
        "content-type": "application/octet-stream",
        authorization: `Bearer ${options.token ?? TOKEN}`,
      },
    });

  it("keeps what arrives whole, and serves it", async () => {
    expect((await put(model)).statusCode).toBe(201);
    expect((await put(model)).statusCode).toBe(200);
    const answer = await server.inject({ method: "GET", url: `/models/sha256/${digest}` });
    expect(answer.rawPayload.equals(model)).toBe(true);
  });

  it("refuses other bytes than the digest says, and leaves nothing of them", async () => {
    const answer = await put(Buffer.from("another file"));
    expect(answer.statusCode).toBe(400);
    expect(answer.json()).toMatchObject({ code: "ModelDigestMismatch", hint: expect.any(String) });
    expect(readdirSync(join(dir, "blobs/sha256")).sort()).toEqual([DIGEST, EMPTY_DIGEST].sort());
  });

  it("asks for a token, and for a digest that is one", async () => {
    expect((await put(model, { token: "a-token-of-nobody" })).statusCode).toBe(401);
    expect((await put(model, { digest: "..%2f..%2fsecret" })).statusCode).toBe(400);
  });
});
