/** An ingester in a process of its own, to be killed: `node ingester-process.ts <JSON>`; prints its URL. */
import { connectBus } from "@autoglm/bus";
import { createLogger, Metrics } from "@autoglm/telemetry";
import { INGEST_METRICS, LoopbackAccess, startIngester } from "../../../operator/src/ingest/index.ts";
import type { ProcessSettings } from "./ingester.ts";

// Written by ingester.ts, next to this.
const settings = JSON.parse(process.argv[2] ?? "") as ProcessSettings;
const log = createLogger({ name: "ingester", level: "error" });
const connection = await connectBus({ urls: [settings.busUrl], ...settings.credentials, name: "ingester" });
const { url } = await startIngester({
  connection,
  grantPublicKey: settings.grantPublicKey,
  stateDir: settings.stateDir,
  http: { host: "127.0.0.1", port: 0 },
  access: new LoopbackAccess(settings.token),
  reserveBytes: 0,
  maxBytes: settings.maxBytes,
  modelBlobsDir: settings.modelBlobsDir,
  log,
  metrics: new Metrics(INGEST_METRICS),
});
process.stdout.write(`${url}\n`);
