/** Clients that reach a test cluster by another way than its own kubeconfig says. */
import { readFile, writeFile } from "node:fs/promises";
import { type KubeClient, type KubeClientOptions, loadKubeClient } from "@autoglm/kube";
import type { TestCluster } from "../../support/cluster.ts";

interface Kubeconfig {
  readonly clusters: readonly {
    readonly name: string;
    readonly cluster: Readonly<Record<string, unknown>>;
  }[];
}

/** A client whose requests go to `url`; `trust` replaces how the server's certificate is checked. */
export async function clientThrough(
  cluster: TestCluster,
  url: string,
  options: KubeClientOptions & { readonly trust?: Readonly<Record<string, unknown>> } = {},
): Promise<KubeClient> {
  const { trust, ...clientOptions } = options;
  const config = JSON.parse(await readFile(cluster.kubeconfigPath, "utf8")) as Kubeconfig;
  const [first] = config.clusters;
  const plain = url.startsWith("http:") ? { "insecure-skip-tls-verify": true } : first?.cluster;
  const changed = {
    ...config,
    clusters: [{ name: "autoglm", cluster: { ...plain, ...trust, server: url } }],
  };
  const kubeconfigPath = `${cluster.kubeconfigPath}-${new URL(url).port}`;
  await writeFile(kubeconfigPath, JSON.stringify(changed), { mode: 0o600 });
  return loadKubeClient({ kubeconfigPath, ...clientOptions });
}
