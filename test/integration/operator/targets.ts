/** How a test makes and deletes objects, in memory or in a real cluster. */
import { GROUP, KINDS, VERSION, type KindName } from "@autoglm/api";
import { CONFIG_MAPS, parseKey, type KubeMetrics, type KubeObject, type Resource } from "@autoglm/kube";
import { KubeObjectStore, type ObjectStore } from "@autoglm/operator";
import type { TestCluster } from "../../support/cluster.ts";

export interface StoreTarget {
  /** A store over the same objects, with a cache of its own where it has one. */
  open(metrics?: KubeMetrics): ObjectStore;
  apply(manifest: unknown): Promise<void> | void;
  delete(kind: KindName, key: string): Promise<void> | void;
  putConfigMap(
    namespace: string,
    name: string,
    content: Readonly<Record<string, string>>,
  ): Promise<void> | void;
}

export const resourceOf = (kind: KindName): Resource => {
  const { plural, scope } = KINDS[kind];
  return { group: GROUP, version: VERSION, plural, kind, namespaced: scope === "Namespaced" };
};

/** As `kubectl apply --server-side` of somebody else. */
const USER = { fieldManager: "test-user" };

export function kubeTarget({ client }: Pick<TestCluster, "client">): StoreTarget {
  return {
    open: (metrics) =>
      new KubeObjectStore({ client, instance: "test", ...(metrics === undefined ? {} : { metrics }) }),
    apply: async (manifest) => {
      const object = manifest as KubeObject & { readonly kind: KindName };
      await client.apply(resourceOf(object.kind), object, USER);
    },
    delete: async (kind, key) => client.delete(resourceOf(kind), parseKey(key)),
    putConfigMap: async (namespace, name, data) => {
      const configMap = { apiVersion: "v1", kind: "ConfigMap", metadata: { name, namespace }, data };
      await client.apply(CONFIG_MAPS, configMap, USER);
    },
  };
}
