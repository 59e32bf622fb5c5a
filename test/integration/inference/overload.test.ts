import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { request as httpRequest } from "node:http";
import { tmpdir } from "node:os";
import path from "node:path";
import { describe, expect, test, vi } from "vitest";
import { inferenceProcesses, infer, itemsOf } from "./harness.ts";
import { input, startFront } from "./front.ts";

const slow = "/v2/models/slow-classifier/infer";
const FAST = "快";
const SLOW = "慢".repeat(16);
const text = (value: string, parameters: Record<string, unknown> = {}) => ({
  parameters,
  inputs: [input("text", "BYTES", [1], [value])],
});

/** Ends every inference process. */
function killAll(): number {
  const pids = inferenceProcesses();
  for (const pid of pids) process.kill(pid, "SIGKILL");
  return pids.length;
}

describe("a full queue", () => {
  test("is said with 429 and when to come back, and empties again", async () => {
    await using front = await startFront({ engineOptions: { queueLimit: 4, threads: 1 } });
    const answers = await Promise.all(Array.from({ length: 30 }, () => front.ask(slow, text(SLOW))));
    const refused = answers.filter(({ status }) => status === 429);
    expect(refused.length).toBeGreaterThan(0);
    expect(answers.filter(({ status }) => status === 200).length).toBe(30 - refused.length);
    for (const { headers, body } of refused) {
      expect(Number(headers.get("retry-after"))).toBeGreaterThanOrEqual(1);
      expect(body.code).toBe("QueueFull");
      expect(body.error).toContain("slow-classifier");
    }
    expect((await front.ask(slow, text(FAST))).status).toBe(200);
    expect(await front.metrics()).toContain(
      `autoglm_http_dropped_requests_total{reason="queue"} ${refused.length}`,
    );
  });
});

test("a request with more items than the queue takes is answered whole", async () => {
  await using front = await startFront({ engineOptions: { queueLimit: 4, threads: 1 } });
  const texts = Array.from({ length: 600 }, () => FAST);
  const { status, body } = await front.ask(slow, { inputs: [input("text", "BYTES", [600], texts)] });
  expect(status).toBe(200);
  expect(body.outputs[0].data).toHaveLength(600);
});

describe("a deadline", () => {
  test("that passes in the queue ends the request with 504, and no process works for it", async () => {
    await using front = await startFront({ engineOptions: { threads: 1 } });
    const busy = Promise.all(Array.from({ length: 40 }, () => front.ask(slow, text(SLOW))));
    await new Promise((resolve) => setTimeout(resolve, 20));
    const late = await front.ask(slow, text(FAST, { timeout: 1 }));
    expect(late.status).toBe(504);
    expect(late.body.code).toBe("Timeout");
    expect((await busy).every(({ status }) => status === 200)).toBe(true);
  });
});

describe("an urgent request", () => {
  test("goes before those that came earlier", async () => {
    await using front = await startFront({ engineOptions: { threads: 1 } });
    const order: string[] = [];
    const ask = async (name: string, priority: number) => {
      await front.ask(slow, text(SLOW, { priority }));
      order.push(name);
    };
    const all = Array.from({ length: 20 }, (_, index) => ask(`late ${index}`, 100));
    await new Promise((resolve) => setTimeout(resolve, 10));
    await Promise.all([...all, ask("urgent", 1)]);
    expect(order.indexOf("urgent")).toBeLessThan(19);
  });

  test("does not wait for the items of a task", async () => {
    await using front = await startFront({ engineOptions: { threads: 1 } });
    const model = front.modelOf("slow-classifier");
    const stop = new AbortController();
    const items = itemsOf(Array<string>(5000).fill(SLOW));
    const results = infer(front.engine, { model, type: "text-classification", items, signal: stop.signal });
    const taking = (async () => {
      let count = 0;
      for await (const _ of results) count++;
      return count;
    })();
    taking.catch(() => undefined);
    await new Promise((resolve) => setTimeout(resolve, 50));
    expect((await front.ask(slow, text(FAST))).status).toBe(200);
    expect(front.engine.stateOf(model)?.waitingItems).toBeGreaterThan(0);
    stop.abort();
  });
});

describe("a client that leaves", () => {
  test("takes its queued work with it", async () => {
    await using front = await startFront({ engineOptions: { threads: 1 } });
    const model = front.modelOf("slow-classifier");
    const leaving = Array.from({ length: 30 }, () => {
      const request = httpRequest(front.url + slow, { method: "POST", agent: false });
      request.on("error", () => undefined);
      request.end(JSON.stringify(text(SLOW)));
      return request;
    });
    await vi.waitFor(() => expect(front.engine.stateOf(model)?.waitingItems).toBeGreaterThan(0));
    for (const request of leaving) request.destroy();
    await vi.waitFor(() => expect(front.engine.stateOf(model)?.waitingItems).toBe(0));
    await vi.waitFor(async () =>
      expect(await front.metrics()).toMatch(/autoglm_http_dropped_requests_total\{reason="disconnect"\} \d+/),
    );
    expect((await front.ask(slow, text(FAST))).status).toBe(200);
  });
});

describe("a process that is killed", () => {
  test("costs nobody an answer, and the model is back at once", async () => {
    await using front = await startFront();
    const asking = Promise.all(Array.from({ length: 40 }, () => front.ask(slow, text(SLOW))));
    await new Promise((resolve) => setTimeout(resolve, 30));
    expect(killAll()).toBeGreaterThan(0);
    const statuses = (await asking).map(({ status }) => status);
    expect(statuses.filter((status) => status === 200).length).toBe(40);
    expect((await front.ask(slow, text(FAST))).status).toBe(200);
  });

  test("three times sets the model aside, which says why and how to bring it back", async () => {
    await using front = await startFront();
    const model = front.modelOf("slow-classifier");
    for (let round = 0; round < 3; round++) {
      await front.engine.load(model, AbortSignal.timeout(30_000));
      killAll();
      await vi.waitFor(() => expect(front.engine.stateOf(model)?.processes).toBe(0), { timeout: 10_000 });
    }
    await vi.waitFor(() => expect(front.engine.stateOf(model)?.setAside).toBeDefined());
    const refused = await front.ask(slow, text(FAST));
    expect(refused.status).toBe(503);
    expect(refused.body.code).toBe("ModelSetAside");
    const ready = await front.ask("/v2/models/slow-classifier/ready");
    expect(ready.status).toBe(503);
    expect(ready.body.reason).toContain("SIGKILL");
    expect(ready.body.reason).toContain("/v2/repository/models/slow-classifier/load");
    expect(await front.metrics()).toContain(
      'autoglm_inference_set_aside_count{model="slow-classifier",variant="default"} 1',
    );
    expect((await front.ask("/v2/repository/models/slow-classifier/load", {})).status).toBe(200);
    expect((await front.ask(slow, text(FAST))).status).toBe(200);
  });
});

describe("tokens", () => {
  const token = "a-token-of-enough-length";

  test("are needed where there is one, and probes need none", async () => {
    const folder = await mkdtemp(path.join(tmpdir(), "autoglm-token-"));
    const tokenFile = path.join(folder, "token");
    await writeFile(tokenFile, `${token}\n`);
    await using front = await startFront({ tokenFile });
    const as = (authorization?: string) =>
      front.ask("/v2/models/tensor-rows", undefined, {
        headers: authorization === undefined ? {} : { authorization },
      });
    for (const wrong of [
      undefined,
      "",
      "Bearer",
      `Bearer ${token}x`,
      `Bearer ${token.slice(1)}`,
      `Basic ${token}`,
    ]) {
      const { status, headers } = await as(wrong);
      expect(status).toBe(401);
      expect(headers.get("www-authenticate")).toBe("Bearer");
    }
    expect((await as(`Bearer ${token}`)).status).toBe(200);
    expect((await as(`bearer ${token}`)).status).toBe(200);
    expect((await front.ask("/v2/health/ready")).status).toBe(200);
    // No names of models for strangers.
    expect((await front.ask("/v2/models/none")).status).toBe(401);
    await rm(folder, { recursive: true });
  });

  test("are a must beyond this machine", async () => {
    await expect(startFront({ host: "0.0.0.0" })).rejects.toThrow("AUTOGLM_HTTP_TOKEN");
    await using front = await startFront({ host: "0.0.0.0", token });
    expect((await front.ask("/v2/models/tensor-rows")).status).toBe(401);
  });
});
