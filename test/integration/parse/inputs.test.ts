/** Inputs that lie elsewhere: real HTTP servers, redirects and cuts, and an object store that checks signatures. */
import { createHash } from "node:crypto";
import { once } from "node:events";
import { readFile } from "node:fs/promises";
import { createServer, type RequestListener, type Server } from "node:http";
import { join } from "node:path";
import { inspect } from "node:util";
import { hasErrorCode, type TaskType, type WorkInput } from "@autoglm/api";
import { afterAll, afterEach, beforeAll, describe, expect, test } from "vitest";
import { readItems, type RemoteInputs } from "../../../edge-agent/src/agent/work-input.ts";
import { parseAllowedHosts, readHttp, readObject } from "../../../edge-agent/src/inputs/index.ts";
import type { ParsedItem } from "../../../edge-agent/src/parse/index.ts";
import { startObjectStore, type TestObjectStore } from "./object-store.ts";

const AWKWARD = join(import.meta.dirname, "awkward");
const servers: Server[] = [];

async function serve(listener: RequestListener): Promise<string> {
  const server = createServer(listener);
  servers.push(server);
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  const address = server.address();
  if (address === null || typeof address === "string") throw new Error("no TCP address");
  return `http://127.0.0.1:${address.port}`;
}

afterEach(async () => {
  for (const server of servers.splice(0)) {
    server.closeAllConnections();
    server.close();
    await once(server, "close");
  }
});

const local = parseAllowedHosts("127.0.0.1, localhost");
const remote = (changes: Partial<RemoteInputs> = {}): RemoteInputs => ({
  allowedHosts: local,
  objectStore: undefined,
  maxBytes: 64 * 1024 * 1024,
  ...changes,
});

async function items(
  input: WorkInput,
  sources = remote(),
  type: TaskType = "text-classification",
): Promise<ParsedItem[]> {
  const part = () => Promise.reject(new Error("no parts here"));
  return Array.fromAsync(readItems({ input, type }, { dataRoot: "/nowhere", part, remote: sources }));
}

const url = (address: string): WorkInput => ({ kind: "url", url: address, format: "auto" });
const outcome = (item: ParsedItem) => ("text" in item ? item.text : item.error.code);
const withCode = (code: Parameters<typeof hasErrorCode>[1]) => (error: unknown) => hasErrorCode(error, code);

describe("url", () => {
  test("reads a csv, a zip and a pdf, whatever their names and types say", async () => {
    const address = await serve((request, reply) => {
      const [path = ""] = (request.url ?? "").split("?");
      void readFile(join(AWKWARD, path)).then((bytes) =>
        reply.setHeader("content-type", "text/plain").end(bytes),
      );
    });
    expect((await items(url(`${address}/quoted-newlines.csv?token=x`))).map(outcome)).toEqual([
      'first\nsecond "quoted", third',
      "plain",
    ]);
    expect((await items(url(`${address}/traversal.zip`))).map(outcome)).toEqual([
      "ItemInvalid",
      "ItemInvalid",
      "good",
    ]);
    const pages = await items(url(`${address}/scanned-page.pdf?token=secret`));
    expect(pages.map(outcome)[1]).toBe("ItemInvalid");
    expect(JSON.stringify(pages)).not.toContain("secret");
  });

  test("is refused for a host that is not listed, before anything is sent", async () => {
    let requests = 0;
    const address = await serve((_, reply) => {
      requests++;
      reply.end("text");
    });
    await expect(items(url(address), remote({ allowedHosts: parseAllowedHosts("") }))).rejects.toSatisfy(
      withCode("InputHostNotAllowed"),
    );
    // localhost is listed by name; that it points to a private address needs that address.
    const named = address.replace("127.0.0.1", "localhost");
    const byName = remote({ allowedHosts: parseAllowedHosts(new URL(named).host) });
    await expect(items(url(named), byName)).rejects.toThrow(/private address (127\.0\.0\.1|::1)/);
    expect(requests).toBe(0);
  });

  test("follows redirects to listed hosts alone", async () => {
    let secretRead = false;
    const secret = await serve((_, reply) => {
      secretRead = true;
      reply.end("secret");
    });
    const address = await serve((request, reply) => {
      const target = {
        "/here": "/there",
        "/away": secret.replace("127.0.0.1", "127.0.0.2"),
        "/loop": "/loop",
      }[request.url ?? ""];
      if (target === undefined) reply.end("found\n");
      else reply.writeHead(302, { location: target }).end();
    });
    expect((await items(url(`${address}/here`))).map(outcome)).toEqual(["found"]);
    await expect(items(url(`${address}/away`))).rejects.toSatisfy(withCode("InputHostNotAllowed"));
    await expect(items(url(`${address}/loop`))).rejects.toThrow("more than 5 times");
    expect(secretRead).toBe(false);
  });

  test("an answer that is no document: final for 404, tried again for 503 and a cut connection", async () => {
    const address = await serve((request, reply) => {
      if (request.url === "/cut") {
        reply.writeHead(200, { "content-length": "1000" });
        reply.write("one\ntwo\n");
        setTimeout(() => reply.destroy(), 50);
      } else reply.writeHead(Number(request.url?.slice(1))).end("an error page");
    });
    await expect(items(url(`${address}/404`))).rejects.toMatchObject({
      code: "InputUnavailable",
      retry: "never",
    });
    await expect(items(url(`${address}/503`))).rejects.toMatchObject({
      code: "InputUnavailable",
      retry: "backoff",
    });
    await expect(items(url(`${address}/cut`))).rejects.toMatchObject({
      code: "InputUnavailable",
      retry: "backoff",
    });
  });

  test("no error shows what may be secret in an address", async () => {
    const secret = "s3cr3t";
    const address = await serve((request, reply) => {
      const { pathname } = new URL(request.url ?? "", "http://localhost");
      if (pathname === "/cut") {
        reply.writeHead(200, { "content-length": "1000" });
        reply.write("one\n");
        setTimeout(() => reply.destroy(), 50);
      } else if (pathname === "/large") reply.end("a line\n".repeat(1000));
      else if (pathname === "/away")
        reply.writeHead(302, { location: `http://example.com/?t=${secret}` }).end();
      else reply.writeHead(403).end();
    });
    const query = `?X-Amz-Signature=${secret}#${secret}`;
    const addresses = [
      ...["/403", "/cut", "/large", "/away"].map((path) => `${address}${path}${query}`),
      `${address.replace("127.0.0.1", "127.0.0.2")}/${query}`,
      `http://user:${secret}@127.0.0.1/${query}`,
      `http://127.0.0.1:99999/${query}`,
    ];
    const reads: ((one: string) => Promise<unknown>)[] = [
      (one) => items(url(one), remote({ maxBytes: 1000 })),
      (one) => Array.fromAsync(readHttp(one, { allowed: local, maxBytes: 1000 })),
    ];
    for (const read of reads) {
      for (const one of addresses) {
        const error = await read(one).catch((thrown: unknown) => thrown);
        expect(error).toBeInstanceOf(Error);
        expect(inspect(error, { depth: null, showHidden: true })).not.toContain(secret);
        expect(String(error)).toContain("http://127.0.0.");
      }
    }
  });

  test("limits: size by header and by count, silence, and the end of the work", async () => {
    const address = await serve((request, reply) => {
      if (request.url === "/declared") reply.writeHead(200, { "content-length": "100000000" }).flushHeaders();
      else if (request.url === "/silent") reply.write("one\n");
      else {
        const more = () => {
          while (!reply.destroyed && reply.write("a line of text\n".repeat(1000)));
        };
        reply.on("drain", more);
        more();
      }
    });
    const limits = { allowed: local, maxBytes: 1_000_000, silenceMs: 200 };
    const all = (path: string, signal?: AbortSignal) =>
      Array.fromAsync(
        readHttp(`${address}${path}`, { ...limits, ...(signal && { signal, silenceMs: 60_000 }) }),
      );
    await expect(all("/declared")).rejects.toSatisfy(withCode("InputTooLarge"));
    await expect(all("/endless")).rejects.toSatisfy(withCode("InputTooLarge"));
    await expect(all("/silent")).rejects.toThrow("sends nothing for 0.2 s");
    await expect(all("/silent", AbortSignal.timeout(200))).rejects.toThrow(/aborted due to timeout/);
  });
});

describe("objectRef", () => {
  let store: TestObjectStore;
  const object = (key: string, bucket = "data"): WorkInput => ({
    kind: "object",
    bucket,
    key,
    format: "auto",
  });

  beforeAll(async () => {
    store = await startObjectStore();
    await store.put("data", "reviews.csv", "id,text\n1,很好\n2,差\n");
    await store.put("data", "中文 dir/a+b&c=d (1).txt", "one\n");
    await store.put("other", "secret.txt", "secret\n");
  });
  afterAll(() => store.stop());

  test("reads objects whose keys need escaping", async () => {
    const sources = remote({ objectStore: store.options });
    expect((await items(object("reviews.csv"), sources)).map(outcome)).toEqual(["很好", "差"]);
    expect((await items(object("中文 dir/a+b&c=d (1).txt"), sources)).map(outcome)).toEqual(["one"]);
  });

  test("reads a large object as it is", async () => {
    const bytes = Buffer.alloc(9_000_000, "0123456789abcdef\n");
    await store.put("data", "large.txt", bytes);
    const hash = createHash("sha256");
    for await (const chunk of readObject({ bucket: "data", key: "large.txt" }, store.options, {
      maxBytes: 1e8,
    }))
      hash.update(chunk);
    expect(hash.digest("hex")).toBe(createHash("sha256").update(bytes).digest("hex"));
  });

  test("a wrong key is refused by the server: it is the signature that opens", async () => {
    const swapped = { ...store.options, secretKeyFile: store.options.accessKeyFile };
    await expect(items(object("reviews.csv"), remote({ objectStore: swapped }))).rejects.toMatchObject({
      code: "InputUnavailable",
      retry: "never",
      message: expect.stringContaining("403"),
    });
  });

  test("what is missing, what leaves the bucket, and a node without a store", async () => {
    const sources = remote({ objectStore: store.options });
    await expect(items(object("nothing.txt"), sources)).rejects.toMatchObject({
      code: "InputUnavailable",
      retry: "never",
    });
    await expect(items(object("../other/secret.txt"), sources)).rejects.toThrow("no . or ..");
    await expect(items(object("reviews.csv"))).rejects.toThrow("AUTOGLM_OBJECT_STORE_URL");
  });
});
