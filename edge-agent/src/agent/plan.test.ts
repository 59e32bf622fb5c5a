import { assignmentKeyText, type Assignment, type AssignmentKey } from "@autoglm/api";
import * as fc from "fast-check";
import { expect, test } from "vitest";
import {
  planAssignments,
  type AgentAction,
  type AgentFacts,
  type AgentLimits,
  type KeptView,
  type WorkView,
} from "./plan.ts";

const limits: AgentLimits = {
  unlistedRetentionMs: 1000,
  unlistedBytes: 500,
  unlistedKeys: 3,
  actionsPerPass: 1000,
};
const keyOf = (task: string): AssignmentKey => ({ task, run: 0, shard: 0, epoch: 1 });
const assigned = (task: string, more: Partial<Assignment> = {}): Assignment => ({
  ...keyOf(task),
  spec: "spec-1",
  grant: "",
  priority: 0,
  acceptedThrough: -1,
  acceptedItems: [],
  reservedBytes: 100,
  ...more,
});
const working = (task: string, more: Partial<WorkView> = {}): WorkView => ({
  key: keyOf(task),
  spec: "spec-1",
  reservedBytes: 100,
  state: "Running",
  ...more,
});
const kept = (task: string, more: Partial<KeptView> = {}): KeptView => ({
  key: keyOf(task),
  acceptedThrough: -1,
  pendingChunks: 1,
  pendingBytes: 10,
  ...more,
});
const facts = (more: Partial<AgentFacts> = {}): AgentFacts => ({
  nowMs: 10_000,
  isDraining: false,
  desired: [],
  work: [],
  kept: [],
  budgetBytes: 1000,
  limits,
  ...more,
});
const say = (action: AgentAction) =>
  `${action.kind} ${"key" in action ? action.key.task : action.assignment.task} ${action.reason}`;

test.each<[string, Partial<AgentFacts>, string[]]>([
  ["starts what is listed", { desired: [assigned("a")] }, ["start a Listed"]],
  ["leaves alone what runs", { desired: [assigned("a")], work: [working("a")] }, []],
  ["leaves alone what is done", { desired: [assigned("a")], work: [working("a", { state: "Done" })] }, []],
  [
    "does not try again what failed",
    { desired: [assigned("a")], work: [working("a", { state: "Failed" })] },
    [],
  ],
  [
    "tries again when it is time",
    { desired: [assigned("a")], work: [working("a", { state: "Waiting", retryAtMs: 9_999 })] },
    ["start a RetryDue"],
  ],
  [
    "waits until it is time",
    { desired: [assigned("a")], work: [working("a", { state: "Waiting", retryAtMs: 10_001 })] },
    [],
  ],
  ["stops what left the document", { work: [working("a")] }, ["stop a NotListed"]],
  [
    "does nothing before it has seen a document",
    { desired: undefined, work: [working("a")], kept: [kept("b")] },
    [],
  ],
  [
    "starts anew what has another specification",
    { desired: [assigned("a", { spec: "spec-2" })], work: [working("a")] },
    ["stop a SpecChanged", "start a Listed"],
  ],
  ["starts nothing while draining", { isDraining: true, desired: [assigned("a")] }, []],
  [
    "keeps to the memory, by priority",
    { desired: [assigned("a", { reservedBytes: 700 }), assigned("b", { reservedBytes: 700, priority: 1 })] },
    ["start b Listed"],
  ],
  [
    "lets a small one use what a large one can't",
    {
      desired: [
        assigned("a", { reservedBytes: 700, priority: 2 }),
        assigned("b", { reservedBytes: 700, priority: 1 }),
        assigned("c", { reservedBytes: 200 }),
      ],
    },
    ["start a Listed", "start c Listed"],
  ],
  [
    "stops a lower one for a higher one",
    {
      desired: [assigned("a", { reservedBytes: 700 }), assigned("b", { reservedBytes: 700, priority: 1 })],
      work: [working("a")],
    },
    ["stop a Preempted", "start b Listed"],
  ],
  [
    "runs one that is larger than the memory alone",
    { desired: [assigned("a", { reservedBytes: 5000 }), assigned("b")] },
    ["start a Listed"],
  ],
  [
    "takes no memory for what is done",
    {
      desired: [assigned("a", { reservedBytes: 900, priority: 1 }), assigned("b", { reservedBytes: 900 })],
      work: [working("a", { state: "Done" })],
    },
    ["start b Listed"],
  ],
  [
    "accepts what the document says",
    {
      desired: [assigned("a", { acceptedThrough: 4 })],
      work: [working("a")],
      kept: [kept("a", { acceptedThrough: 2 })],
    },
    ["accept a Committed"],
  ],
  [
    "never takes an acceptance back",
    {
      desired: [assigned("a", { acceptedThrough: 1 })],
      work: [working("a")],
      kept: [kept("a", { acceptedThrough: 2 })],
    },
    [],
  ],
  ["notes what left the document", { kept: [kept("a")] }, ["unlist a NotListed"]],
  ["keeps results of the unlisted", { kept: [kept("a", { unlistedAtMs: 9_500 })] }, []],
  [
    "gives them up after the retention",
    { kept: [kept("a", { unlistedAtMs: 9_000 })] },
    ["forget a RetentionOver"],
  ],
  [
    "gives up the oldest when they are too large",
    {
      kept: [
        kept("a", { unlistedAtMs: 9_500, pendingBytes: 300 }),
        kept("b", { unlistedAtMs: 9_600, pendingBytes: 300 }),
      ],
    },
    ["forget a NoRoom"],
  ],
  [
    "gives up the oldest when they are too many",
    { kept: ["a", "b", "c", "d"].map((task, index) => kept(task, { unlistedAtMs: 9_900 - index })) },
    ["forget d TooMany"],
  ],
  [
    "keeps everything of the listed, however large",
    { desired: [assigned("a")], work: [working("a")], kept: [kept("a", { pendingBytes: 9999 })] },
    [],
  ],
])("%s", (_, more, expected) => {
  expect(planAssignments(facts(more)).actions.map(say)).toEqual(expected);
});

test("says when time alone makes something due", () => {
  const work = [working("a", { state: "Waiting", retryAtMs: 10_400 })];
  const kepts = [kept("b", { unlistedAtMs: 9_300 })];
  expect(planAssignments(facts({ desired: [assigned("a")], work, kept: kepts })).recheckAtMs).toBe(10_300);
});

const names = ["a", "b", "c", "d", "e"];
const subset = <T>(of: (task: string) => fc.Arbitrary<T>) =>
  fc.subarray(names).chain((chosen) => fc.tuple(...chosen.map(of)).map((list) => [...list]));
const anyFacts: fc.Arbitrary<AgentFacts> = fc.record({
  nowMs: fc.constant(10_000),
  isDraining: fc.boolean(),
  desired: subset((task) =>
    fc
      .record({
        spec: fc.constantFrom("spec-1", "spec-2"),
        priority: fc.integer({ min: -2, max: 2 }),
        acceptedThrough: fc.integer({ min: -1, max: 3 }),
        reservedBytes: fc.integer({ min: 0, max: 1200 }),
      })
      .map((more) => assigned(task, more)),
  ),
  work: subset((task) =>
    fc
      .record({
        spec: fc.constantFrom("spec-1", "spec-2"),
        state: fc.constantFrom<WorkView["state"]>("Running", "Waiting", "Done", "Failed"),
        retryAtMs: fc.integer({ min: 9_000, max: 11_000 }),
      })
      .map((more) => working(task, more)),
  ),
  kept: subset((task) =>
    fc
      .record({
        acceptedThrough: fc.integer({ min: -1, max: 3 }),
        unlisted: fc.option(fc.integer({ min: 8_000, max: 10_000 })),
        pendingBytes: fc.integer({ min: 0, max: 300 }),
      })
      .map(({ unlisted, ...more }) =>
        kept(task, { ...more, ...(unlisted !== null && { unlistedAtMs: unlisted }) }),
      ),
  ),
  budgetBytes: fc.constant(1000),
  limits: fc.constantFrom(limits, { ...limits, actionsPerPass: 3 }),
});

/** The world after every action worked. */
function applyAll(before: AgentFacts, actions: readonly AgentAction[]): AgentFacts {
  const work = new Map(before.work.map((view) => [assignmentKeyText(view.key), view]));
  const keeps = new Map(before.kept.map((view) => [assignmentKeyText(view.key), view]));
  for (const action of actions) {
    const text = assignmentKeyText("key" in action ? action.key : action.assignment);
    const known = keeps.get(text);
    switch (action.kind) {
      case "start":
        work.set(text, working(action.assignment.task, { spec: action.assignment.spec }));
        break;
      case "stop":
        work.delete(text);
        break;
      case "forget":
        keeps.delete(text);
        break;
      case "accept":
        if (known) keeps.set(text, { ...known, acceptedThrough: action.through });
        break;
      case "unlist":
        if (known) keeps.set(text, { ...known, unlistedAtMs: before.nowMs });
        break;
    }
  }
  return { ...before, work: [...work.values()], kept: [...keeps.values()] };
}

test("fixpoint: once all is done there is nothing left to do", () => {
  fc.assert(
    fc.property(anyFacts, (before) => {
      let current = before;
      // Bounded passes may need several to get through.
      for (let pass = 0; pass < 20; pass++) current = applyAll(current, planAssignments(current).actions);
      expect(planAssignments(current).actions).toEqual([]);
    }),
  );
});

test("order: permuting the facts changes nothing", () => {
  const shuffled = anyFacts.chain((before) =>
    fc
      .tuple(
        fc.shuffledSubarray([...(before.desired ?? [])], { minLength: before.desired?.length ?? 0 }),
        fc.shuffledSubarray([...before.work], { minLength: before.work.length }),
        fc.shuffledSubarray([...before.kept], { minLength: before.kept.length }),
      )
      .map(([desired, work, keeps]) => [before, { ...before, desired, work, kept: keeps }] as const),
  );
  fc.assert(
    fc.property(shuffled, ([before, permuted]) => {
      expect(planAssignments(permuted)).toEqual(planAssignments(before));
    }),
  );
});

test("reason and bound: every action says why, and a pass has no more than its limit", () => {
  fc.assert(
    fc.property(anyFacts, (before) => {
      const { actions, recheckAtMs } = planAssignments(before);
      expect(actions.every(({ reason }) => reason.length > 0)).toBe(true);
      expect(actions.length).toBeLessThanOrEqual(before.limits.actionsPerPass);
      const unbounded = planAssignments({ ...before, limits });
      // What did not fit comes at once.
      expect(unbounded.actions.length > actions.length).toBe(
        unbounded.actions.length > before.limits.actionsPerPass,
      );
      expect(unbounded.actions.length === actions.length || recheckAtMs === before.nowMs).toBe(true);
    }),
  );
});

test("what runs together fits the memory, or runs alone", () => {
  fc.assert(
    fc.property(anyFacts, (before) => {
      const unbounded = { ...before, limits };
      const after = applyAll(unbounded, planAssignments(unbounded).actions);
      const running = after.work.filter(({ state }) => state === "Running" || state === "Waiting");
      const reserved = running.map(
        ({ key }) => before.desired?.find(({ task }) => task === key.task)?.reservedBytes ?? 0,
      );
      const total = reserved.reduce((sum, bytes) => sum + bytes, 0);
      expect(total <= before.budgetBytes || reserved.filter((bytes) => bytes > 0).length === 1).toBe(true);
    }),
  );
});
