import type { AssignmentReport, Heartbeat } from "@autoglm/api";
import { describe, expect, it } from "vitest";
import { HeartbeatTracker } from "./heartbeats.ts";

const MI = 2 ** 20;

function heartbeat(change: Partial<Heartbeat> = {}): Heartbeat {
  return {
    v: 1,
    node: "n",
    nodeName: "n",
    agentVersion: "1",
    stateId: "s",
    startedAt: "2026-01-01T00:00:00Z",
    sentAt: "2026-01-01T00:00:00Z",
    memory: { kind: "gpu", totalBytes: 8192 * MI, usedByOthersBytes: 500 * MI, usedByUsBytes: 0 },
    document: { generation: 0, revision: 1 },
    outbox: { chunks: 0, bytes: 0, limitBytes: 1, full: false },
    models: [],
    assignments: [],
    draining: false,
    ...change,
  };
}
const report = (task: string, produced = 0): AssignmentReport => ({
  task,
  run: 0,
  shard: 0,
  epoch: 1,
  phase: "Running",
  produced,
});

function trackerWith() {
  const time = { ms: 0 };
  const tracker = new HeartbeatTracker({
    monotonicNowMs: () => time.ms,
    nowMs: () => time.ms,
    heartbeatTimeoutMs: 15_000,
  });
  return { tracker, time };
}

describe("HeartbeatTracker", () => {
  it("says nothing new about a node that says the same again", () => {
    const { tracker } = trackerWith();
    expect(tracker.accept(heartbeat())).toMatchObject({ isNodeChanged: true });
    const again = heartbeat({ sentAt: "2026-01-01T00:00:05Z", document: { generation: 0, revision: 2 } });
    expect(tracker.accept(again)).toEqual({
      node: "n",
      nodeId: "n",
      isNodeChanged: false,
      tasks: [],
      models: [],
    });
  });

  it("does not take trembling memory for news, and moves by whole steps", () => {
    const { tracker } = trackerWith();
    tracker.accept(heartbeat());
    expect(tracker.get("n")?.usedByOthersBytes).toBe(512 * MI);
    const memory = { ...heartbeat().memory, usedByOthersBytes: 450 * MI };
    expect(tracker.accept(heartbeat({ memory }))).toMatchObject({ isNodeChanged: false });
    const more = { ...memory, usedByOthersBytes: 600 * MI };
    expect(tracker.accept(heartbeat({ memory: more }))).toMatchObject({ isNodeChanged: true });
    expect(tracker.get("n")?.usedByOthersBytes).toBe(640 * MI);
  });

  it("names the tasks about which something new was said, and all of them after a silence or the loss of the disk", () => {
    const { tracker, time } = trackerWith();
    tracker.accept(heartbeat({ assignments: [report("a"), report("b"), report("c")] }));
    expect(
      tracker.accept(heartbeat({ assignments: [report("a"), report("b", 1)] }))?.tasks.toSorted(),
    ).toEqual(["b", "c"]);
    time.ms = 20_000;
    expect(tracker.silentForMs("n")).toBe(20_000);
    expect(tracker.accept(heartbeat({ assignments: [report("a"), report("b", 1)] }))).toMatchObject({
      isNodeChanged: true,
      tasks: ["a", "b"],
    });
    expect(tracker.accept(heartbeat({ stateId: "other", assignments: [] }))?.tasks).toEqual(["a", "b"]);
  });

  it("drops a heartbeat under a name that the node id is not made from", () => {
    const { tracker } = trackerWith();
    expect(tracker.accept(heartbeat({ nodeName: "other" }))).toBeUndefined();
    expect(tracker.list()).toEqual([]);
    expect(tracker.silentForMs("other")).toBeUndefined();
  });
});
