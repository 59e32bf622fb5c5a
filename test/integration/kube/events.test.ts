import { EventRecorder, type KubeObject, type Resource } from "@autoglm/kube";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { FakeClock } from "../../../kube/src/fake-clock.ts";
import { createNamespace, sharedCluster, type TestCluster, until } from "../../support/cluster.ts";
import { CountingMetrics } from "./counting-metrics.ts";

interface StoredEvent extends KubeObject {
  readonly eventTime: string;
  readonly reason: string;
  readonly note: string;
  readonly series?: { readonly count: number; readonly lastObservedTime: string };
}

const EVENTS: Resource<StoredEvent> = {
  group: "events.k8s.io",
  version: "v1",
  plural: "events",
  kind: "Event",
  namespaced: true,
};

let cluster: TestCluster;
let namespace: string;

beforeAll(async () => {
  cluster = await sharedCluster();
  namespace = await createNamespace(cluster.client);
});
afterAll(async () => cluster.stop());

/** A running recorder on a clock whose timers the test fires by moving the time. */
function setUp(name: string, inNamespace = namespace) {
  const clock = new FakeClock(Date.UTC(2026, 0, 1, 12, 0, 0, 123));
  const metrics = new CountingMetrics();
  const stopping = new AbortController();
  const { client } = cluster;
  const recorder = new EventRecorder({
    client,
    controller: "autoglm.io/operator",
    instance: "test-0",
    clock,
    metrics,
  });
  const running = recorder.run(stopping.signal);
  const regarding = {
    apiVersion: "v1",
    kind: "ConfigMap",
    metadata: { name, namespace: inNamespace, uid: `uid-${name}` },
  };
  const record = (note: string): void =>
    recorder.record({ regarding, type: "Normal", reason: "Placed", action: "PlaceShard", note });
  const stop = async (): Promise<void> => {
    stopping.abort();
    await running;
  };
  return { record, clock, metrics, stop };
}

async function eventsOf(name: string): Promise<readonly StoredEvent[]> {
  const { items } = await cluster.client.list(EVENTS, { namespace, fieldSelector: `regarding.name=${name}` });
  return items;
}

describe("the event recorder", () => {
  it("stores an event with its time in microseconds", async () => {
    const { record, stop } = setUp("first");
    record("on node edge-4");
    const [event] = await until(async () => {
      const events = await eventsOf("first");
      return events.length > 0 && events;
    });
    expect(event).toMatchObject({
      eventTime: "2026-01-01T12:00:00.123000Z",
      reason: "Placed",
      note: "on node edge-4",
    });
    await stop();
  });

  it("counts repetitions in a series instead of storing more events, across a restart too", async () => {
    const before = setUp("repeated");
    before.record("again");
    await until(() => before.metrics.total("autoglm_events_total", { outcome: "created" }) === 1);
    for (let index = 0; index < 50; index += 1) before.record("again");
    before.clock.advance(30_000);
    await until(() => before.metrics.total("autoglm_events_total", { outcome: "aggregated" }) === 1);
    await before.stop();

    const after = setUp("repeated");
    after.record("again");
    await until(() => after.metrics.total("autoglm_events_total", { outcome: "aggregated" }) === 1);
    await after.stop();
    const events = await eventsOf("repeated");
    expect(events.map((event) => event.series?.count)).toEqual([52]);
  });

  it("holds an object that never stops talking to its burst", async () => {
    const { record, metrics, stop } = setUp("noisy");
    for (let index = 0; index < 100; index += 1) record(`note ${index}`);
    await until(() => metrics.total("autoglm_events_total", { outcome: "created" }) === 25);
    expect(metrics.total("autoglm_events_total", { outcome: "dropped" })).toBe(75);
    expect(await eventsOf("noisy")).toHaveLength(25);
    await stop();
  });

  it("gives up on an event that its namespace no longer takes, without trying for ever", async () => {
    const { record, metrics, stop } = setUp("orphan", "no-such-namespace");
    record("nobody will read this");
    await until(() => metrics.total("autoglm_events_total", { outcome: "dropped" }) === 1);
    await stop();
    expect(metrics.total("workqueue_retries_total")).toBe(0);
  });
});
