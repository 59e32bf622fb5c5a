/**
 * A real control plane for tests.
 *
 * `sharedCluster` is one for all test files of a run, started by the first that asks and stopped by
 * global-cluster.ts; tests keep apart by `createNamespace`. `startTestCluster` is one of its own, for a test that
 * kills parts of it: stop it in afterAll.
 */
import { mkdir, mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import { hasErrorCode } from "@autoglm/api";
import { type KubeClient, loadKubeClient, NAMESPACES } from "@autoglm/kube";
import { inject } from "vitest";
import { type RunningCluster, startCluster, stopCluster } from "../../hack/cluster/cluster.ts";

declare module "vitest" {
  interface ProvidedContext {
    /** Set by global-cluster.ts: where the shared control plane lives once somebody starts it. */
    sharedClusterDir: string;
  }
}

export interface TestCluster extends RunningCluster {
  /** As admin. */
  readonly client: KubeClient;
  /** Closes the client and, unless it is shared, ends the control plane. */
  readonly stop: () => Promise<void>;
}

/** A control plane of the caller's own, in about 5 s. */
export async function startTestCluster(): Promise<TestCluster> {
  const dir = await mkdtemp(join(tmpdir(), "autoglm-cluster-"));
  try {
    const cluster = await startCluster({ dir });
    const client = loadKubeClient({ kubeconfigPath: cluster.kubeconfigPath });
    const stop = async (): Promise<void> => {
      await client.close();
      await stopCluster(dir);
    };
    return { ...cluster, client, stop };
  } catch (error) {
    await stopCluster(dir);
    throw error;
  }
}

/** The control plane of this test run. */
export async function sharedCluster(): Promise<TestCluster> {
  const dir = inject("sharedClusterDir");
  const cluster = await oneAtATime(dir, async () => startCluster({ dir: join(dir, "cluster") }));
  const client = loadKubeClient({ kubeconfigPath: cluster.kubeconfigPath });
  return { ...cluster, client, stop: async () => client.close() };
}

/** A namespace that no other test has. It goes with the control plane. */
export async function createNamespace(client: KubeClient): Promise<string> {
  const name = `test-${Math.random().toString(36).slice(2, 10)}`;
  await client.create(NAMESPACES, { apiVersion: "v1", kind: "Namespace", metadata: { name } });
  return name;
}

/** Waits until `condition` returns a value other than undefined and false. The test's own time limit ends it. */
export async function until<T>(condition: () => Promise<T> | T): Promise<Exclude<T, undefined | false>> {
  for (;;) {
    const value = await condition();
    if (value !== undefined && value !== false) return value as Exclude<T, undefined | false>;
    await delay(20);
  }
}

/** What `call` rejects with, when that is an error of ours with this code; fails the test otherwise. */
export async function rejectionOf(call: Promise<unknown>, code: Parameters<typeof hasErrorCode>[1]) {
  const error = await call.then(
    () => new Error(`expected ${code}, but it succeeded`),
    (reason: unknown) => reason,
  );
  if (!hasErrorCode(error, code)) throw error;
  return error;
}

/** A folder as a lock between test workers: making one is atomic. */
async function oneAtATime<T>(dir: string, run: () => Promise<T>): Promise<T> {
  const lock = join(dir, "lock");
  await until(async () => {
    try {
      await mkdir(lock);
      return true;
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code === "EEXIST") return false;
      throw error;
    }
  });
  try {
    return await run();
  } finally {
    await rm(lock, { recursive: true });
  }
}
