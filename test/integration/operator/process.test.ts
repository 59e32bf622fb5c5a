/** The operator's process as it is deployed: keys from files, options from the environment, drained by SIGTERM. */
import { type ChildProcess, execFile, spawn } from "node:child_process";
import { once } from "node:events";
import { readdirSync, readFileSync } from "node:fs";
import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { promisify } from "node:util";
import { applyCrds, type CustomResourceDefinition } from "@autoglm/kube";
import { parse } from "yaml";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { freePort } from "../../../hack/cluster/processes.ts";
import { startTestCluster, until, type TestCluster } from "../../support/cluster.ts";
import { startTestNats, type TestNats } from "../../support/nats.ts";

const MAIN = "operator/src/main.ts";
let cluster: TestCluster;
let nats: TestNats;
let dir: string;

beforeAll(async () => {
  [cluster, nats] = await Promise.all([startTestCluster(), startTestNats()]);
  const crds = readdirSync("crds").map(
    (file) => parse(readFileSync(join("crds", file), "utf8")) as CustomResourceDefinition,
  );
  await applyCrds(cluster.client, crds);
  dir = await mkdtemp(join(tmpdir(), "autoglm-process-"));
});

afterAll(async () => {
  await cluster.stop();
  await nats.stop();
  await rm(dir, { recursive: true, force: true });
});

const run = promisify(execFile);

describe("bus-init", () => {
  it("makes keys that are its owner's alone, once", async () => {
    const out = join(dir, "fresh");
    const first = await run(process.execPath, [MAIN, "bus-init", "--out", out, "--host", "127.0.0.1"]);
    expect(first.stdout).toContain("wrote keys and nats.conf");
    const keys = await readFile(join(out, "bus-keys.json"), "utf8");
    expect(await readFile(join(out, "nats.conf"), "utf8")).toContain("resolver_preload");
    const second = await run(process.execPath, [MAIN, "bus-init", "--out", out]);
    expect(second.stdout).toContain("nothing was changed");
    expect(await readFile(join(out, "bus-keys.json"), "utf8")).toBe(keys);
    await expect(run(process.execPath, [MAIN, "bus-init"])).rejects.toMatchObject({ code: 1 });
  });
});

describe("the process", () => {
  it("names the variable that is wrong", async () => {
    const failed = await run(process.execPath, [MAIN], { env: { AUTOGLM_ROLE: "king" } }).catch(
      (error: unknown) => error,
    );
    expect(failed).toMatchObject({ code: 1, stderr: expect.stringContaining("AUTOGLM_ROLE") as unknown });
  });

  it("gets ready, serves metrics, and ends clean on SIGTERM", async () => {
    await writeFile(join(dir, "bus-keys.json"), JSON.stringify(nats.keys), { mode: 0o600 });
    const port = await freePort();
    const child: ChildProcess = spawn(process.execPath, [MAIN], {
      env: {
        AUTOGLM_KUBECONFIG: cluster.kubeconfigPath,
        AUTOGLM_NATS_URLS: nats.url,
        AUTOGLM_BUS_DIR: dir,
        AUTOGLM_STATE_DIR: join(dir, "state"),
        AUTOGLM_HEALTH_HOST: "127.0.0.1",
        AUTOGLM_HEALTH_PORT: String(port),
        AUTOGLM_RESULTS_PORT: "0",
        AUTOGLM_ENROL_PORT: "0",
      },
      stdio: ["ignore", "inherit", "pipe"],
    });
    let log = "";
    child.stderr?.on("data", (bytes: Buffer) => (log += bytes.toString()));
    const get = async (path: string) => fetch(`http://127.0.0.1:${port}${path}`).catch(() => undefined);
    await until(async () => {
      expect(child.exitCode, log).toBeNull();
      return (await get("/readyz"))?.status === 200;
    });
    expect(await (await get("/metrics"))?.text()).toContain("workqueue_depth");
    const exited = once(child, "exit");
    child.kill("SIGTERM");
    expect(await exited).toEqual([0, null]);
    for (const seed of Object.values(nats.keys)) expect(log).not.toContain(seed);
  });
});
