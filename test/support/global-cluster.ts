/** vitest globalSetup: names a folder for the shared control plane, and ends what a test started in it. */
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { TestProject } from "vitest/node";
import { stopCluster } from "../../hack/cluster/cluster.ts";

export async function setup(project: TestProject): Promise<() => Promise<void>> {
  const dir = await mkdtemp(join(tmpdir(), "autoglm-shared-"));
  project.provide("sharedClusterDir", dir);
  return async () => {
    await stopCluster(join(dir, "cluster"));
    await rm(dir, { recursive: true, force: true });
  };
}
