/**
 * The ingester: takes results off the bus, decides once per item, keeps them, serves them, and tells the operator
 * how far each task is. Commit comes before acknowledgement, so that a crash at any point leads to a repetition and
 * never to a loss; what is repeated is recognised by its key.
 */
import { setImmediate as nextTurn } from "node:timers/promises";
import { type BusConnection, IngesterBus } from "@autoglm/bus";
import type { Log } from "@autoglm/telemetry";
import { ResultStore } from "../results/store.ts";
import type { AccessPort } from "./access.ts";
import { Changes } from "./changes.ts";
import { createResultServer } from "./http.ts";
import { Intake } from "./intake.ts";
import { LedgerPublisher } from "./ledger-publisher.ts";
import type { IngestMetrics } from "./metrics.ts";

export { type AccessPort, KubeAccess, LoopbackAccess } from "./access.ts";
export { INGEST_METRICS, type IngestMetrics } from "./metrics.ts";

const REPUBLISH_MS = 30_000;
/** A complete task is still republished for this long, in case its ledger did not arrive. */
const FRESH_MS = 10 * 60_000;

export interface IngesterOptions {
  readonly connection: BusConnection;
  /** Verifies the grants that come with chunks. */
  readonly grantPublicKey: string;
  /** Folder for the result store: of its own, on a local volume. */
  readonly stateDir: string;
  readonly http: { readonly host: string; readonly port: number };
  readonly access: AccessPort;
  /** Folder with model files as `sha256/<digest>`. */
  readonly modelBlobsDir?: string | undefined;
  /** Runs of a continuous task that are kept; default 10. */
  readonly keepRuns?: number | undefined;
  /** Intake stops while the volume has less than this; default 64 MiB. */
  readonly reserveBytes?: number | undefined;
  /** Largest size of the store's file; default: as large as the volume lets it. */
  readonly maxBytes?: number | undefined;
  readonly log: Log;
  readonly metrics: IngestMetrics;
  /** Stops it, as `stop` does. */
  readonly signal?: AbortSignal | undefined;
}

export interface Ingester {
  /** Where results and models are served. */
  readonly url: string;
  /** Resolves when everything that was taken is on disk and the store is closed. */
  stop(): Promise<void>;
}

/** @throws AutoglmError `Conflict` when another process has the store */
export async function startIngester(options: IngesterOptions): Promise<Ingester> {
  const { connection, log, metrics, stateDir, keepRuns, reserveBytes, maxBytes } = options;
  const stopping = new AbortController();
  const { signal } = stopping;
  const bus = new IngesterBus(connection, { log });
  const store = new ResultStore({ dir: stateDir, keepRuns, reserveBytes, maxBytes });
  const changes = new Changes();
  const publisher = new LedgerPublisher({
    read: (task) => store.ledger(task, { storeFull: intake.isFull }),
    publish: (ledger) => bus.publishLedger(ledger),
    onError: (error) => log.warn({ error }, "a ledger could not be published; it will be again"),
    now: Date.now,
  });
  const republish = (tasks: readonly string[]): void => {
    for (const task of tasks) publisher.touch(task, false);
  };
  const republishLive = (): void => republish(store.taskUids({ changedSince: Date.now() - FRESH_MS }));
  const intake = new Intake({
    store,
    grantPublicKey: options.grantPublicKey,
    onProgress: (tasks) => {
      for (const { uid, urgent } of tasks) {
        publisher.touch(uid, urgent);
        changes.announce(uid);
      }
    },
    onFullChange: republishLive,
    log,
    metrics,
    signal,
  });
  metrics.gauge("autoglm_ingest_store_bytes", {}, () => store.sizeBytes());
  metrics.gauge("autoglm_ingest_store_full", {}, () => (intake.isFull ? 1 : 0));

  const server = createResultServer({
    store,
    changes,
    access: options.access,
    isStoreFull: () => intake.isFull,
    modelBlobsDir: options.modelBlobsDir,
    log,
    signal,
  });
  const url = await server.listen(options.http).catch((error: unknown) => {
    store.close();
    throw error;
  });

  const sweep = async (): Promise<void> => {
    while (!signal.aborted && store.sweep()) await nextTurn();
  };
  bus.onForget(async (task) => {
    store.forget(task);
    await publisher.forget(task);
    changes.announce(task);
    log.info({ task }, "forgot the results of a deleted task");
    sweeping = sweeping.then(sweep);
  });
  connection.onStatus((status) => {
    // The server may have lost its disk: whatever it should hold is said again.
    if (status === "connected" && !signal.aborted) republish(store.taskUids());
  });
  let sweeping = sweep();
  republish(store.taskUids());
  const republishing = setInterval(() => {
    republishLive();
    // Runs that were dropped leave rows too.
    sweeping = sweeping.then(sweep);
  }, REPUBLISH_MS);
  const consuming = bus.consumeChunks((batch) => intake.take(batch), { signal });

  let stopped: Promise<void> | undefined;
  const stop = (): Promise<void> => {
    stopped ??= (async () => {
      stopping.abort();
      clearInterval(republishing);
      // A batch that was not finished is not acknowledged, and comes again.
      await Promise.allSettled([consuming, sweeping]);
      publisher.stop();
      await server.close();
      store.close();
    })();
    return stopped;
  };
  options.signal?.addEventListener("abort", () => void stop(), { once: true });
  log.info({ url }, "results are served");
  return { url, stop };
}
