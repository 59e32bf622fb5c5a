import { describe, expect, it } from "vitest";
import { holds } from "./conditions.ts";
import type { TaskFacts } from "./facts.ts";
import {
  applyPerfectly,
  connected,
  factsOf,
  kinds,
  later,
  ledgerOf,
  noOffer,
  offerOn,
  START_MS,
  taskWith,
  written,
} from "./plan-world.test-support.ts";
import { planTask } from "./plan.ts";
import { stageOf } from "./stage.ts";

const placedFacts = (change: Partial<TaskFacts> = {}, start: Partial<TaskFacts> = {}) => {
  const first = factsOf({ offer: offerOn("a"), ...start });
  return later(applyPerfectly(first, planTask(first)), change);
};
const reporting = (phase: "Running" | "Done" | "Failed" | "Downloading", change: object = {}) => ({
  task: "u",
  run: 0,
  shard: 0,
  epoch: 1,
  phase,
  produced: 0,
  ...change,
});

describe("a plan for a new task", () => {
  it("has the finalizer, the specification and the status in place before the node hears of it", () => {
    const plan = planTask(factsOf({ offer: offerOn("a") }));
    expect(kinds(plan)).toEqual(["addFinalizer", "prepare", "writeStatus", "activate"]);
    expect(written(plan)).toMatchObject({
      taskId: "u",
      model: "m",
      variant: "int8",
      tier: "4Gi",
      reason: "Placed",
      node: "a",
      run: 0,
      placements: [{ shard: 0, node: "a", epoch: 1, phase: "Assigned", reservedMemory: "1Gi" }],
    });
    expect(plan.events.map(({ reason }) => reason)).toEqual(["Accepted", "Placed"]);
  });

  it("states one reason, a hint and the place in the queue while nothing fits, and touches nothing else", () => {
    const plan = planTask(factsOf({ offer: noOffer }));
    expect(kinds(plan)).toEqual(["writeStatus"]);
    expect(written(plan)).toMatchObject({
      reason: "InsufficientMemory",
      message: "2/2 InsufficientMemory",
      hint: "wait",
      queuePosition: 1,
      placements: [],
    });
    expect(plan.events.map(({ reason }) => reason)).toEqual(["Accepted", "InsufficientMemory"]);
  });

  it("refuses what its author has to mend, and looks again for a ConfigMap that may come", () => {
    const refusal = { isResolved: false, reason: "ConfigMapNotFound", message: "m", hint: "h" } as const;
    const plan = planTask(factsOf({ resolution: refusal }));
    expect(written(plan)).toMatchObject({ reason: "ConfigMapNotFound", message: "m", hint: "h" });
    expect(holds(written(plan).conditions, "Accepted")).toBe(false);
    expect(plan.recheckMs).toBe(10_000);
  });

  it("fails what can't be mended, so that nobody waits for it, and stays at that", () => {
    const refusal = {
      isResolved: false,
      reason: "InputEmpty",
      message: "m",
      hint: "h",
      isFinal: true,
    } as const;
    const facts = factsOf({ resolution: refusal });
    const plan = planTask(facts);
    expect(written(plan)).toMatchObject({ reason: "InputEmpty", hint: "h" });
    expect(written(plan).completionTime).toBeDefined();
    expect(holds(written(plan).conditions, "Failed")).toBe(true);
    expect(holds(written(plan).conditions, "Accepted")).toBe(false);
    expect(planTask(applyPerfectly(facts, plan)).actions).toEqual([]);
  });
});

describe("a plan for a placed task", () => {
  it("writes the first result at once and further counts once a second", () => {
    const running = { report: reporting("Running", { produced: 1 }), sinceLastWriteMs: 10 };
    const placed = placedFacts(running);
    const first = planTask(later(placed, { ledger: ledgerOf({ accepted: 1 }) }));
    expect(written(first)).toMatchObject({ reason: "Running", progress: "1/2" });
    expect(holds(written(first).conditions, "Ready")).toBe(true);
    const counted = later(applyPerfectly(later(placed, { ledger: ledgerOf({ accepted: 1 }) }), first), {
      sinceLastWriteMs: 400,
      ledger: ledgerOf({ accepted: 2, revision: 2 }),
    });
    expect(planTask(counted)).toMatchObject({ actions: [], recheckMs: 600 });
    expect(kinds(planTask(later(counted, { sinceLastWriteMs: 1000 })))).toEqual(["writeStatus"]);
  });

  it("does not know about a node that it can't hear, and says since when", () => {
    const lastSeen = "2026-01-01T00:00:00.000Z";
    const status = written(
      planTask(placedFacts({ node: { ...connected("a"), link: "Unknown", lastSeen, recheckMs: 5000 } })),
    );
    expect(status.reason).toBe("NodeUnreachable");
    expect(status.message).toContain(lastSeen);
    const unknown = status.conditions.filter((one) => one.status === "Unknown").map(({ type }) => type);
    expect(unknown).toEqual(["Running", "Ready"]);
  });

  it("moves from a node that is gone to an offered one at the next epoch", () => {
    const gone = placedFacts({ node: { ...connected("a"), link: "Unknown", isGone: true } });
    expect(stageOf(gone)).toMatchObject({ kind: "seeking", from: { node: "a" } });
    const plan = planTask(later(gone, { offer: offerOn("b") }));
    expect(written(plan).placements).toMatchObject([{ node: "b", epoch: 2, phase: "Assigned" }]);
    expect(kinds(plan)).toEqual(["prepare", "writeStatus", "activate"]);
    expect(plan.events).toMatchObject([{ type: "Warning", reason: "Replaced" }]);
  });

  it("stays where it is while no other node fits", () => {
    const gone = placedFacts({ node: { ...connected("a"), link: "Unknown", isGone: true }, offer: noOffer });
    const status = written(planTask(gone));
    expect(status).toMatchObject({ reason: "NodeUnreachable", placements: [{ node: "a", epoch: 1 }] });
    expect(status.message).toContain("no other node: 2/2 InsufficientMemory");
  });

  it.each([
    ["policy Wait", { offlinePolicy: "Wait" as const }],
    ["a file", { input: { file: "reviews.csv" } }],
  ])("waits for a gone node with %s", (_, spec) => {
    const gone = { node: { ...connected("a"), link: "Unknown" as const, isGone: true } };
    expect(stageOf(placedFacts(gone, { task: taskWith(spec) }))).toMatchObject({ kind: "placed" });
  });

  it("begins a higher epoch on the same node when its state folder is another one, and counts what is lost", () => {
    const placed = placedFacts({
      report: reporting("Running", { produced: 7 }),
      ledger: ledgerOf({ accepted: 3 }),
    });
    const counted = applyPerfectly(placed, planTask(placed));
    const plan = planTask(
      later(counted, { node: { ...connected("a"), stateId: "other" }, report: undefined }),
    );
    expect(written(plan)).toMatchObject({
      placements: [{ node: "a", epoch: 2 }],
      ledger: { lost: 4, delivered: 3 },
    });
  });

  it("begins a higher epoch when the node has another key", () => {
    const plan = planTask(placedFacts({ node: { ...connected("a"), publicKey: "other" } }));
    expect(written(plan).placements).toMatchObject([{ node: "a", epoch: 2 }]);
  });

  it("fails for good on what the user has to mend, frees the memory and withdraws the work", () => {
    const error = { code: "InputFileNotFound", message: "x.csv is not there" };
    const plan = planTask(placedFacts({ report: reporting("Failed", { error }) }));
    expect(kinds(plan)).toEqual(["writeStatus", "withdraw", "release"]);
    expect(written(plan)).toMatchObject({
      reason: "InputFileNotFound",
      message: "on node a: x.csv is not there",
    });
    expect(holds(written(plan).conditions, "Failed")).toBe(true);
  });

  it("retries what failed for a passing reason after a pause that grows with the epoch", () => {
    const error = { code: "ModelLoadFailed", message: "no" };
    const failed = placedFacts({ report: reporting("Failed", { error }) });
    const waiting = planTask(failed);
    expect(written(waiting).reason).toBe("ModelLoadFailed");
    expect(waiting.recheckMs).toBe(10_000);
    expect(kinds(waiting)).toContain("release");
    const due = later(failed, { nowMs: START_MS + 10_000 });
    expect(stageOf(due)).toMatchObject({ kind: "seeking", isRetry: true });
  });

  it("takes a bad digest as final until the model is another one", () => {
    const error = { code: "ModelDigestMismatch", message: "sha256" };
    const failed = placedFacts({ report: reporting("Failed", { error }) });
    const plan = planTask(failed);
    expect(kinds(plan)).toEqual(["writeStatus", "park", "release"]);
    const parked = applyPerfectly(failed, plan);
    expect(stageOf(parked)).toMatchObject({ kind: "failed" });
    expect(stageOf(later(parked, { specDigest: "mended" }))).toMatchObject({
      kind: "seeking",
      isRetry: true,
    });
  });

  it("completes, retires the assignment and frees the memory", () => {
    const done = placedFacts({
      report: reporting("Done", { produced: 2 }),
      ledger: ledgerOf({ accepted: 2, failed: 1, total: 2, complete: true }),
    });
    const plan = planTask(done);
    expect(kinds(plan)).toEqual(["writeStatus", "retire", "release"]);
    expect(written(plan)).toMatchObject({
      reason: "Completed",
      message: "2 of 2 items, 1 of them errors of single items",
      placements: [{ phase: "Done" }],
    });
    expect(holds(written(plan).conditions, "Complete")).toBe(true);
  });

  it("completes an input without items", () => {
    const plan = planTask(placedFacts({ ledger: ledgerOf({ total: 0, complete: true }) }));
    expect(written(plan)).toMatchObject({ reason: "Completed", items: { total: 0, accepted: 0 } });
  });

  it("starts the next run of a continuous task at epoch 1 when it is due", () => {
    const task = taskWith({ run: "Continuous", runIntervalSeconds: 60 });
    const done = placedFacts({ ledger: ledgerOf({ accepted: 2, total: 2, complete: true }) }, { task });
    const between = applyPerfectly(done, planTask(done));
    expect(between.task.status).toMatchObject({ reason: "WaitingForNextRun" });
    expect(planTask(between).recheckMs).toBe(60_000);
    const due = later(between, { nowMs: START_MS + 60_000 });
    expect(stageOf(due)).toMatchObject({ kind: "seeking", run: 1 });
    const plan = planTask(later(due, { offer: offerOn("b") }));
    expect(written(plan)).toMatchObject({
      run: 1,
      progress: "0/2",
      items: { total: 2, accepted: 0, failed: 0 },
      placements: [{ node: "b", epoch: 1 }],
    });
  });

  it("gives up its place when it is suspended, and never uses an epoch again when it goes on", () => {
    const placed = placedFacts();
    const suspended = later(placed, {
      task: { ...placed.task, spec: { ...placed.task.spec, suspend: true } },
    });
    const plan = planTask(suspended);
    expect(kinds(plan)).toEqual(["writeStatus", "withdraw", "release"]);
    const rested = applyPerfectly(suspended, plan);
    const spec = { ...rested.task.spec, suspend: false };
    const again = later(rested, {
      task: { ...rested.task, spec },
      offer: offerOn("a"),
      highestEpoch: 0,
      nowMs: START_MS,
    });
    expect(written(planTask(again)).placements?.[0]?.epoch).toBeGreaterThan(1);
  });
});

describe("a plan for a task that is deleted", () => {
  const deleted = (waitedMs: number) => {
    const placed = placedFacts();
    const metadata = {
      ...placed.task.metadata,
      deletionTimestamp: new Date(START_MS - waitedMs).toISOString(),
    };
    return later(placed, { task: { ...placed.task, metadata } });
  };

  it("stops the work, frees the memory, has the results forgotten, and lets go", () => {
    expect(kinds(planTask(deleted(0)))).toEqual(["withdraw", "release", "forget", "removeFinalizer"]);
  });

  it("lets go of a task whose results can't be forgotten, and says so", () => {
    const plan = planTask(deleted(60_001));
    expect(kinds(plan)).toEqual(["withdraw", "release", "removeFinalizer"]);
    expect(plan.events).toMatchObject([{ type: "Warning", reason: "ResultsNotForgotten" }]);
  });

  it("deletes a finished task when its time is over", () => {
    const done = placedFacts(
      { ledger: ledgerOf({ accepted: 2, total: 2, complete: true }) },
      { task: taskWith({ ttlSecondsAfterFinished: 5 }) },
    );
    const complete = applyPerfectly(done, planTask(done));
    expect(planTask(complete).recheckMs).toBe(5000);
    expect(kinds(planTask(later(complete, { nowMs: START_MS + 5000 })))).toEqual(["delete"]);
  });
});
