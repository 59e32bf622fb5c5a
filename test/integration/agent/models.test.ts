import { randomBytes } from "node:crypto";
import { readdir, readFile, stat, writeFile } from "node:fs/promises";
import type { ServerResponse } from "node:http";
import { join } from "node:path";
import { BlobStore } from "../../../edge-agent/src/models/blob-store.ts";
import { ModelStore } from "../../../edge-agent/src/models/model-store.ts";
import { createLogger } from "@autoglm/telemetry";
import { afterAll, afterEach, beforeAll, expect, onTestFinished, test, vi } from "vitest";
import { Site } from "./site.ts";

let site: Site;
const log = createLogger({ name: "test", level: "silent" });
const never = new AbortController().signal;
const patient = { timeout: 10_000 };

beforeAll(async () => {
  site = await Site.start();
});
afterEach(() => {
  site.intercept = undefined;
  site.requests.length = 0;
});
afterAll(async () => {
  await site.stop();
});

async function openStore(folder: string, more: { readonly limitBytes?: number } = {}): Promise<ModelStore> {
  const store = new ModelStore({
    folder,
    modelServerUrl: site.url,
    limitBytes: more.limitBytes ?? 1e9,
    log,
    onChange: () => undefined,
    pauseMs: 10,
  });
  await store.open();
  return store;
}

test("downloads once for all who want it, and trusts it after a restart", async () => {
  const folder = await site.folder();
  const bytes = randomBytes(300_000);
  const model = site.model([site.blob("model.onnx", bytes), site.blob("pipeline.json", "{}")]);
  const store = await openStore(folder);
  const [one, two] = await Promise.all([store.ensure(model, never), store.ensure(model, never)]);
  expect(one.directory).toBe(two.directory);
  expect(await readFile(join(one.directory, "model.onnx"))).toEqual(bytes);
  const again = await openStore(folder);
  expect(await again.reports()).toMatchObject([{ model: "model", state: "Ready" }]);
  await again.ensure(model, never);
  expect(site.requests).toHaveLength(2);
});

test("goes on where a cut download ended", async () => {
  const folder = await site.folder();
  const bytes = randomBytes(400_000);
  const model = site.model([site.blob("model.onnx", bytes)]);
  let isFirst = true;
  site.intercept = (_, response) => {
    if (!isFirst) return false;
    isFirst = false;
    response.writeHead(200, { "content-length": bytes.length });
    response.write(bytes.subarray(0, 250_000), () => setTimeout(() => response.destroy(), 50));
    return true;
  };
  const store = await openStore(folder);
  const { directory } = await store.ensure(model, never);
  expect(await readFile(join(directory, "model.onnx"))).toEqual(bytes);
  expect(site.requests.at(-1)).toMatch(/bytes=[1-9]\d*-$/);
});

test("a source without ranges is read from the start", async () => {
  const bytes = randomBytes(100_000);
  const model = site.model([site.blob("model.onnx", bytes)]);
  let requests = 0;
  site.intercept = (_, response) => {
    requests++;
    response.writeHead(200, { "content-length": bytes.length });
    if (requests > 1) response.end(bytes);
    else response.write(bytes.subarray(0, 60_000), () => setTimeout(() => response.destroy(), 50));
    return true;
  };
  const { directory } = await (await openStore(await site.folder())).ensure(model, never);
  expect(await readFile(join(directory, "model.onnx"))).toEqual(bytes);
});

test("a wrong digest is deleted and the next address is tried", async () => {
  const folder = await site.folder();
  const good = site.blob("model.onnx", "the right model");
  const bad = site.blob("model.onnx", "the bad model!!");
  const file = { ...good, urls: [`${site.url}/models/sha256/${bad.sha256}`] };
  const { directory } = await (await openStore(folder)).ensure(site.model([file]), never);
  expect(await readFile(join(directory, "model.onnx"), "utf8")).toBe("the right model");
});

test("two sources with a wrong digest end it", async () => {
  const folder = await site.folder();
  const bad = site.blob("model.onnx", "a bad model");
  const wrong = {
    ...bad,
    sha256: "1".repeat(64),
    urls: [`${site.url}/models/sha256/${bad.sha256}`, `${site.url}/models/sha256/${bad.sha256}?2`],
  };
  const store = await openStore(folder);
  site.intercept = (_, response) => {
    response.writeHead(200).end("a bad model");
    return true;
  };
  await expect(store.ensure(site.model([wrong]), never)).rejects.toMatchObject({
    code: "ModelDigestMismatch",
  });
  expect(await readdir(join(folder, "blobs", "sha256"))).toEqual([]);
  expect(await store.reports()).toMatchObject([{ state: "Failed", error: { code: "ModelDigestMismatch" } }]);
});

test("a blob that changed on the disk is read again before it is used", async () => {
  const folder = await site.folder();
  const file = site.blob("model.onnx", "a model");
  await (await openStore(folder)).ensure(site.model([file]), never);
  await writeFile(join(folder, "blobs", "sha256", file.sha256), "a xodel");
  const { directory } = await (await openStore(folder)).ensure(site.model([file]), never);
  expect(await readFile(join(directory, "model.onnx"), "utf8")).toBe("a model");
});

test("says that a source is gone, and stops when nobody wants it any more", async () => {
  const store = await openStore(await site.folder());
  const missing = { path: "model.onnx", sha256: "2".repeat(64), sizeBytes: 10, urls: [] };
  await expect(store.ensure(site.model([missing]), never)).rejects.toMatchObject({
    code: "ModelUnavailable",
    message: expect.stringContaining("HTTP 404"),
  });
  site.intercept = () => true;
  const stop = new AbortController();
  const hanging = store.ensure(site.model([{ ...missing, sha256: "3".repeat(64) }]), stop.signal);
  await site.until("asked", () => site.requests.some((request) => request.includes("3".repeat(64))));
  stop.abort();
  await expect(hanging).rejects.toMatchObject({ code: "Aborted" });
});

test("one of two tasks stops while both fetch a model: the other's stays known", async () => {
  const folder = await site.folder();
  const store = await openStore(folder);
  const bytes = randomBytes(1000);
  const model = site.model([site.blob("model.onnx", bytes)]);
  const asked = Promise.withResolvers<void>();
  // The other task may come too late to share the request, and makes its own.
  const held: ServerResponse[] = [];
  let isHolding = true;
  site.intercept = (_, response) => {
    if (isHolding) held.push(response);
    asked.resolve();
    return isHolding;
  };
  const stop = new AbortController();
  const stopped = store.ensure({ ...model }, stop.signal);
  const kept = store.ensure({ ...model }, never);
  await asked.promise;
  stop.abort();
  await expect(stopped).rejects.toMatchObject({ code: "Aborted" });
  expect(await store.reports()).toMatchObject([{ state: "Downloading" }]);
  isHolding = false;
  for (const response of held) response.writeHead(200, { "content-length": bytes.length }).end(bytes);
  const { digest } = await kept;
  expect(await store.reports()).toMatchObject([{ state: "Ready" }]);
  expect(store.ready().map((ready) => ready.digest)).toEqual([digest]);
});

test("a model that is larger than the volume is refused before the first byte", async () => {
  const store = await openStore(await site.folder());
  const huge = { path: "model.onnx", sha256: "4".repeat(64), sizeBytes: 1e15, urls: [] };
  await expect(store.ensure(site.model([huge]), never)).rejects.toMatchObject({
    code: "ModelUnavailable",
    message: expect.stringContaining("no room"),
  });
  expect(site.requests).toEqual([]);
});

/** As if the volume had room for that many bytes of models. */
function limitVolume(bytes: number): void {
  const spy = vi.spyOn(BlobStore.prototype, "freeBytes").mockImplementation(async function (this: BlobStore) {
    const sizes = (await readdir(this.folder)).map(
      async (name) => (await stat(join(this.folder, name))).size,
    );
    const used = (await Promise.all(sizes)).reduce((sum, size) => sum + size, 0);
    return 256 * 1024 * 1024 + bytes - used;
  });
  onTestFinished(() => spy.mockRestore());
}

test("of two models that begin at once and fit only alone, one is refused", async () => {
  const store = await openStore(await site.folder());
  limitVolume(150_000);
  const models = ["a", "b"].map((name) => site.model([site.blob("model.onnx", name.repeat(100_000))], name));
  const held: (() => void)[] = [];
  site.intercept = (request, response) => {
    const content = request.url?.endsWith(models[0]?.files[0]?.sha256 ?? "") ? "a" : "b";
    held.push(() => response.end(content.repeat(100_000)));
    return true;
  };
  const ended = Promise.allSettled(models.map((model) => store.ensure(model, never)));
  const states = async () => (await store.reports()).map(({ state }) => state).toSorted();
  await expect.poll(states, patient).toEqual(["Downloading", "Failed"]);
  await expect.poll(() => held.length, patient).toBe(1);
  for (const release of held) release();
  expect((await ended).find(({ status }) => status === "rejected")).toMatchObject({
    reason: { code: "ModelUnavailable", message: expect.stringContaining("no room") },
  });
  expect(await states()).toEqual(["Failed", "Ready"]);
});

test.each([
  { volume: 199_000, isAdmitted: false },
  // A little more than both files: a blob has a marker beside it.
  { volume: 201_000, isAdmitted: true },
])("what a download has written does not count twice: $volume", async ({ volume, isAdmitted }) => {
  const folder = await site.folder();
  const store = await openStore(folder);
  limitVolume(volume);
  const first = site.blob("model.onnx", "a".repeat(100_000));
  const second = site.blob("model.onnx", "b".repeat(100_000));
  site.intercept = (request, response) => {
    if (!request.url?.endsWith(first.sha256)) return false;
    response.writeHead(200, { "content-length": first.sizeBytes }).write("a".repeat(60_000));
    return true;
  };
  const stop = new AbortController();
  const begun = store.ensure(site.model([first]), stop.signal);
  await expect.poll(async () => (await store.reports())[0]?.downloadedBytes, patient).toBe(60_000);
  const next = store.ensure(site.model([second], "second"), never);
  if (isAdmitted) expect(await next).toMatchObject({ name: "second" });
  else await expect(next).rejects.toMatchObject({ message: expect.stringContaining("no room") });
  stop.abort();
  await expect(begun).rejects.toMatchObject({ code: "Aborted" });
});

test("keeps what is wanted and deletes the oldest of the rest beyond its limit", async () => {
  const folder = await site.folder();
  const store = await openStore(folder, { limitBytes: 2500 });
  const files = ["a", "b", "c"].map((name) => site.blob("model.onnx", name.repeat(1000)));
  store.setWanted(new Set([files[0]?.sha256 ?? ""]));
  for (const file of files) await store.ensure(site.model([file], file.sha256.slice(0, 8)), never);
  await store.collect();
  const kept = (await readdir(join(folder, "blobs", "sha256"))).filter((name) => name.length === 64);
  expect(new Set(kept)).toEqual(new Set([files[0]?.sha256, files[2]?.sha256]));
  expect(await store.reports()).toHaveLength(2);
});

test("a begun download is kept for as long as it is wanted or goes on, and deleted beyond the limit after", async () => {
  const folder = await site.folder();
  const store = await openStore(folder, { limitBytes: 1000 });
  const bytes = randomBytes(400_000);
  const file = site.blob("model.onnx", bytes);
  site.intercept = (_, response) => {
    response.writeHead(200, { "content-length": bytes.length });
    response.write(bytes.subarray(0, 250_000));
    return true;
  };
  const stop = new AbortController();
  const fetching = store.ensure(site.model([file]), stop.signal);
  await expect.poll(async () => (await store.reports())[0]?.downloadedBytes, patient).toBeGreaterThan(1000);
  const kept = () => readdir(join(folder, "blobs", "sha256"));
  await store.collect();
  expect(await kept()).toEqual([`${file.sha256}.part`]);
  stop.abort();
  await expect(fetching).rejects.toMatchObject({ code: "Aborted" });

  const again = await openStore(folder, { limitBytes: 1000 });
  again.setWanted(new Set([file.sha256]));
  await again.collect();
  expect(await kept()).toEqual([`${file.sha256}.part`]);
  again.setWanted(new Set());
  await again.collect();
  expect(await kept()).toEqual([]);
});
