import { applyCrds, Informer, type InformerOptions, type KubeClient, type ObjectChange } from "@autoglm/kube";
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from "vitest";
import { restartApiserver } from "../../../hack/cluster/cluster.ts";
import { killProcess } from "../../../hack/cluster/processes.ts";
import { createNamespace, startTestCluster, type TestCluster, until } from "../../support/cluster.ts";
import { CountingMetrics } from "./counting-metrics.ts";
import { FaultProxy } from "./fault-proxy.ts";
import { clientThrough } from "./proxied.ts";
import { type Widget, widget, WIDGET_CRD, WIDGETS } from "./widgets.ts";

let cluster: TestCluster;
let namespace: string;
let proxy: FaultProxy;
let client: KubeClient;
let stopping: AbortController;
let running: Promise<void>;
let metrics: CountingMetrics;

beforeAll(async () => {
  cluster = await startTestCluster();
  await applyCrds(cluster.client, [WIDGET_CRD]);
});
afterAll(async () => cluster.stop());

beforeEach(async () => {
  namespace = await createNamespace(cluster.client);
  proxy = await FaultProxy.start(cluster.serverUrl);
  client = await clientThrough(cluster, proxy.url);
  stopping = new AbortController();
  running = Promise.resolve();
  metrics = new CountingMetrics();
});
afterEach(async () => {
  stopping.abort();
  await running;
  await client.close();
  await proxy.stop();
});

/** A running informer behind the proxy that has listed once. Backoffs are at their shortest. */
async function watching(options: Partial<InformerOptions<Widget>> = {}) {
  const informer = new Informer<Widget>({
    client,
    resource: WIDGETS,
    selector: { namespace },
    random: () => 0,
    metrics,
    ...options,
  });
  const changes: ObjectChange<Widget>[] = [];
  informer.subscribe((change) => changes.push(change));
  running = informer.run(stopping.signal);
  await informer.waitForSync(stopping.signal);
  return { informer, changes };
}

const restarts = (reason: string) => metrics.total("autoglm_informer_restarts_total", { reason });
const lists = () => metrics.total("autoglm_informer_lists_total");
const isWatch = (path: string) => path.includes("watch=true");
const watches = () => proxy.seen.filter(isWatch);

async function create(name: string, size = 1): Promise<Widget> {
  return cluster.client.apply(WIDGETS, widget(namespace, name, size));
}

async function seesSize(informer: Informer<Widget>, name: string, size: number): Promise<void> {
  await until(() => informer.objects.get(`${namespace}/${name}`)?.spec.size === size);
}

describe("an informer", () => {
  it("follows additions, changes and deletions, by key and by index, without managed fields", async () => {
    await create("before");
    const { informer, changes } = await watching({
      indexes: { bySize: (object) => [String(object.spec.size)] },
    });
    expect(informer.hasSynced).toBe(true);
    await create("after");
    await seesSize(informer, "after", 1);
    expect(
      informer.objects
        .byIndex("bySize", "1")
        .map((one) => one.metadata.name)
        .toSorted(),
    ).toEqual(["after", "before"]);
    await create("after", 2);
    await seesSize(informer, "after", 2);
    expect(informer.objects.byIndex("bySize", "1")).toHaveLength(1);
    await cluster.client.delete(WIDGETS, { namespace, name: "before" });
    await until(() => informer.objects.size === 1);
    expect(changes.map(({ type, key }) => `${type} ${key.split("/")[1]}`)).toEqual([
      "added before",
      "added after",
      "changed after",
      "deleted before",
    ]);
    expect(informer.objects.list()[0]?.metadata.managedFields).toBeUndefined();
    expect(metrics.read("autoglm_informer_objects")).toBe(1);
    expect(metrics.read("autoglm_informer_last_event_seconds")).toBeLessThan(30);
  });

  it("asks for bookmarks and an end, and goes on from the last event without listing again", async () => {
    const { informer } = await watching({ watchSeconds: 1 });
    await until(() => watches().length > 0);
    expect(watches()[0]).toMatch(/allowWatchBookmarks=true.*timeoutSeconds=1/);
    await create("one");
    await seesSize(informer, "one", 1);
    await until(() => restarts("Closed") >= 1);
    await create("two");
    await seesSize(informer, "two", 1);
    expect(lists()).toBe(1);
  });

  it("goes on after its connection was cut", async () => {
    const { informer } = await watching();
    await until(() => watches().length === 1);
    proxy.cut();
    await create("after-reset");
    await seesSize(informer, "after-reset", 1);
    expect(restarts("ApiUnavailable")).toBe(1);
    expect(lists()).toBe(1);
  });

  it("waits as long as Retry-After says, and backs off from errors of the server", async () => {
    const delays: number[] = [];
    const log = { debug: () => {}, info: () => {}, error: () => {}, warn: note };
    function note(fields: Readonly<Record<string, unknown>>): void {
      delays.push(Number(fields["delayMs"]));
    }
    const answers = [
      { answer: 429, headers: { "retry-after": "2" } },
      { answer: 500, body: "<html>a proxy's own page</html>" },
      { answer: 503, headers: { "retry-after": "1" } },
    ];
    proxy.fault = (path) => (isWatch(path) ? answers.shift() : undefined);
    const { informer } = await watching({ log });
    await create("after-faults");
    await seesSize(informer, "after-faults", 1);
    expect(delays).toEqual([2000, 1000, 2000]);
    expect(restarts("TooManyRequests")).toBe(1);
    expect(restarts("ApiUnavailable")).toBe(2);
  });

  it("keeps trying to list while the server refuses, and syncs once it does not", async () => {
    let refusals = 2;
    proxy.fault = () => ((refusals -= 1) >= 0 ? "reset" : undefined);
    const { informer } = await watching();
    expect(informer.hasSynced).toBe(true);
    expect(lists()).toBe(1);
  });

  it("takes silence for a dead connection", async () => {
    let silent = true;
    proxy.fault = (path) => {
      if (!isWatch(path) || !silent) return undefined;
      silent = false;
      return "silence";
    };
    const { informer } = await watching({ silenceMs: 1000 });
    await create("said-into-silence");
    await seesSize(informer, "said-into-silence", 1);
    expect(restarts("Timeout")).toBe(1);
    expect(lists()).toBe(1);
  });

  it("lists again when its resourceVersion is too old, and sees what was deleted meanwhile", async () => {
    await create("deleted-unseen");
    const { informer, changes } = await watching();
    await until(() => watches().length === 1);
    let gone = false;
    proxy.fault = (path) => (gone || isWatch(path) ? "reset" : undefined);
    gone = true;
    proxy.cut();
    await cluster.client.delete(WIDGETS, { namespace, name: "deleted-unseen" });
    for (let size = 1; size <= 5; size += 1) await create("created-unseen", size);

    // A restarted API server knows no history of its own, and compaction takes etcd's.
    await killProcess(cluster.dir, "kube-apiserver");
    await compactEtcd(cluster.etcdUrl);
    await restartApiserver(cluster.dir);
    proxy.fault = () => undefined;
    await seesSize(informer, "created-unseen", 5);
    expect(restarts("WatchExpired")).toBe(1);
    expect(lists()).toBe(2);
    expect(informer.objects.size).toBe(1);
    expect(changes.map(({ type }) => type)).toEqual(["added", "deleted", "added"]);
  });

  it("survives a kill -9 of the API server", async () => {
    const { informer } = await watching();
    await killProcess(cluster.dir, "kube-apiserver");
    await restartApiserver(cluster.dir);
    await create("after-restart");
    await seesSize(informer, "after-restart", 1);
    expect(informer.objects.size).toBe(1);
  });

  it("lists again after the resync time and reports every object again", async () => {
    await create("steady");
    const { changes } = await watching({ watchSeconds: 1, resyncMs: 1 });
    await until(() => changes.some((change) => change.type === "resync"));
    expect(changes[0]).toMatchObject({ type: "added" });
  });

  it("keeps going when a subscriber throws", async () => {
    const { informer, changes } = await watching();
    const seen: string[] = [];
    informer.subscribe(() => {
      throw new Error("a bug in a subscriber");
    });
    informer.subscribe((change) => seen.push(change.key));
    await create("one");
    await create("two");
    await until(() => seen.length === 2);
    expect(changes).toHaveLength(2);
  });

  it("stops without an error and without another request", async () => {
    await watching();
    await until(() => watches().length === 1);
    stopping.abort();
    await running;
    expect(watches()).toHaveLength(1);
    expect(metrics.total("autoglm_informer_restarts_total")).toBe(0);
  });
});

/** Through etcd's JSON gateway: forgets all revisions but the newest. */
async function compactEtcd(url: string): Promise<void> {
  const post = async (path: string, body: unknown) => {
    const response = await fetch(`${url}${path}`, { method: "POST", body: JSON.stringify(body) });
    expect(response.status).toBe(200);
    return (await response.json()) as { readonly header: { readonly revision: string } };
  };
  const { header } = await post("/v3/kv/range", { key: Buffer.from("/").toString("base64") });
  await post("/v3/kv/compaction", { revision: header.revision, physical: true });
}
