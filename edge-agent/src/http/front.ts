/** Puts the inference port together: models, routes, authentication, metrics. */
import { monitorEventLoopDelay } from "node:perf_hooks";
import { toAutoglmError } from "@autoglm/api";
import type { Log, Metrics } from "@autoglm/telemetry";
import type { Engine, ModelOnDisk } from "../engine/index.ts";
import { createAuth } from "./auth.ts";
import type { HTTP_METRICS } from "./metrics.ts";
import { ModelDirectory, type ServedEntry } from "./model-directory.ts";
import { createRoutes } from "./routes.ts";
import { startInferenceServer } from "./server.ts";

/** Each sample wakes the process: at 5 ms they cost an idle agent most of its processor time. */
const DELAY_SAMPLE_MS = 20;

export interface InferenceFrontOptions {
  readonly host: string;
  /** 0 picks a free one. */
  readonly port: number;
  readonly token: string | undefined;
  readonly tokenFile: string | undefined;
  readonly requestLimitBytes: number;
  /** Open connections; one more is closed at once. */
  readonly connectionLimit: number;
  /** Longest wait of a request for a process. */
  readonly timeoutMs: number;
  readonly serveDir: string | undefined;
  /** Complete models of the store. */
  readonly stored: () => readonly ModelOnDisk[];
  readonly engine: Engine;
  readonly metrics: Pick<Metrics<typeof HTTP_METRICS>, "count" | "observe" | "gauge">;
  readonly log: Log;
  readonly version: string;
}

export interface InferenceFront {
  readonly port: number;
  /** Settles when every model of the folder is loaded, or has said why it is not. */
  readonly loaded: Promise<void>;
  /** The models that there are have changed. */
  refresh(): void;
  close(graceMs: number): Promise<void>;
}

/** @throws AutoglmError `InvalidOption` */
export async function startInferenceFront(options: InferenceFrontOptions): Promise<InferenceFront> {
  const { host, port, engine, metrics, log, serveDir, stored, timeoutMs, version } = options;
  const { requestLimitBytes, connectionLimit } = options;
  const isAllowed = createAuth(options);
  const models = new ModelDirectory({ serveDir, stored });
  const stop = new AbortController();
  let isLoading = true;
  const routes = createRoutes({
    engine,
    models,
    timeoutMs,
    version,
    notReady: () =>
      isLoading ? "models are being loaded" : stop.signal.aborted ? "the agent stops" : undefined,
  });
  const delay = monitorEventLoopDelay({ resolution: DELAY_SAMPLE_MS });
  delay.enable();
  metrics.gauge("autoglm_agent_event_loop_delay_p99_seconds", {}, () => {
    // What it measures is the distance of two ticks.
    const seconds = Math.max(0, delay.percentile(99) / 1e6 - DELAY_SAMPLE_MS) / 1000;
    delay.reset();
    return seconds;
  });
  const gauges = new ModelGauges(engine, metrics);
  const server = await startInferenceServer({
    host,
    port,
    isAllowed,
    requestLimitBytes,
    connectionLimit,
    routes,
    metrics,
    log,
  });
  const refresh = () => {
    models.refresh();
    gauges.follow(models.list());
  };
  refresh();
  const loaded = loadAll(engine, models.ofFolder, stop.signal, log).then(() => {
    isLoading = false;
  });
  log.info({ host, port: server.port, models: models.list().length }, "the inference port is open");
  return {
    port: server.port,
    loaded,
    refresh,
    async close(graceMs) {
      stop.abort();
      delay.disable();
      await server.close(graceMs);
    },
  };
}

/** One after the other: side by side they would only slow each other down. */
async function loadAll(
  engine: Engine,
  entries: readonly ServedEntry[],
  signal: AbortSignal,
  log: Log,
): Promise<void> {
  for (const { model } of entries) {
    if (signal.aborted) return;
    const fields = { model: model.name, variant: model.variant };
    try {
      const { loadMs } = await engine.load(model, signal);
      log.info({ ...fields, loadMs: Math.round(loadMs) }, "the model is loaded");
    } catch (error) {
      if (!signal.aborted) log.warn({ ...fields, error: toAutoglmError(error) }, "the model can't be loaded");
    }
  }
}

/** Gauges of the models that there are; they read the engine when they are scraped. */
class ModelGauges {
  readonly #engine: Engine;
  readonly #metrics: InferenceFrontOptions["metrics"];
  readonly #known = new Set<string>();

  constructor(engine: Engine, metrics: InferenceFrontOptions["metrics"]) {
    this.#engine = engine;
    this.#metrics = metrics;
  }

  follow(entries: readonly ServedEntry[]): void {
    for (const { model } of entries) {
      const key = `${model.name}/${model.variant}`;
      if (this.#known.has(key)) continue;
      this.#known.add(key);
      const labels = { model: model.name, variant: model.variant };
      const state = () => this.#engine.stateOf(model);
      const metrics = this.#metrics;
      metrics.gauge("autoglm_inference_waiting_items_count", labels, () => state()?.waitingItems ?? 0);
      metrics.gauge("autoglm_inference_processes_count", labels, () => state()?.processes ?? 0);
      metrics.gauge("autoglm_inference_set_aside_count", labels, () =>
        Number(state()?.setAside !== undefined),
      );
      metrics.gauge("autoglm_inference_provider_fallback_count", labels, () =>
        Number(state()?.fallbackReason !== undefined),
      );
    }
  }
}
