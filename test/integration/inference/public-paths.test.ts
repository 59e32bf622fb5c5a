/** What somebody without the token can do at the inference port: ask whether it lives, and nothing that costs. */
import { once } from "node:events";
import { connect, type Socket } from "node:net";
import { afterAll, beforeAll, expect, test } from "vitest";
import { startFront, type TestFront } from "./front.ts";

const TOKEN = "a token of some length";
let front: TestFront;
beforeAll(async () => {
  front = await startFront({ serveDir: undefined, token: TOKEN });
});
afterAll(() => front[Symbol.asyncDispose]());

/** Sends the head of a request and the first bytes of a body that does not end. */
async function begin(method: string, path: string, bodyBytes: number, headers = ""): Promise<Socket> {
  const { hostname, port } = new URL(front.url);
  const socket = connect(Number(port), hostname);
  await once(socket, "connect");
  socket.write(`${method} ${path} HTTP/1.1\r\nhost: x\r\n${headers}content-length: ${bodyBytes}\r\n\r\nx`);
  return socket;
}

async function statusOf(socket: Socket): Promise<number> {
  const [head] = (await once(socket, "data", { signal: AbortSignal.timeout(5000) })) as [Buffer];
  socket.destroy();
  return Number(/^HTTP\/1\.1 (\d+)/.exec(head.toString("latin1"))?.[1]);
}

test.each(["/v2", "/v2/health/live", "/v2/health/ready"])(
  "%s is answered without the token, and without waiting for a body",
  async (path) => {
    expect(await statusOf(await begin("GET", path, 1000))).toBe(200);
    expect(await statusOf(await begin("GET", path, 1e9))).toBe(200);
  },
);

test.each([
  ["POST", "/v2/health/live", 405],
  ["POST", "/v2", 405],
  ["GET", "/v2/health/other", 401],
  ["GET", "/v2/models/none", 401],
  ["POST", "/v1/infer", 401],
])("%s %s without the token is refused at once", async (method, path, status) => {
  expect(await statusOf(await begin(method, path, 1000))).toBe(status);
});

test("a connection goes on after a body that nobody read", async () => {
  const socket = await begin("GET", "/v2/health/live", 3);
  await once(socket, "data");
  socket.write("xxGET /v3 HTTP/1.1\r\nhost: x\r\n\r\n");
  expect(await statusOf(socket)).toBe(401);
});

test("with the token a body counts where one is read, up to the limit", async () => {
  const headers = `authorization: Bearer ${TOKEN}\r\n`;
  expect(await statusOf(await begin("GET", "/v1/models", 1000, headers))).toBe(200);
  expect(await statusOf(await begin("POST", "/v1/infer", 1e9, headers))).toBe(413);
});

test("a connection beyond the limit is closed at once, counted, and costs the others nothing", async () => {
  const few = await startFront({ serveDir: undefined, connectionLimit: 2 });
  const { hostname, port } = new URL(few.url);
  const open = () => connect(Number(port), hostname);
  const held = [open(), open()];
  await Promise.all(held.map((socket) => once(socket, "connect")));
  const refused = open();
  refused.resume();
  await once(refused, "close", { signal: AbortSignal.timeout(5000) });
  held[0]?.write("GET /v2/health/live HTTP/1.1\r\nhost: x\r\n\r\n");
  expect(await statusOf(held[0] ?? refused)).toBe(200);
  await expect.poll(() => few.metrics()).toContain("autoglm_http_dropped_connections_total 1");
  for (const socket of held) socket.destroy();
  await few[Symbol.asyncDispose]();
});
