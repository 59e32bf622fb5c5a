/** Reads options, builds what they ask for, runs, drains. `bus-init` makes the keys of a new bus instead. */
import { toAutoglmError } from "@autoglm/api";
import { publicKeysOf, signServiceUser } from "@autoglm/bus";
import { KUBE_METRICS, loadKubeClient } from "@autoglm/kube";
import { createLogger, Metrics, startHealthServer } from "@autoglm/telemetry";
import { readBusKeys, readIngesterCredentials } from "./bus-files.ts";
import { busInit } from "./bus-init.ts";
import { startControlPlane } from "./control-plane.ts";
import { INGEST_METRICS, KubeAccess } from "./ingest/index.ts";
import { identifyByTokenReview } from "./kube-identity.ts";
import { readOptions, type Options } from "./options.ts";
import { KubeObjectStore } from "./store/kube-object-store.ts";

async function run(options: Options): Promise<void> {
  const hasOperator = options.AUTOGLM_ROLE !== "ingester";
  const hasIngester = options.AUTOGLM_ROLE !== "operator";
  const log = createLogger({ name: options.AUTOGLM_ROLE, level: options.AUTOGLM_LOG_LEVEL });
  const metrics = new Metrics({ ...KUBE_METRICS, ...INGEST_METRICS });
  metrics.collectProcessMetrics();
  const client = loadKubeClient({ kubeconfigPath: options.AUTOGLM_KUBECONFIG, metrics });
  const keys = hasOperator ? readBusKeys(options.AUTOGLM_BUS_DIR) : undefined;

  let isReady = () => false;
  const health = await startHealthServer({
    host: options.AUTOGLM_HEALTH_HOST,
    port: options.AUTOGLM_HEALTH_PORT,
    metrics,
    isReady: () =>
      isReady() ? { ready: true } : { ready: false, reason: "starting, or no link to the bus" },
    isLive: () => true,
    log,
  });
  const plane = await startControlPlane({
    natsUrls: options.AUTOGLM_NATS_URLS,
    log,
    metrics,
    ingester: !hasIngester
      ? undefined
      : {
          credentials:
            keys === undefined
              ? readIngesterCredentials(options.AUTOGLM_BUS_DIR)
              : { ...signServiceUser(keys, "ingester"), grantPublicKey: publicKeysOf(keys).grant },
          stateDir: options.AUTOGLM_STATE_DIR,
          http: { host: options.AUTOGLM_RESULTS_HOST, port: options.AUTOGLM_RESULTS_PORT },
          access: new KubeAccess(client),
          modelBlobsDir: options.AUTOGLM_MODEL_BLOBS_DIR,
          keepRuns: options.AUTOGLM_KEEP_RUNS,
        },
    operator:
      keys === undefined
        ? undefined
        : {
            store: new KubeObjectStore({ client, instance: options.AUTOGLM_INSTANCE, log, metrics }),
            keys,
            enrol: { host: options.AUTOGLM_ENROL_HOST, port: options.AUTOGLM_ENROL_PORT },
            identifyToken: identifyByTokenReview(client, options.AUTOGLM_AGENT_SERVICE_ACCOUNT),
            publicNatsUrls: options.AUTOGLM_NATS_PUBLIC_URLS ?? options.AUTOGLM_NATS_URLS,
            modelServerUrl: options.AUTOGLM_MODEL_SERVER_URL,
            timing: {
              heartbeatTimeoutMs: options.AUTOGLM_HEARTBEAT_TIMEOUT_SECONDS * 1000,
              patienceMs: options.AUTOGLM_NODE_PATIENCE_SECONDS * 1000,
              statusIntervalMs: options.AUTOGLM_STATUS_INTERVAL_SECONDS * 1000,
            },
            credentialLifetimeMs: options.AUTOGLM_CREDENTIAL_DAYS * 86_400_000,
            rewriteIntervalMs: options.AUTOGLM_REWRITE_SECONDS * 1000,
            generation: options.AUTOGLM_GENERATION,
            resultsMaxBytes: options.AUTOGLM_RESULTS_MAX_BYTES,
          },
  });
  isReady = () => plane.isReady();
  log.info({ enrolUrl: plane.enrolUrl, resultsUrl: plane.resultsUrl }, "running");

  const asked = Promise.withResolvers<void>();
  for (const signal of ["SIGTERM", "SIGINT"] as const) process.once(signal, () => asked.resolve());
  await asked.promise;
  log.info({}, "draining");
  await plane.stop();
  await client.close();
  await health.close();
}

try {
  const [command, ...args] = process.argv.slice(2);
  const options = readOptions(process.env);
  if (command === "bus-init") process.stdout.write(`${await busInit(args, options.AUTOGLM_KUBECONFIG)}\n`);
  else await run(options);
} catch (cause) {
  const error = toAutoglmError(cause);
  process.stderr.write(`${error.code}: ${error.message}\n`);
  process.exitCode = 1;
}
