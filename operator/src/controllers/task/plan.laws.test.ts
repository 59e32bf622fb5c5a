/** The laws of the task plan, over stories of what may happen to a task. */
import { taskStatusSchema, type Ledger } from "@autoglm/api";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { holds } from "./conditions.ts";
import type { TaskFacts, TaskPlan } from "./facts.ts";
import {
  applyPerfectly,
  connected,
  factsOf,
  kinds,
  later,
  ledgerOf,
  noOffer,
  offerOn,
  resolved,
  taskWith,
  written,
} from "./plan-world.test-support.ts";
import { planTask } from "./plan.ts";
import { stageOf } from "./stage.ts";

/** Something that happens to the world between two looks at the task. */
type Happening = (facts: TaskFacts) => TaskFacts;
const current = ({ task }: TaskFacts) => ({
  task: "u",
  run: task.status?.run ?? 0,
  shard: 0,
  epoch: task.status?.placements?.[0]?.epoch ?? 1,
});
const ledgerNow = (facts: TaskFacts): Ledger =>
  facts.ledger ??
  ledgerOf({ run: facts.task.status?.run ?? 0, accepted: facts.task.status?.items?.accepted ?? 0 });
const happenings: readonly [string, Happening][] = [
  ["time passes", (facts) => later(facts, { nowMs: facts.nowMs + 7000 })],
  ["much time passes", (facts) => later(facts, { nowMs: facts.nowMs + 400_000 })],
  ["a place is free", (facts) => later(facts, { offer: offerOn("b") })],
  ["no place is free", (facts) => later(facts, { offer: noOffer })],
  ["it runs", (facts) => later(facts, { report: { ...current(facts), phase: "Running", produced: 5 } })],
  [
    "it fails for now",
    (facts) =>
      later(facts, {
        report: {
          ...current(facts),
          phase: "Failed",
          produced: 0,
          error: { code: "ModelLoadFailed", message: "x" },
        },
      }),
  ],
  [
    "its model is bad",
    (facts) =>
      later(facts, {
        report: {
          ...current(facts),
          phase: "Failed",
          produced: 0,
          error: { code: "ModelDigestMismatch", message: "x" },
        },
      }),
  ],
  [
    "results are accepted",
    (facts) => {
      const ledger = ledgerNow(facts);
      return later(facts, {
        ledger: { ...ledger, accepted: ledger.accepted + 3, revision: ledger.revision + 1 },
      });
    },
  ],
  [
    "all is accepted",
    (facts) => {
      const ledger = ledgerNow(facts);
      return later(facts, { ledger: { ...ledger, total: ledger.accepted, complete: true } });
    },
  ],
  [
    "the result store is another one",
    (facts) => {
      const { task, run, shard, epoch } = current(facts);
      return later(facts, {
        held: facts.held && { ...facts.held, acceptedThrough: 5 },
        ledger: { ...ledgerNow(facts), assignments: [{ task, run, shard, epoch, acceptedThrough: -1 }] },
      });
    },
  ],
  ["the ledger is not there", (facts) => later(facts, { ledger: undefined })],
  ["the link goes", (facts) => later(facts, { node: facts.node && { ...facts.node, link: "Unknown" } })],
  [
    "the node is gone",
    (facts) => later(facts, { node: facts.node && { ...facts.node, link: "Unknown", isGone: true } }),
  ],
  ["the node is back", (facts) => later(facts, { node: facts.node && connected(facts.node.name) })],
  [
    "the disk is lost",
    (facts) => later(facts, { node: facts.node && { ...facts.node, stateId: `s${facts.nowMs}` } }),
  ],
  ["the model is mended", (facts) => later(facts, { specDigest: `digest ${facts.nowMs}` })],
  [
    "the operator restarts",
    (facts) => later(facts, { highestEpoch: 0, isPrepared: false, offer: undefined }),
  ],
  ["it is suspended", (facts) => withSpec(facts, { suspend: true })],
  ["it goes on", (facts) => withSpec(facts, { suspend: false })],
  ["its priority changes", (facts) => withSpec(facts, { priority: facts.task.spec.priority + 1 })],
  [
    "the model is not there",
    (facts) =>
      later(facts, {
        resolution: { isResolved: false, reason: "ModelNotFound", message: "m", hint: "h" },
        specDigest: undefined,
      }),
  ],
  ["the model is there", (facts) => later(facts, { resolution: resolved, specDigest: "digest" })],
];

function withSpec(facts: TaskFacts, change: Partial<TaskFacts["task"]["spec"]>): TaskFacts {
  return { ...facts, task: { ...facts.task, spec: { ...facts.task.spec, ...change } } };
}

/** The board offers only to who asks. */
function asked(facts: TaskFacts): TaskFacts {
  const isSeeking = stageOf(facts).kind === "seeking" && facts.resolution.isResolved;
  return isSeeking ? { ...facts, offer: facts.offer ?? noOffer } : { ...facts, offer: undefined };
}

const permuted = (facts: TaskFacts): TaskFacts => {
  const { task, ledger } = facts;
  const { status } = task;
  return {
    ...facts,
    task:
      status === undefined
        ? task
        : { ...task, status: { ...status, conditions: status.conditions?.toReversed() } },
    ledger: ledger && { ...ledger, assignments: ledger.assignments.toReversed() },
  };
};

const tasks = fc.constantFrom(
  taskWith(),
  taskWith({ run: "Continuous", runIntervalSeconds: 5 }),
  taskWith({ input: { file: "x.csv" } }),
  taskWith({ offlinePolicy: "Wait" }),
);
const stories = fc.array(fc.constantFrom(...happenings), { maxLength: 25 });

/** Plays a story, calling `look` on every plan. */
function play(
  task: TaskFacts["task"],
  story: typeof happenings,
  look: (facts: TaskFacts, plan: TaskPlan) => void,
): void {
  let facts = factsOf({ task });
  for (const [, happen] of story) {
    facts = asked(happen(facts));
    const plan = planTask(facts);
    look(facts, plan);
    facts = applyPerfectly(facts, plan);
  }
}

describe("every plan, whatever has happened before", () => {
  it("is a fixpoint: applied perfectly, it leaves nothing to do", () => {
    fc.assert(
      fc.property(tasks, stories, (task, story) => {
        play(task, story, (facts, plan) => {
          const next = asked(applyPerfectly(facts, plan));
          if (kinds(plan).includes("delete")) return;
          expect(kinds(planTask(next))).toEqual([]);
        });
      }),
      { numRuns: 300 },
    );
  });

  it("does not depend on the order of lists", () => {
    fc.assert(
      fc.property(tasks, stories, (task, story) => {
        play(task, story, (facts, plan) => expect(planTask(permuted(facts))).toEqual(plan));
      }),
    );
  });

  it("gives a reason for each action, and has few of them", () => {
    fc.assert(
      fc.property(tasks, stories, (task, story) => {
        play(task, story, (_, plan) => {
          expect(plan.actions.length).toBeLessThanOrEqual(6);
          expect(plan.events.length).toBeLessThanOrEqual(2);
          for (const action of plan.actions) expect(action.because).not.toBe("");
        });
      }),
    );
  });

  it("writes a status that the schema takes, with conditions that do not contradict each other", () => {
    fc.assert(
      fc.property(tasks, stories, (task, story) => {
        play(task, story, (_, plan) => {
          const action = plan.actions.find(({ kind }) => kind === "writeStatus");
          if (action?.kind !== "writeStatus") return;
          const { conditions } = action.status;
          const stamped = conditions.map((one) => ({ ...one, lastTransitionTime: "2026-01-01T00:00:00Z" }));
          expect(
            taskStatusSchema.safeParse(JSON.parse(JSON.stringify({ ...action.status, conditions: stamped })))
              .error,
          ).toBeUndefined();
          expect(holds(conditions, "Complete") && holds(conditions, "Failed")).toBe(false);
          expect(holds(conditions, "Failed") && holds(conditions, "Ready")).toBe(false);
          expect(holds(conditions, "Running") && !holds(conditions, "Placed")).toBe(false);
          expect(holds(conditions, "Placed") && !holds(conditions, "Accepted")).toBe(false);
        });
      }),
    );
  });

  it("never uses an epoch twice within a run, and has each in the status before its node hears of it", () => {
    fc.assert(
      fc.property(tasks, stories, (task, story) => {
        const given = new Map<string, string>();
        play(task, story, (facts, plan) => {
          const activate = plan.actions.find(({ kind }) => kind === "activate");
          if (activate?.kind !== "activate") return;
          const { key, placement } = activate;
          const isWritten = kinds(plan).indexOf("writeStatus") < kinds(plan).indexOf("activate");
          const status = kinds(plan).includes("writeStatus") ? written(plan) : facts.task.status;
          expect(isWritten).toBe(true);
          expect(status?.placements).toMatchObject([{ node: placement.node, epoch: key.epoch }]);
          const name = `${key.run}.${key.epoch}`;
          const identity = `${placement.node} ${placement.placedAt}`;
          expect(given.get(name) ?? identity).toBe(identity);
          given.set(name, identity);
        });
      }),
      { numRuns: 300 },
    );
  });

  it("never counts less than before within a run", () => {
    fc.assert(
      fc.property(tasks, stories, (task, story) => {
        let before = { run: 0, accepted: 0, delivered: 0 };
        play(task, story, (facts, plan) => {
          const status = kinds(plan).includes("writeStatus") ? written(plan) : facts.task.status;
          const now = {
            run: status?.run ?? 0,
            accepted: status?.items?.accepted ?? 0,
            delivered: status?.ledger?.delivered ?? 0,
          };
          if (now.run === before.run) {
            expect(now.accepted).toBeGreaterThanOrEqual(before.accepted);
            expect(now.delivered).toBeGreaterThanOrEqual(before.delivered);
          }
          before = now;
        });
      }),
    );
  });
});
