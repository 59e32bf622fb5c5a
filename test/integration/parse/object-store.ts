/** A real S3-compatible server, which checks every signature. */
import { execFileSync, spawn } from "node:child_process";
import { once } from "node:events";
import { mkdir, mkdtemp, rm, writeFile } from "node:fs/promises";
import { connect } from "node:net";
import { tmpdir } from "node:os";
import { dirname, join, resolve } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import type { ObjectStoreOptions } from "../../../edge-agent/src/inputs/index.ts";
import { freePort } from "../../../hack/cluster/processes.ts";

export interface TestObjectStore {
  readonly options: ObjectStoreOptions;
  readonly put: (bucket: string, key: string, bytes: Uint8Array | string) => Promise<void>;
  readonly stop: () => Promise<void>;
}

const ACCESS_KEY = "reader";
const SECRET_KEY = "a secret of the tests";

/** versitygw over a folder: a bucket is a folder, an object a file. */
export async function startObjectStore(): Promise<TestObjectStore> {
  const tools = execFileSync(resolve("hack/go-tools.sh"), ["s3"], { encoding: "utf8" }).trim();
  const folder = await mkdtemp(join(tmpdir(), "autoglm-s3-"));
  const port = await freePort();
  const root = join(folder, "buckets");
  await mkdir(root);
  const child = spawn(
    join(tools, "versitygw"),
    ["--port", `127.0.0.1:${port}`, "--region", "eu-test-1", "posix", "--nometa", root],
    {
      env: { ROOT_ACCESS_KEY: ACCESS_KEY, ROOT_SECRET_KEY: SECRET_KEY },
      stdio: ["ignore", "ignore", "pipe"],
    },
  );
  let log = "";
  child.stderr.on("data", (bytes: Buffer) => (log += bytes.toString()));
  await untilListening(port, () => log);
  const [accessKeyFile, secretKeyFile] = [join(folder, "access"), join(folder, "secret")];
  await writeFile(accessKeyFile, `${ACCESS_KEY}\n`);
  await writeFile(secretKeyFile, `${SECRET_KEY}\n`);
  return {
    options: { url: `http://127.0.0.1:${port}`, region: "eu-test-1", accessKeyFile, secretKeyFile },
    put: async (bucket, key, bytes) => {
      const path = join(root, bucket, key);
      await mkdir(dirname(path), { recursive: true });
      await writeFile(path, bytes);
    },
    stop: async () => {
      const exited = once(child, "exit");
      child.kill();
      await exited;
      await rm(folder, { recursive: true });
    },
  };
}

async function untilListening(port: number, log: () => string): Promise<void> {
  for (let tries = 0; tries < 200; tries++) {
    const socket = connect(port, "127.0.0.1");
    const isUp = await once(socket, "connect").then(
      () => true,
      () => false,
    );
    socket.destroy();
    if (isUp) return;
    await sleep(50);
  }
  throw new Error(`versitygw does not listen: ${log()}`);
}
