import { connect } from "node:net";
import { afterEach, describe, expect, it } from "vitest";
import { type HealthServer, type HealthServerOptions, startHealthServer } from "./health-server.ts";
import { Metrics } from "./metrics.ts";

const servers: HealthServer[] = [];
afterEach(async () => {
  await Promise.all(servers.splice(0).map((server) => server.close()));
});

async function start(options: Partial<HealthServerOptions> = {}) {
  const server = await startHealthServer({
    host: "127.0.0.1",
    port: 0,
    metrics: new Metrics({}),
    isReady: () => ({ ready: true }),
    isLive: () => true,
    ...options,
  });
  servers.push(server);
  return {
    ...server,
    get: async (path: string, init?: RequestInit) => {
      const response = await fetch(`http://127.0.0.1:${server.port}${path}`, init);
      return {
        status: response.status,
        type: response.headers.get("content-type"),
        body: await response.text(),
      };
    },
  };
}

describe("startHealthServer", () => {
  it("says that the process is alive and ready", async () => {
    const { get } = await start();
    expect(await get("/healthz")).toMatchObject({ status: 200, body: "ok" });
    expect(await get("/readyz?verbose")).toMatchObject({ status: 200, body: "ok" });
  });

  it("says why the process is not ready while it stays alive", async () => {
    const { get } = await start({ isReady: () => ({ ready: false, reason: "informers are not synced" }) });
    expect(await get("/readyz")).toMatchObject({ status: 503, body: "informers are not synced" });
    expect(await get("/healthz")).toMatchObject({ status: 200 });
  });

  it("asks for a restart when the process is not alive", async () => {
    const { get } = await start({ isLive: () => false });
    expect(await get("/healthz")).toMatchObject({ status: 503 });
  });

  it("serves metrics in Prometheus' text format", async () => {
    const metrics = new Metrics({
      autoglm_test_runs_total: { type: "counter", labels: [], help: "Runs" },
    });
    metrics.count("autoglm_test_runs_total");
    metrics.collectProcessMetrics();
    const { get } = await start({ metrics });
    const { status, type, body } = await get("/metrics");
    expect(status).toBe(200);
    expect(type).toContain("text/plain; version=0.0.4");
    expect(body).toContain("autoglm_test_runs_total 1");
    expect(body).toContain("process_resident_memory_bytes");
  });

  it("answers 500 and keeps serving when a check throws", async () => {
    const errors: unknown[] = [];
    const { get } = await start({
      isReady: () => {
        throw new Error("secret detail");
      },
      log: { error: (fields) => void errors.push(fields["error"]) },
    });
    expect(await get("/readyz")).toMatchObject({ status: 500, body: "check failed; see the log" });
    expect(await get("/healthz")).toMatchObject({ status: 200 });
    expect(errors).toEqual([new Error("secret detail")]);
  });

  it("refuses other paths and methods", async () => {
    const { get } = await start();
    expect(await get("/")).toMatchObject({ status: 404 });
    expect(await get("/healthz", { method: "POST" })).toMatchObject({ status: 405 });
  });

  it("closes at once although a client holds a connection open", async () => {
    const server = await start();
    const socket = connect(server.port, "127.0.0.1");
    await new Promise((resolve) => socket.once("connect", resolve));
    const ended = new Promise((resolve) => socket.once("close", resolve));
    await server.close();
    await ended;
    expect(socket.destroyed).toBe(true);
  });

  it("names the address that is taken", async () => {
    const { port } = await start();
    await expect(start({ port })).rejects.toMatchObject({
      code: "InvalidOption",
      details: { host: "127.0.0.1", port },
    });
  });
});
