/** What the CLI meets: a real API server with our kinds, and a real results server. The test plays the operator. */
import { mkdtemp, readdir, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { API_VERSION, type ItemResult, type TaskStatus } from "@autoglm/api";
import { applyCrds, type CustomResourceDefinition, type KubeObject } from "@autoglm/kube";
import { createLogger } from "@autoglm/telemetry";
import { parse } from "yaml";
import { type TaskObject, TASKS } from "../../../cli/src/objects.ts";
import { KubeAccess } from "../../../operator/src/ingest/access.ts";
import { Changes } from "../../../operator/src/ingest/changes.ts";
import { createResultServer } from "../../../operator/src/ingest/http.ts";
import { ResultStore } from "../../../operator/src/results/store.ts";
import { createNamespace, sharedCluster, type TestCluster } from "../../support/cluster.ts";

const CRDS_DIR = fileURLToPath(new URL("../../../crds", import.meta.url));

export interface World {
  readonly cluster: TestCluster;
  readonly namespace: string;
  readonly resultsUrl: string;
  /** Environment of a CLI that finds both. */
  readonly env: Readonly<Record<string, string>>;
  createTask(name: string, spec?: Readonly<Record<string, unknown>>): Promise<TaskObject>;
  setStatus(name: string, status: TaskStatus): Promise<void>;
  /** Accepts results as the ingester does. */
  accept(task: KubeObject, results: readonly ItemResult[], options?: { readonly total?: number }): void;
  stop(): Promise<void>;
}

export async function startWorld(): Promise<World> {
  const cluster = await sharedCluster();
  await applyCrds(cluster.client, await readCrds());
  const namespace = await createNamespace(cluster.client);
  const dir = await mkdtemp(join(tmpdir(), "autoglm-cli-world-"));
  const store = new ResultStore({ dir, reserveBytes: 0 });
  const changes = new Changes();
  const stopping = new AbortController();
  const server = createResultServer({
    store,
    changes,
    access: new KubeAccess(cluster.client),
    isStoreFull: () => false,
    log: createLogger({ name: "results", level: "error" }),
    signal: stopping.signal,
  });
  const resultsUrl = await server.listen({ host: "127.0.0.1", port: 0 });
  const chunks = new Map<string, number>();
  return {
    cluster,
    namespace,
    resultsUrl,
    env: { KUBECONFIG: cluster.kubeconfigPath, AUTOGLM_RESULTS_URL: resultsUrl },
    createTask: (name, spec = { type: "ner", input: { inline: ["a"] } }) =>
      cluster.client.apply<TaskObject>(TASKS, {
        apiVersion: API_VERSION,
        kind: TASKS.kind,
        metadata: { name, namespace },
        // The API server fills in the defaults.
        spec: spec as unknown as TaskObject["spec"],
      }),
    setStatus: async (name, status) => {
      const object = { apiVersion: API_VERSION, kind: TASKS.kind, metadata: { name, namespace }, status };
      await cluster.client.applyStatus<KubeObject>(TASKS, object);
    },
    accept: ({ metadata }, results, { total } = {}) => {
      const { uid = "", name } = metadata;
      const chunk = chunks.get(uid) ?? 0;
      chunks.set(uid, chunk + 1);
      store.commit([
        {
          task: { uid, namespace, name },
          chunk: {
            v: 1,
            node: "edge-1",
            key: { task: uid, run: 0, shard: 0, epoch: 1 },
            chunk,
            producedAt: new Date().toISOString(),
            items: [...results],
            ...(total !== undefined && { end: { total } }),
          },
        },
      ]);
      changes.announce(uid);
    },
    stop: async () => {
      stopping.abort();
      await server.close();
      store.close();
      await cluster.stop();
      await rm(dir, { recursive: true });
    },
  };
}

async function readCrds(): Promise<CustomResourceDefinition[]> {
  const files = (await readdir(CRDS_DIR)).filter((file) => file.endsWith(".yaml"));
  // Generated, and checked by the tests of crds/.
  return Promise.all(
    files.map(
      async (file) => parse(await readFile(join(CRDS_DIR, file), "utf8")) as CustomResourceDefinition,
    ),
  );
}

export function entitiesOf(item: number, word: string): ItemResult {
  return {
    item,
    stage: "final",
    ms: 2,
    output: {
      type: "token-classification",
      entities: [{ entity_group: "PER", score: 0.9, word, start: 0, end: word.length }],
      scoreSource: "marginal",
    },
  };
}

export function ended(type: "Complete" | "Failed", status: TaskStatus = {}): TaskStatus {
  const time = `${new Date().toISOString().slice(0, 19)}Z`;
  return {
    ...status,
    conditions: [{ type, status: "True", reason: "Ended", message: "", lastTransitionTime: time }],
  };
}
