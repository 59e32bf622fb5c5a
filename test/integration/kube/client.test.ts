import { copyFile, readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { applyCrds, CONFIG_MAPS, loadKubeClient, NODES, reviewAccess, reviewToken } from "@autoglm/kube";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { createNode } from "../../../hack/cluster/nodes.ts";
import {
  createNamespace,
  rejectionOf,
  sharedCluster,
  type TestCluster,
  until,
} from "../../support/cluster.ts";
import { CountingProxy } from "./fault-proxy.ts";
import { clientThrough } from "./proxied.ts";
import { widget, WIDGET_CRD, WIDGETS, type Widget } from "./widgets.ts";

let cluster: TestCluster;
let namespace: string;

beforeAll(async () => {
  cluster = await sharedCluster();
  namespace = await createNamespace(cluster.client);
  await applyCrds(cluster.client, [WIDGET_CRD]);
});
afterAll(async () => cluster.stop());

interface ManagedField {
  readonly manager: string;
  readonly operation: string;
  readonly subresource?: string;
}

describe("objects", () => {
  it("applies spec and status under one field manager, each through its own door", async () => {
    const { client } = cluster;
    const created = await client.apply(WIDGETS, {
      ...widget(namespace, "doors", 3),
      status: { phase: "Ignored" },
    });
    expect(created.status).toBeUndefined();

    const changed = await client.applyStatus<Widget>(WIDGETS, {
      ...widget(namespace, "doors", 99),
      status: { phase: "Up" },
    });
    expect(changed).toMatchObject({ spec: { size: 3 }, status: { phase: "Up" } });
    const managers = (changed.metadata.managedFields ?? []) as readonly ManagedField[];
    expect(managers.map(({ manager, operation, subresource }) => [manager, operation, subresource])).toEqual(
      expect.arrayContaining([
        ["autoglm-operator", "Apply", undefined],
        ["autoglm-operator", "Apply", "status"],
      ]),
    );
  });

  it("does not store what is applied as a dry run", async () => {
    await cluster.client.apply(WIDGETS, widget(namespace, "dry"), { dryRun: true });
    expect(await cluster.client.find(WIDGETS, { namespace, name: "dry" })).toBeUndefined();
  });

  it("patches, deletes by uid, and reads configmaps and nodes", async () => {
    const { client } = cluster;
    const metadata = { name: "input", namespace };
    await client.create(CONFIG_MAPS, { apiVersion: "v1", kind: "ConfigMap", metadata, data: { a: "1" } });
    const patched = await client.mergePatch(CONFIG_MAPS, metadata, { data: { a: null, b: "2" } });
    expect(patched).toMatchObject({ data: { b: "2" } });
    await rejectionOf(client.delete(CONFIG_MAPS, metadata, { uid: "another" }), "Conflict");
    await client.delete(CONFIG_MAPS, metadata, { uid: patched.metadata.uid });
    expect(await client.find(CONFIG_MAPS, metadata)).toBeUndefined();

    await createNode(client, {
      name: "edge-4",
      labels: { "autoglm.io/tier": "4Gi" },
      allocatable: { memory: "4Gi" },
    });
    const node = await client.get(NODES, { name: "edge-4" });
    expect(node.metadata.labels).toMatchObject({ "autoglm.io/tier": "4Gi" });
    expect(node.status).toMatchObject({
      allocatable: { memory: "4Gi" },
      conditions: [{ type: "Ready", status: "True" }],
    });
    await client.delete(NODES, { name: "edge-4" });
  });
});

describe("errors", () => {
  it("are translated by reason, never by message", async () => {
    const { client } = cluster;
    await client.apply(WIDGETS, widget(namespace, "taken"));
    const notFound = await rejectionOf(client.get(WIDGETS, { namespace, name: "nobody" }), "NotFound");
    expect(notFound).toMatchObject({
      details: { httpStatus: 404, key: `${namespace}/nobody` },
      retry: "backoff",
    });
    await rejectionOf(client.create(WIDGETS, widget(namespace, "taken")), "AlreadyExists");
    const stale = { metadata: { resourceVersion: "1" }, spec: { size: 2 } };
    await rejectionOf(client.mergePatch(WIDGETS, { namespace, name: "taken" }, stale), "Conflict");
    const invalid = await rejectionOf(client.create(WIDGETS, widget(namespace, "zero", 0)), "Invalid");
    expect(invalid).toMatchObject({ family: "user", retry: "never", details: { fields: ["spec.size"] } });
    await rejectionOf(client.list({ ...WIDGETS, plural: "gadgets" }), "NotFound");
  });

  it("tell a user without rights Forbidden", async () => {
    const viewer = loadKubeClient({ kubeconfigPath: cluster.kubeconfigPath, context: "viewer" });
    const error = await rejectionOf(viewer.list(CONFIG_MAPS), "Forbidden");
    expect(error.details).toMatchObject({ httpStatus: 403, method: "list", resource: "configmaps" });
    await viewer.close();
  });

  it("tell a slow answer, a caller who gave up and a server that is not there apart", async () => {
    await rejectionOf(cluster.client.list(NODES, {}, { timeoutMs: 0 }), "Timeout");
    await rejectionOf(cluster.client.list(NODES, {}, { signal: AbortSignal.abort() }), "Aborted");
    const proxy = await CountingProxy.start(cluster.serverUrl);
    const nobody = await clientThrough(cluster, proxy.url);
    await proxy.stop();
    const error = await rejectionOf(nobody.list(NODES), "ApiUnavailable");
    expect(error.cause).toMatchObject({ code: "ECONNREFUSED" });
    await nobody.close();
  });

  it("refuse a kubeconfig that can't be used", () => {
    const { kubeconfigPath } = cluster;
    expect(() => loadKubeClient({ kubeconfigPath: "/nowhere/kubeconfig" })).toThrow("can't be read");
    expect(() => loadKubeClient({ kubeconfigPath, context: "mars" })).toThrow('no context "mars"');
  });
});

describe("connections", () => {
  it("are a handful for 1,000 calls, and a list of 1,000 objects comes in pages", async () => {
    const proxy = await CountingProxy.start(cluster.serverUrl);
    const client = await clientThrough(cluster, proxy.url, { maxConnections: 4 });
    const full = await createNamespace(client);
    const names = Array.from({ length: 1000 }, (_, index) => `item-${index}`);
    await Promise.all(
      names.map(async (name) =>
        client.create(CONFIG_MAPS, {
          apiVersion: "v1",
          kind: "ConfigMap",
          metadata: { name, namespace: full },
        }),
      ),
    );
    expect(proxy.connections).toBeLessThanOrEqual(4);

    const { items } = await client.list(CONFIG_MAPS, { namespace: full });
    expect(items.map((item) => item.metadata.name).toSorted()).toEqual(
      expect.arrayContaining(names.toSorted()),
    );
    expect(items[0]).toMatchObject({ apiVersion: "v1", kind: "ConfigMap" });
    await client.close();
    await proxy.stop();
  });

  it("move to a rotated CA, and the old ones close", async () => {
    const caFile = join(cluster.dir, "rotating-ca.crt");
    await copyFile(join(cluster.dir, "files", "certificates", "apiserver.crt"), caFile);
    const proxy = await CountingProxy.start(cluster.serverUrl);
    const trust = { "certificate-authority-data": undefined, "certificate-authority": caFile };
    const client = await clientThrough(cluster, proxy.url, { trust });
    await client.list(NODES);
    await client.list(NODES);
    const beforeRotation = proxy.connections;
    expect(beforeRotation).toBeLessThanOrEqual(2);

    await writeFile(caFile, `${await readFile(caFile, "utf8")}\n# rotated\n`);
    await client.list(NODES);
    expect(proxy.connections).toBe(beforeRotation + 1);
    await until(() => proxy.open === 1);
    await client.close();
    await proxy.stop();
  });
});

describe("reviews", () => {
  it("know a token's user and what that user may do", async () => {
    const { client } = cluster;
    expect(await reviewToken(client, "made-up")).toBeUndefined();
    const viewer = await reviewToken(client, cluster.viewerToken);
    expect(viewer).toMatchObject({ username: "viewer" });
    if (viewer === undefined) return;
    const question = { verb: "create", group: "test.autoglm.io", resource: "widgets", namespace } as const;
    expect(await reviewAccess(client, { user: viewer, ...question })).toMatchObject({ allowed: false });
    const admin = { username: "somebody", groups: ["system:masters"] };
    expect(await reviewAccess(client, { user: admin, ...question })).toMatchObject({ allowed: true });
  });
});
