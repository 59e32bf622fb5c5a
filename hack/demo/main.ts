/**
 * `make demo`: the examples without a cluster. NATS and four agents are processes of their own, as anywhere; operator and
 * ingester run in this one, over the store in memory that stands in for the Kubernetes API.
 */
import { randomBytes } from "node:crypto";
import { readFileSync, rmSync } from "node:fs";
import { join, relative, resolve } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import { type AutoGLMTask, resultPageSchema, type ResultPage } from "@autoglm/api";
import { createBusKeys, publicKeysOf, signServiceUser } from "@autoglm/bus";
import { KUBE_METRICS } from "@autoglm/kube";
import {
  type ControlPlane,
  INGEST_METRICS,
  LoopbackAccess,
  MemoryObjectStore,
  startControlPlane,
} from "@autoglm/operator";
import { createLogger, Metrics } from "@autoglm/telemetry";
import { z } from "zod";
import { stopAll, stopProcess } from "../cluster/processes.ts";
import { FLEET, newEnrolment, startAgentProcess } from "../local/fleet.ts";
import { catalogueManifests, modelBlobsDir, readManifestFolder, type Manifest } from "../local/manifests.ts";
import { startLocalNats } from "../local/nats.ts";
import { buildLocalPrograms } from "../local/programs.ts";
import { clip } from "../local/table.ts";
import { type FinishedTask, renderReasons, renderResults, renderTasks } from "./report.ts";

const STATE_DIR = resolve(".autoglm/demo");
const EXAMPLES = "examples";
const DATA_ROOT = "examples/data";
const LOGS = `logs are in ${relative(process.cwd(), STATE_DIR)}/logs until the next run`;
/** Far more than the examples take: what is not done by then hangs. */
const TASKS_LIMIT_MS = 240_000;

const newsLineSchema = z.object({ text: z.string() });

const say = (text: string) => console.log(text);

/** Ctrl-C, a closed terminal. Looked at between steps: a process half started would stay behind. A second one kills. */
const interrupt = new AbortController();
for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"] as const) {
  process.once(signal, () => interrupt.abort(new Error("interrupted")));
}

/** Runs a step and says how long it took. */
async function step<T>(what: string, run: () => Promise<T>): Promise<T> {
  interrupt.signal.throwIfAborted();
  return timed(what, run);
}

async function timed<T>(what: string, run: () => Promise<T>): Promise<T> {
  const start = performance.now();
  const result = await run();
  say(`  ${what.padEnd(58)} ${((performance.now() - start) / 1000).toFixed(1).padStart(6)} s`);
  return result;
}

async function main(): Promise<void> {
  // What a killed demo left behind.
  await stopAll(STATE_DIR);
  rmSync(STATE_DIR, { recursive: true, force: true });
  const store = new MemoryObjectStore();
  let plane: ControlPlane | undefined;
  try {
    say("\nStarting");
    const mainOf = await step("bundle of the agent", () => buildLocalPrograms(STATE_DIR, ["edge-agent"]));
    const keys = createBusKeys();
    const nats = await step("nats-server", () => startLocalNats(keys, STATE_DIR));
    const token = randomBytes(24).toString("base64url");
    plane = await step("operator and ingester, embedded store", () =>
      startPlane({ store, keys, natsUrl: nats.url, token }),
    );
    for (const model of catalogueManifests()) store.apply(model);
    const { enrolUrl } = plane;
    await step("four agents: 4, 6, 8 GB at the edge and one in the cloud", async () => {
      await Promise.all(
        FLEET.map(async (node) => {
          const { token, enrolment } = newEnrolment(new Date());
          store.apply({
            apiVersion: "autoglm.io/v1alpha1",
            kind: "AutoGLMNode",
            metadata: { name: node.name },
            spec: { enrolment },
          });
          await startAgentProcess({
            main: mainOf("edge-agent"),
            node,
            stateDir: STATE_DIR,
            dataRoot: DATA_ROOT,
            enrolUrl: enrolUrl ?? "",
            token,
          });
        }),
      );
      await until(
        () => FLEET.every(({ name }) => store.get("AutoGLMNode", name)?.status?.link === "Connected"),
        60_000,
        "agents",
      );
    });

    say(`\nRunning ${EXAMPLES}/`);
    const manifests = readManifestFolder(EXAMPLES);
    const finished = await runTasks(store, manifests, plane.resultsUrl ?? "", token);

    say(`\nWhat ran where\n\n${renderTasks(finished)}`);
    say(`\nWhy there\n\n${renderReasons(finished)}`);
    say("\nResults");
    for (const task of finished) say(`\n${renderResults(task)}`);
    const failed = finished.filter(({ task }) => task.status?.reason !== "Completed");
    if (failed.length > 0)
      throw new Error(`not completed: ${failed.map(({ task }) => task.metadata.name).join(", ")}; ${LOGS}`);
  } finally {
    say("\nStopping");
    await timed("agents, operator, ingester, nats-server", async () => {
      await stopAgents();
      await plane?.stop();
      await stopAll(STATE_DIR);
    });
  }
}

interface PlaneParts {
  readonly store: MemoryObjectStore;
  readonly keys: ReturnType<typeof createBusKeys>;
  readonly natsUrl: string;
  /** Bearer of the results server. */
  readonly token: string;
}

function startPlane({ store, keys, natsUrl, token }: PlaneParts): Promise<ControlPlane> {
  return startControlPlane({
    natsUrls: [natsUrl],
    log: createLogger({ name: "demo", level: "error" }),
    metrics: new Metrics({ ...KUBE_METRICS, ...INGEST_METRICS }),
    operator: {
      store,
      keys,
      enrol: { host: "127.0.0.1", port: 0 },
      // Nobody has a ServiceAccount here: one-time tokens alone.
      identifyToken: async () => undefined,
      publicNatsUrls: [natsUrl],
      timing: { heartbeatTimeoutMs: 15_000, patienceMs: 60_000, statusIntervalMs: 1000 },
      credentialLifetimeMs: 86_400_000,
      rewriteIntervalMs: 60_000,
      generation: 0,
    },
    ingester: {
      credentials: { ...signServiceUser(keys, "ingester"), grantPublicKey: publicKeysOf(keys).grant },
      stateDir: join(STATE_DIR, "ingester"),
      http: { host: "127.0.0.1", port: 0 },
      access: new LoopbackAccess(token),
      modelBlobsDir: modelBlobsDir(),
    },
  });
}

/** Applies all manifests at once and tells what happens to each task until all have ended. */
async function runTasks(
  store: MemoryObjectStore,
  manifests: readonly Manifest[],
  resultsUrl: string,
  token: string,
): Promise<readonly FinishedTask[]> {
  const told = new Map<string, string>();
  const startMs = Date.now();
  const tell = (key: string) => {
    const status = store.get("AutoGLMTask", key)?.status;
    if (status?.reason === undefined || told.get(key) === status.reason) return;
    told.set(key, status.reason);
    const seconds = ((Date.now() - startMs) / 1000).toFixed(1).padStart(5);
    const where = status.node === undefined ? "" : ` on ${status.node}`;
    const waits = status.node === undefined && status.message !== undefined ? `: ${status.message}` : "";
    say(
      `  ${seconds} s  ${key.replace("default/", "").padEnd(20)} ${status.reason}${where}${clip(waits, 120)}`,
    );
  };
  store.subscribe("AutoGLMTask", tell);

  const applied = new Map<string, { readonly manifest: Manifest; readonly appliedAtMs: number }>();
  for (const manifest of manifests) {
    if (manifest.kind === "ConfigMap") {
      store.putConfigMap(
        manifest.metadata.namespace ?? "default",
        manifest.metadata.name,
        manifest["data"] as Record<string, string>,
      );
    } else {
      applied.set(store.apply(manifest), { manifest, appliedAtMs: Date.now() });
    }
  }
  const taskOf = (key: string): AutoGLMTask | undefined => store.get("AutoGLMTask", key);
  await until(
    () => [...applied.keys()].every((key) => taskOf(key)?.status?.completionTime !== undefined),
    TASKS_LIMIT_MS,
    "tasks",
  );

  return Promise.all(
    [...applied].map(async ([key, { appliedAtMs }]) => {
      const task = taskOf(key);
      if (task === undefined) throw new Error(`${key} is gone`);
      return {
        task,
        appliedAtMs,
        page: await readResults(resultsUrl, task.metadata.uid, token),
        texts: textsOf(task),
      };
    }),
  );
}

async function readResults(resultsUrl: string, uid: string, token: string): Promise<ResultPage> {
  const reply = await fetch(`${resultsUrl}/results/${uid}?limit=1000`, {
    headers: { authorization: `Bearer ${token}` },
  });
  if (!reply.ok) throw new Error(`results of ${uid}: ${reply.status} ${await reply.text()}`);
  return resultPageSchema.parse(await reply.json());
}

/** The item texts where the demo knows them, to show beside the results. */
function textsOf(task: AutoGLMTask): readonly string[] | undefined {
  const { inline, file } = task.spec.input;
  if (inline !== undefined) return inline;
  if (file?.endsWith(".jsonl") !== true) return undefined;
  const lines = readFileSync(join(DATA_ROOT, file), "utf8").trim().split("\n");
  return lines.map((line) => newsLineSchema.parse(JSON.parse(line)).text);
}

async function stopAgents(): Promise<void> {
  await Promise.all(FLEET.map(({ name }) => stopProcess(STATE_DIR, `agent-${name}`)));
}

async function until(isTrue: () => boolean, limitMs: number, what: string): Promise<void> {
  const deadline = Date.now() + limitMs;
  while (!isTrue()) {
    interrupt.signal.throwIfAborted();
    if (Date.now() > deadline) throw new Error(`${what}: not ready within ${limitMs / 1000} s; ${LOGS}`);
    await delay(20);
  }
}

try {
  await main();
  rmSync(STATE_DIR, { recursive: true, force: true });
} catch (error) {
  if (interrupt.signal.aborted) {
    rmSync(STATE_DIR, { recursive: true, force: true });
    console.error("\ninterrupted: nothing is left behind");
    process.exit(130);
  }
  console.error(`\nerror: ${error instanceof Error ? error.message : String(error)}`);
  process.exit(1);
}
