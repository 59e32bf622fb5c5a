import { applyCrds, type ConditionDraft, StatusWriter } from "@autoglm/kube";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { FakeClock } from "../../../kube/src/fake-clock.ts";
import { createNamespace, sharedCluster, type TestCluster } from "../../support/cluster.ts";
import { CountingMetrics } from "./counting-metrics.ts";
import { type Widget, widget, WIDGET_CRD, WIDGETS } from "./widgets.ts";

let cluster: TestCluster;
let namespace: string;

beforeAll(async () => {
  cluster = await sharedCluster();
  namespace = await createNamespace(cluster.client);
  await applyCrds(cluster.client, [WIDGET_CRD]);
});
afterAll(async () => cluster.stop());

const ready = (status: "True" | "False", message: string): ConditionDraft => ({
  type: "Ready",
  status,
  reason: status === "True" ? "Working" : "Starting",
  message,
});

/** A writer on a clock that the test moves, and the writes that it made. */
function setUp() {
  const metrics = new CountingMetrics();
  const clock = new FakeClock(Date.UTC(2026, 0, 1));
  const writer = new StatusWriter({ client: cluster.client, metrics, clock });
  const writes = () => metrics.total("autoglm_status_writes_total", { outcome: "written" });
  return { writer, clock, writes };
}

async function stored(name: string): Promise<Widget> {
  return cluster.client.get(WIDGETS, { namespace, name });
}

describe("the status writer", () => {
  it("writes nothing when nothing changed, even while the cache lags behind its last write", async () => {
    const { writer, writes } = setUp();
    const lagging = await cluster.client.apply(WIDGETS, widget(namespace, "quiet"));
    const draft = { conditions: [ready("True", "all well")], phase: "Up" };
    expect(await writer.write(WIDGETS, lagging, draft)).toBe("written");
    const { resourceVersion } = (await stored("quiet")).metadata;
    for (let pass = 0; pass < 100; pass += 1) {
      expect(await writer.write(WIDGETS, pass % 2 === 0 ? lagging : await stored("quiet"), draft)).toBe(
        "unchanged",
      );
    }
    expect(writes()).toBe(1);
    expect((await stored("quiet")).metadata.resourceVersion).toBe(resourceVersion);
  });

  it("moves a condition's time only when its status flips, and always says which generation it saw", async () => {
    const { writer, clock } = setUp();
    await cluster.client.apply(WIDGETS, widget(namespace, "flips"));
    const write = async (draft: ConditionDraft) => {
      await writer.write(WIDGETS, await stored("flips"), { conditions: [draft] });
      return (await stored("flips")).status;
    };
    const first = await write(ready("False", "one"));
    expect(first?.conditions?.[0]).toMatchObject({
      lastTransitionTime: "2026-01-01T00:00:00Z",
      message: "one",
    });
    clock.advance(60_000);
    const second = await write(ready("False", "two"));
    expect(second?.conditions?.[0]).toMatchObject({
      lastTransitionTime: "2026-01-01T00:00:00Z",
      message: "two",
    });
    await cluster.client.apply(WIDGETS, widget(namespace, "flips", 7));
    const third = await write(ready("True", "three"));
    expect(third).toMatchObject({
      observedGeneration: 2,
      conditions: [{ lastTransitionTime: "2026-01-01T00:01:00Z", observedGeneration: 2 }],
    });
  });

  it("removes what the draft leaves out", async () => {
    const { writer } = setUp();
    const object = await cluster.client.apply(WIDGETS, widget(namespace, "shrinks"));
    await writer.write(WIDGETS, object, { conditions: [ready("True", "")], phase: "Up" });
    await writer.write(WIDGETS, await stored("shrinks"), { conditions: [] });
    const { status } = await stored("shrinks");
    expect(status?.phase).toBeUndefined();
    expect(status?.conditions ?? []).toEqual([]);
  });

  it("does not fight a field that the server fills in", async () => {
    const { writer, writes } = setUp();
    const object = await cluster.client.apply(WIDGETS, widget(namespace, "defaults"));
    const draft = { conditions: [] };
    await writer.write(WIDGETS, object, draft);
    expect((await stored("defaults")).status?.defaulted).toBe("by the server");
    for (let pass = 0; pass < 5; pass += 1) await writer.write(WIDGETS, await stored("defaults"), draft);
    expect(writes()).toBe(1);
  });

  it("writes back over a foreign change", async () => {
    const { writer } = setUp();
    const object = await cluster.client.apply(WIDGETS, widget(namespace, "contested"));
    const draft = { conditions: [], phase: "Up" };
    await writer.write(WIDGETS, object, draft);
    const foreign = { status: { phase: "Down" } };
    await cluster.client.mergePatch(WIDGETS, object.metadata, foreign, { subresource: "status" });
    expect(await writer.write(WIDGETS, await stored("contested"), draft)).toBe("written");
    expect((await stored("contested")).status?.phase).toBe("Up");
  });

  it("refuses to write what was decided on an older spec", async () => {
    const { writer } = setUp();
    const old = await cluster.client.apply(WIDGETS, widget(namespace, "moved-on"));
    await cluster.client.apply(WIDGETS, widget(namespace, "moved-on", 2));
    const draft = { conditions: [], phase: "Up" };
    expect(await writer.write(WIDGETS, old, draft)).toBe("stale");
    expect(await writer.write(WIDGETS, await stored("moved-on"), draft)).toBe("written");
  });

  it("writes twice on one reading of the cache when it decides differently", async () => {
    const { writer } = setUp();
    const lagging = await cluster.client.apply(WIDGETS, widget(namespace, "twice"));
    expect(await writer.write(WIDGETS, lagging, { conditions: [], phase: "Up" })).toBe("written");
    expect(await writer.write(WIDGETS, lagging, { conditions: [], phase: "Down" })).toBe("written");
    expect((await stored("twice")).status?.phase).toBe("Down");
  });

  it("leaves an object alone that is gone, or whose name another one has", async () => {
    const { writer } = setUp();
    const old = await cluster.client.apply(WIDGETS, widget(namespace, "namesake"));
    await cluster.client.delete(WIDGETS, old.metadata);
    const draft = { conditions: [], phase: "Up" };
    expect(await writer.write(WIDGETS, old, draft)).toBe("gone");
    await cluster.client.apply(WIDGETS, widget(namespace, "namesake"));
    expect(await writer.write(WIDGETS, old, draft)).toBe("stale");
    expect((await stored("namesake")).status?.phase).toBeUndefined();
  });
});
