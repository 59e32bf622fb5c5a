/** Operator, enrolment server and ingester over one bus: any of them alone, or all in one process. */
import { AutoglmError, type Grant } from "@autoglm/api";
import {
  connectBus,
  OperatorBus,
  publicKeysOf,
  signGrant,
  signNodeUser,
  signServiceUser,
  verifyGrant,
  type BusConnection,
  type BusKeys,
} from "@autoglm/bus";
import type { Clock, KubeMetrics } from "@autoglm/kube";
import type { Log } from "@autoglm/telemetry";
import type { IngesterCredentials } from "./bus-files.ts";
import type { ControllerSettings } from "./controllers/context.ts";
import { startEnrolServer, type IdentifyToken } from "./enrol/server.ts";
import { verifyNodeSignature } from "./enrol/signature.ts";
import { startIngester, type AccessPort, type IngestMetrics } from "./ingest/index.ts";
import { loadPromptLibrary } from "./library.ts";
import { startOperator, type OperatorBusPort, type RunningOperator } from "./operator.ts";
import type { ObjectStore } from "./store/object-store.ts";

export interface OperatorPart {
  readonly store: ObjectStore;
  readonly keys: BusKeys;
  readonly enrol: { readonly host: string; readonly port: number };
  readonly identifyToken: IdentifyToken;
  /** What agents are told to dial. */
  readonly publicNatsUrls: readonly string[];
  /** Where agents get models; default: the ingester of this process. */
  readonly modelServerUrl?: string | undefined;
  readonly timing: Omit<ControllerSettings, "modelServerUrl">;
  readonly credentialLifetimeMs: number;
  readonly rewriteIntervalMs: number;
  readonly generation: number;
  readonly resultsMaxBytes?: number | undefined;
}

export interface IngesterPart {
  readonly credentials: IngesterCredentials;
  readonly stateDir: string;
  readonly http: { readonly host: string; readonly port: number };
  readonly access: AccessPort;
  readonly modelBlobsDir?: string | undefined;
  readonly keepRuns?: number | undefined;
}

export interface ControlPlaneOptions {
  readonly natsUrls: readonly string[];
  readonly operator?: OperatorPart | undefined;
  readonly ingester?: IngesterPart | undefined;
  readonly log: Log;
  readonly metrics: KubeMetrics & IngestMetrics;
}

export interface ControlPlane {
  /** Where agents enrol; undefined without the operator. */
  readonly enrolUrl: string | undefined;
  /** Where results and models are served; undefined without the ingester. */
  readonly resultsUrl: string | undefined;
  isReady(): boolean;
  /** Looks at every object again, as a resync of the caches does; nothing without the operator. */
  reconcileAll(): void;
  /** Takes nothing new, finishes what is under way, closes everything. */
  stop(): Promise<void>;
}

const systemClock: Clock = {
  now: () => Date.now(),
  after: (delayMs, run) => {
    const timer = setTimeout(run, delayMs);
    return () => clearTimeout(timer);
  },
};

/** Rejects when a part can't start; what was started by then is stopped. */
export async function startControlPlane(options: ControlPlaneOptions): Promise<ControlPlane> {
  const { natsUrls, operator, ingester, log } = options;
  /** In the order of starting; ended in reverse. */
  const ends: (() => Promise<void>)[] = [];
  const stop = async (): Promise<void> => {
    for (const end of ends.splice(0).reverse()) await end();
  };
  try {
    let resultsUrl: string | undefined;
    if (ingester !== undefined) {
      const connection = await connectBus({ urls: natsUrls, name: "ingester", log, ...ingester.credentials });
      ends.push(() => connection.drain());
      const running = await startIngester({
        connection,
        log: log.child({ part: "ingester" }),
        metrics: options.metrics,
        grantPublicKey: ingester.credentials.grantPublicKey,
        stateDir: ingester.stateDir,
        http: ingester.http,
        access: ingester.access,
        modelBlobsDir: ingester.modelBlobsDir,
        keepRuns: ingester.keepRuns,
      });
      ends.push(() => running.stop());
      resultsUrl = running.url;
    }
    const started =
      operator === undefined ? undefined : await startOperatorPart(options, operator, resultsUrl, ends);
    return {
      enrolUrl: started?.enrolUrl,
      resultsUrl,
      isReady: () => started?.isReady() ?? true,
      reconcileAll: () => started?.operator.reconcileAll(),
      stop,
    };
  } catch (error) {
    await stop();
    throw error;
  }
}

async function startOperatorPart(
  { natsUrls, log, metrics }: ControlPlaneOptions,
  part: OperatorPart,
  resultsUrl: string | undefined,
  ends: (() => Promise<void>)[],
): Promise<{
  readonly enrolUrl: string;
  readonly operator: RunningOperator;
  readonly isReady: () => boolean;
}> {
  const { keys, store, timing } = part;
  const modelServerUrl = part.modelServerUrl ?? resultsUrl;
  if (modelServerUrl === undefined) {
    throw new AutoglmError("InvalidOption", "the operator needs the address of a model server");
  }
  const credentials = signServiceUser(keys, "operator");
  const connection = await connectBus({ urls: natsUrls, name: "operator", log, ...credentials });
  ends.push(() => connection.drain());
  const { grant: grantPublicKey } = publicKeysOf(keys);
  const operator = await startOperator({
    store,
    library: await loadPromptLibrary(),
    bus: operatorBus(connection, part, log),
    signGrant: (grant: Grant) => signGrant(keys, grant),
    nodeKeyOfGrant: (text) => {
      try {
        return verifyGrant(grantPublicKey, text).nodeKey;
      } catch {
        // Signed with another key of the bus: of no use any more, as good as none.
        return undefined;
      }
    },
    settings: { ...timing, modelServerUrl },
    generation: part.generation,
    rewriteIntervalMs: part.rewriteIntervalMs,
    clock: systemClock,
    monotonicNowMs: () => performance.now(),
    log: log.child({ part: "operator" }),
    metrics,
  });
  ends.push(() => operator.stop());
  const enrol = await startEnrolServer({
    ...part.enrol,
    store,
    identifyToken: part.identifyToken,
    signUser: (user) => signNodeUser(keys, user),
    verifySignature: verifyNodeSignature,
    natsUrls: part.publicNatsUrls,
    modelServerUrl,
    credentialLifetimeMs: part.credentialLifetimeMs,
    nowMs: () => Date.now(),
    log: log.child({ part: "enrolment" }),
  });
  ends.push(() => enrol.close());
  const host = part.enrol.host === "0.0.0.0" ? "127.0.0.1" : part.enrol.host;
  const isReady = () => operator.isReady() && connection.isConnected();
  return { enrolUrl: `http://${host}:${enrol.port}`, operator, isReady };
}

function operatorBus(
  connection: BusConnection,
  { keys, resultsMaxBytes }: OperatorPart,
  log: Log,
): OperatorBusPort {
  const bus = new OperatorBus(connection, { keys, log });
  return {
    ensureStreams: () => bus.ensureStreams(resultsMaxBytes === undefined ? {} : { resultsMaxBytes }),
    readDesired: (node) => bus.readDesired(node),
    writeDesired: (document) => bus.writeDesired(document),
    writeSpec: (node, bytes) => bus.writeSpec(node, bytes),
    deleteSpecs: (node, digests) => bus.deleteSpecs(node, digests),
    deleteLedger: (task) => bus.deleteLedger(task),
    forget: (task, options) => bus.forget(task, options),
    revokeNode: (publicKeys, at) => bus.revokeNode(publicKeys, at),
    onHeartbeat: (listener) => bus.onHeartbeat(listener),
    onLedger: (listener) => bus.onLedger(listener),
    onReconnect: (listener) =>
      connection.onStatus((status) => {
        if (status === "connected") listener();
      }),
  };
}
