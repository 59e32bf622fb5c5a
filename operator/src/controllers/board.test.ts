import type { PlacementRequest, QueueEntry } from "@autoglm/core";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { PlacementBoard, type NodeDraft } from "./board.ts";

const nodeDraft = (name: string, capacityBytes: number): NodeDraft => ({
  name,
  labels: {},
  taints: [],
  location: "edge",
  tier: "8Gi",
  isReady: true,
  capacityBytes,
  heldVariants: new Set(),
  endpointKeys: new Set(),
});

function entry(key: string, bytes: number, priority = 0): QueueEntry {
  const variant = {
    name: "v",
    memory: "1",
    runtime: "onnx",
    precision: "int8",
    contextLength: 1,
    files: [],
  } as const;
  const request: PlacementRequest = {
    namespace: "default",
    name: key,
    model: "m",
    tier: "4Gi",
    candidates: [{ variant: { ...variant, files: [] }, bytes }],
    placement: { strategy: "EdgeFirst" },
  };
  return { key, priority, createdAt: "2026-01-01T00:00:00Z", request };
}

function boardWith(...nodes: readonly NodeDraft[]) {
  const woken: string[] = [];
  const drafts = [...nodes];
  const board = new PlacementBoard({
    readNodes: () => drafts,
    wake: (keys) => woken.push(...keys),
    onReserved: () => {},
  });
  board.nodesChanged();
  return { board, woken, drafts };
}

describe("PlacementBoard", () => {
  it("counts what it has just offered, and offers the same again until the task is there", () => {
    const { board } = boardWith(nodeDraft("a", 10));
    expect(board.offer(entry("t1", 6))).toMatchObject({ isPlaced: true, node: { name: "a" } });
    expect(board.offer(entry("t2", 6))).toMatchObject({ isPlaced: false, queuePosition: 1 });
    expect(board.offer(entry("t1", 6))).toMatchObject({ isPlaced: true, node: { name: "a" } });
    board.settle("t1", "a", 6);
    expect(board.reservedOn("a")).toBe(6);
  });

  it("wakes who waits when something is freed, and serves them in order", () => {
    const { board, woken } = boardWith(nodeDraft("a", 10));
    board.offer(entry("t1", 10));
    board.offer(entry("low", 10, 0));
    board.offer(entry("high", 10, 5));
    expect(board.offer(entry("low", 10, 0))).toMatchObject({ queuePosition: 2 });
    woken.length = 0;
    board.release("t1");
    expect(woken).toEqual(expect.arrayContaining(["low", "high"]));
    expect(board.offer(entry("low", 10, 0))).toMatchObject({ isPlaced: false });
    expect(woken).toContain("high");
    expect(board.offer(entry("high", 10, 5))).toMatchObject({ isPlaced: true });
  });

  it("takes an offer back when the task asks for something else, or no longer asks", () => {
    const { board } = boardWith(nodeDraft("a", 10));
    board.offer(entry("t1", 6));
    expect(board.offer(entry("t1", 7))).toMatchObject({ isPlaced: true, candidate: { bytes: 7 } });
    expect(board.reservedOn("a")).toBe(7);
    board.release("t1");
    expect(board.reservedOn("a")).toBe(0);
  });

  it("keeps an offer elsewhere against the placement that it is to replace", () => {
    const { board, drafts } = boardWith(nodeDraft("a", 10));
    board.settle("t1", "a", 6);
    drafts.splice(0, 1, { ...nodeDraft("a", 10), isReady: false }, nodeDraft("b", 10));
    board.nodesChanged();
    expect(board.offer(entry("t1", 6))).toMatchObject({ isPlaced: true, node: { name: "b" } });
    board.settle("t1", "a", 6);
    expect([board.reservedOn("a"), board.reservedOn("b")]).toEqual([0, 6]);
    board.stopSeeking("t1");
    board.settle("t1", "a", 6);
    expect([board.reservedOn("a"), board.reservedOn("b")]).toEqual([6, 0]);
  });

  it("never offers more than there is, whatever comes in whatever order", () => {
    const step = fc.oneof(
      fc.record({
        kind: fc.constant("offer" as const),
        key: fc.constantFrom("1", "2", "3", "4"),
        bytes: fc.integer({ min: 1, max: 8 }),
      }),
      fc.record({ kind: fc.constant("release" as const), key: fc.constantFrom("1", "2", "3", "4") }),
    );
    fc.assert(
      fc.property(fc.array(step, { maxLength: 40 }), (steps) => {
        const { board } = boardWith(nodeDraft("a", 10), nodeDraft("b", 5));
        for (const one of steps) {
          if (one.kind === "offer") board.offer(entry(one.key, one.bytes));
          else board.release(one.key);
          expect(board.reservedOn("a")).toBeLessThanOrEqual(10);
          expect(board.reservedOn("b")).toBeLessThanOrEqual(5);
        }
      }),
    );
  });
});
