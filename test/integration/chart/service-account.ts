import { readFile, writeFile } from "node:fs/promises";
import type { TestCluster } from "../../support/cluster.ts";

export interface TokenKubeconfig {
  readonly cluster: TestCluster;
  readonly token: string;
  /** Where to write it. */
  readonly file: string;
  /** Instead of the cluster's own address. */
  readonly serverUrl?: string;
}

/** A kubeconfig for whoever the token stands for. Returns its path. */
export async function kubeconfigWithToken({
  cluster,
  token,
  file,
  serverUrl,
}: TokenKubeconfig): Promise<string> {
  // Written by hack/cluster as JSON.
  const config = JSON.parse(await readFile(cluster.kubeconfigPath, "utf8")) as {
    clusters: { cluster: object }[];
  };
  const [{ cluster: server } = { cluster: {} }] = config.clusters;
  const only = {
    apiVersion: "v1",
    kind: "Config",
    clusters: [{ name: "test", cluster: serverUrl === undefined ? server : plain(serverUrl) }],
    users: [{ name: "test", user: { token } }],
    contexts: [{ name: "test", context: { cluster: "test", user: "test" } }],
    "current-context": "test",
  };
  await writeFile(file, JSON.stringify(only), { mode: 0o600 });
  return file;
}

/** Without this the client refuses to speak HTTP. */
const plain = (serverUrl: string) => ({ server: serverUrl, "insecure-skip-tls-verify": true });
