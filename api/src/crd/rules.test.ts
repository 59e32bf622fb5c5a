import { describe, expect, it } from "vitest";
import { GOOD_SPECS, WRONG_SPECS } from "../../../test/integration/crds/task-manifests.ts";
import { taskSpecSchema, type TaskSpec, type TaskSpecInput } from "../kinds/task.ts";
import type { TaskStatus } from "../kinds/task-status.ts";
import { checkTaskSpec, checkTaskUpdate } from "./rules.ts";

// test/integration/crds judges the same specs by the API server.
describe("checkTaskSpec", () => {
  it.each(WRONG_SPECS)("refuses $what at $field", ({ spec, field, message = "" }) => {
    expect(checkTaskSpec(spec)).toContainEqual({ field, message: expect.stringContaining(message) });
  });

  it.each(GOOD_SPECS)("takes $what", ({ spec }) => {
    expect(checkTaskSpec(spec)).toEqual([]);
  });

  it("names everything that is wrong at once", () => {
    const problems = checkTaskSpec({
      type: "ner",
      input: { file: "../x" },
      parameters: { topK: 1, normalize: true },
    });
    expect(problems.map(({ field }) => field)).toEqual([
      "spec.input.file",
      "spec.parameters",
      "spec.parameters",
    ]);
  });

  it.each([undefined, null, 7, "spec", []])("refuses %j as a spec", (spec) => {
    expect(checkTaskSpec(spec)).toMatchObject([{ field: "spec" }]);
  });
});

describe("checkTaskUpdate", () => {
  const base = { type: "text-generation", input: { inline: ["a", "b"] } } as const;
  const specOf = (changes: Partial<TaskSpecInput> = {}): TaskSpec =>
    taskSpecSchema.parse({ ...base, ...changes });
  const placed: TaskStatus = {
    placements: [
      {
        shard: 0,
        node: "n",
        epoch: 1,
        phase: "Running",
        reservedMemory: "1Gi",
        placedAt: "2026-01-01T00:00:00Z",
      },
    ],
  };
  const check = (changes: Partial<TaskSpecInput>, status: TaskStatus = {}) =>
    checkTaskUpdate({ spec: specOf() }, { spec: specOf(changes), status }).map(({ field }) => field);

  it.each<[string, Partial<TaskSpecInput>]>([
    ["type", { type: "auto" }],
    ["model", { model: "other" }],
    ["input", { input: { inline: ["a"] } }],
    ["input", { input: { inline: ["b", "a"] } }],
    ["output", { output: { format: "text" } }],
    ["parameters", { parameters: { seed: 1 } }],
    ["run", { run: "Continuous" }],
    ["runIntervalSeconds", { runIntervalSeconds: 61 }],
  ])("refuses another %s", (field, changes) => {
    expect(check(changes)).toEqual([`spec.${field}`]);
  });

  it("takes what does not define the work", () => {
    expect(
      check({ suspend: true, priority: 9, ttlSecondsAfterFinished: 1, offlinePolicy: "Wait" }, placed),
    ).toEqual([]);
  });

  it("takes another placement before there is one, and refuses it after", () => {
    expect(check({ placement: { tier: "6Gi" } })).toEqual([]);
    expect(check({ placement: { tier: "6Gi" } }, { placements: [] })).toEqual([]);
    expect(check({ placement: { tier: "6Gi" } }, placed)).toEqual(["spec.placement"]);
  });

  it("doesn't mind the order of keys", () => {
    const [one, two] = [
      { a: "1", b: "2" },
      { b: "2", a: "1" },
    ].map((nodeSelector) => specOf({ placement: { nodeSelector } }));
    expect(checkTaskUpdate({ spec: one ?? specOf() }, { spec: two ?? specOf(), status: placed })).toEqual([]);
  });
});
