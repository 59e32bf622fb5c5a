/**
 * The agent's inference port alone, without operator and bus: serves the models of AUTOGLM_SERVE_DIR.
 *
 *     AUTOGLM_SERVE_DIR=models node edge-agent/src/serve.ts
 *
 * Exit codes: 0 after SIGTERM or SIGINT, 1 failed, 2 an option is wrong.
 */
import { AutoglmError, toAutoglmError } from "@autoglm/api";
import { createLogger, Metrics, startHealthServer } from "@autoglm/telemetry";
import packageJson from "../package.json" with { type: "json" };
import { createEngine } from "./engine/index.ts";
import { HTTP_METRICS, startInferenceFront } from "./http/index.ts";
import { readAgentOptions } from "./options.ts";
import { MemoryProbe } from "./probe/memory-probe.ts";

const DEFAULT_PORT = 8081;
const GRACE_MS = 5000;

async function main(): Promise<void> {
  const options = readAgentOptions();
  const { http, healthHost, healthPort } = options;
  if (http.serveDir === undefined)
    throw new AutoglmError("InvalidOption", "AUTOGLM_SERVE_DIR: the folder with the models is missing");
  const log = createLogger({ name: "edge-agent", level: options.logLevel });
  const probe = new MemoryProbe({
    declaredBudgetBytes: options.memoryBudgetBytes,
    engineBytes: () => engine?.usedBytes() ?? 0,
  });
  let engine: ReturnType<typeof createEngine> | undefined;
  const { memory } = await probe.read();
  engine = createEngine({
    threads: options.threads,
    memoryBudgetBytes: Math.max(0, memory.totalBytes - memory.usedByOthersBytes),
    budgetKind: memory.kind,
    log,
    executionProviders: options.executionProviders,
    performanceHint: options.performanceHint,
    queueLimit: http.queueLimit,
    ...(options.itemTimeoutMs !== undefined && { itemTimeoutMs: options.itemTimeoutMs }),
  });
  const metrics = new Metrics(HTTP_METRICS);
  metrics.collectProcessMetrics();
  let isLoading = true;
  const health = await startHealthServer({
    host: healthHost,
    port: healthPort,
    metrics,
    isReady: () => (isLoading ? { ready: false, reason: "models are being loaded" } : { ready: true }),
    isLive: () => true,
    log,
  });
  const front = await startInferenceFront({
    ...http,
    port: http.port ?? DEFAULT_PORT,
    stored: () => [],
    engine,
    metrics,
    log,
    version: packageJson.version,
  });
  void front.loaded.then(() => {
    isLoading = false;
  });
  const stopped = Promise.withResolvers<void>();
  for (const signal of ["SIGTERM", "SIGINT"] as const) process.once(signal, () => stopped.resolve());
  await stopped.promise;
  await front.close(GRACE_MS);
  await engine.close();
  await health.close();
}

try {
  await main();
  process.exit(0);
} catch (cause) {
  const error = toAutoglmError(cause);
  createLogger({ name: "edge-agent", level: "error" }).error({ error }, "can't serve");
  process.exit(error.code === "InvalidOption" ? 2 : 1);
}
