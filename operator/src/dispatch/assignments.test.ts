import type { Assignment, DesiredDocument, Heartbeat, Ledger } from "@autoglm/api";
import { describe, expect, it } from "vitest";
import { AssignmentTable, type AssignmentDraft } from "./assignments.ts";

function tableWith() {
  const changes: string[] = [];
  const bus = new Map<string, Set<string>>();
  const table = new AssignmentTable({
    bus: {
      writeSpec: async (node, bytes) => {
        const digest = new TextDecoder().decode(bytes);
        bus.set(node, (bus.get(node) ?? new Set()).add(digest));
        return digest;
      },
      deleteSpecs: async (node, digests) => {
        for (const digest of digests) bus.get(node)?.delete(digest);
      },
    },
    onChange: (nodeId, isUrgent) => changes.push(`${nodeId} ${isUrgent ? "urgent" : "lazy"}`),
    nodeKeyOfGrant: (grant) => grant.split(" ")[1],
  });
  return { table, changes, bus };
}

const key = (epoch = 1, run = 0, task = "t") => ({ task, run, shard: 0, epoch });
const draft = (change: Partial<AssignmentDraft> = {}): AssignmentDraft => ({
  key: key(),
  nodeId: "a",
  nodeKey: "U",
  spec: "spec",
  grant: "grant U",
  priority: 0,
  reservedBytes: 1,
  acceptedThrough: -1,
  acceptedItems: [],
  stateId: "s",
  ...change,
});
const documentOf = (table: AssignmentTable, revision: number): DesiredDocument => ({
  v: 1,
  node: "a",
  generation: 0,
  revision,
  assignments: [...table.assignmentsOf("a")],
});
const heartbeat = (revision: number): Heartbeat =>
  ({ node: "a", stateId: "s2", document: { generation: 0, revision } }) as Heartbeat;
const ledger = (acceptedThrough: number): Ledger =>
  ({ assignments: [{ ...key(), acceptedThrough }] }) as unknown as Ledger;
const listed = (table: AssignmentTable, node = "a") =>
  table.assignmentsOf(node).map(({ run, epoch }) => `${run}.${epoch}`);

describe("AssignmentTable", () => {
  it("has one assignment per run, and takes the older epoch from its node at once", () => {
    const { table, changes } = tableWith();
    table.activate(draft());
    table.activate(draft({ key: key(2), nodeId: "b" }));
    expect([listed(table), listed(table, "b")]).toEqual([[], ["0.2"]]);
    expect(changes).toEqual(["a urgent", "a urgent", "b urgent"]);
    expect(table.highestEpoch("t", 0)).toBe(2);
  });

  it("changes nothing when it is told the same again", () => {
    const { table, changes } = tableWith();
    table.activate(draft());
    table.activate(draft());
    expect(changes).toHaveLength(1);
  });

  it("keeps a finished run listed until its node has heard how far it was accepted", () => {
    const { table } = tableWith();
    table.activate(draft());
    table.retire(key());
    table.acceptLedger(ledger(3));
    table.acceptHeartbeat(heartbeat(9));
    expect(table.assignmentsOf("a")).toMatchObject([{ acceptedThrough: 3 }]);
    table.documentWritten(documentOf(table, 10));
    table.acceptHeartbeat(heartbeat(9));
    expect(listed(table)).toEqual(["0.1"]);
    table.acceptHeartbeat(heartbeat(10));
    expect(listed(table)).toEqual([]);
  });

  it("lets the next run begin beside a finished one that is still to be heard", () => {
    const { table } = tableWith();
    table.activate(draft());
    table.retire(key());
    table.activate(draft({ key: key(1, 1) }));
    expect(listed(table)).toEqual(["1.1", "0.1"]);
  });

  it("never lets acceptedThrough fall", () => {
    const { table } = tableWith();
    table.activate(draft());
    table.acceptLedger(ledger(3));
    table.acceptLedger(ledger(2));
    expect(table.assignmentsOf("a")).toMatchObject([{ acceptedThrough: 3 }]);
  });

  it("takes over what an earlier process gave out, and drops what no task wants", () => {
    const { table } = tableWith();
    const seeded: Assignment[] = [
      {
        ...key(3),
        spec: "old",
        grant: "grant U9",
        priority: 0,
        acceptedThrough: 5,
        acceptedItems: [],
        reservedBytes: 1,
      },
      {
        ...key(1, 0, "gone"),
        spec: "x",
        grant: "?",
        priority: 0,
        acceptedThrough: -1,
        acceptedItems: [],
        reservedBytes: 1,
      },
    ];
    table.seed({ v: 1, node: "a", generation: 0, revision: 7, assignments: seeded });
    expect(table.get(key(3))).toMatchObject({ nodeKey: "U9", spec: "old", state: "retiring" });
    expect(table.highestEpoch("t", 0)).toBe(3);
    table.keepTasks(new Set(["t"]));
    expect(table.entriesOf("gone")).toEqual([]);
    table.activate(draft({ key: key(3), spec: "old" }));
    expect(table.get(key(3))?.state).toBe("active");
  });

  it("puts parts before the specification, each once, and again after the bus may have lost them", async () => {
    const { table, bus } = tableWith();
    const blob = (text: string) => ({ digest: text, bytes: new TextEncoder().encode(text) });
    const work = { spec: blob("spec"), parts: [blob("part")] };
    await table.prepare("a", work, "t");
    expect([...(bus.get("a") ?? [])]).toEqual(["part", "spec"]);
    bus.clear();
    await table.prepare("a", work, "t");
    expect(bus.size).toBe(0);
    table.forgetBus();
    expect(table.isPrepared("a", "spec")).toBe(false);
    await table.prepare("a", work, "t");
    expect(bus.get("a")?.size).toBe(2);
    table.activate(draft());
    await table.forget("t", [], ["part"]);
    expect(bus.get("a")?.size).toBe(0);
    expect(listed(table)).toEqual([]);
  });

  it("keeps a specification that another task on the node has too", async () => {
    const { table, bus } = tableWith();
    const work = { spec: { digest: "spec", bytes: new TextEncoder().encode("spec") }, parts: [] };
    await table.prepare("a", work, "t");
    await table.prepare("a", work, "u");
    table.activate(draft());
    await table.forget("t", ["a"], ["spec"]);
    expect(bus.get("a")).toEqual(new Set(["spec"]));
    expect(table.isPrepared("a", "spec")).toBe(true);
    await table.forget("u", ["a"], ["spec"]);
    expect(bus.get("a")).toEqual(new Set());
    expect(table.isPrepared("a", "spec")).toBe(false);
  });
});
