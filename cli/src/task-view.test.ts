import type { TaskStatus } from "@autoglm/api";
import { taskSpecSchema } from "@autoglm/api";
import { expect, it } from "vitest";
import type { TaskObject } from "./objects.ts";
import { explainTask, hintLine, outcomeOf, progressLine, renderExplanation } from "./task-view.ts";

function task(status?: TaskStatus): TaskObject {
  return {
    apiVersion: "autoglm.io/v1alpha1",
    kind: "AutoGLMTask",
    metadata: { name: "reviews", namespace: "lab", uid: "u" },
    spec: taskSpecSchema.parse({ type: "ner", input: { inline: ["a"] } }),
    ...(status && { status }),
  };
}
const condition = (type: string, status: "True" | "False") => ({
  type,
  status,
  reason: "X",
  message: "",
  lastTransitionTime: "2026-11-23T08:00:00Z",
});

it("sees how a task ended", () => {
  expect(outcomeOf(task())).toBeUndefined();
  expect(outcomeOf(task({ conditions: [condition("Complete", "False")] }))).toBeUndefined();
  expect(outcomeOf(task({ conditions: [condition("Complete", "True")] }))).toBe("complete");
  expect(outcomeOf(task({ conditions: [condition("Failed", "True")] }))).toBe("failed");
});

it("says in a line how far a task is, and why it waits", () => {
  expect(progressLine(task())).toBe("reviews: Pending");
  expect(progressLine(task({ reason: "Running", node: "edge-1", progress: "3/9", message: "fine" }))).toBe(
    "reviews: Running on edge-1 3/9",
  );
  const waiting: TaskStatus = {
    reason: "InsufficientMemory",
    queuePosition: 2,
    message: "3/8 InsufficientMemory",
    hint: "ask for less",
  };
  expect(progressLine(task(waiting))).toBe(
    "reviews: InsufficientMemory (2 in the queue): 3/8 InsufficientMemory",
  );
  expect(hintLine(task(waiting))).toBe("hint: ask for less");
});

it("explains a task that nobody has looked at", () => {
  expect(renderExplanation(explainTask(task(), []))).toBe(
    "Task:    lab/reviews\nState:   Pending\nWhy:     the operator has not looked at the task yet\nType:    ner\n",
  );
});

it("explains placements, conditions and events", () => {
  const text = renderExplanation(
    explainTask(
      task({
        reason: "Running",
        message: "on edge-1",
        type: "token-classification",
        typeSource: "Spec",
        model: "zh-ner",
        variant: "fp32",
        placements: [
          {
            shard: 0,
            node: "edge-1",
            epoch: 2,
            phase: "Running",
            reservedMemory: "1Gi",
            placedAt: "2026-11-23T08:00:00Z",
          },
        ],
        conditions: [condition("Placed", "True")],
      }),
      [{ time: "2026-11-23T08:00:00Z", type: "Normal", reason: "Placed", message: "on edge-1", count: 3 }],
    ),
  );
  expect(text).toMatch(/^Type: +token-classification \(from Spec\)$/m);
  expect(text).toMatch(/^Model: +zh-ner fp32$/m);
  expect(text).toMatch(/^0 +edge-1 +2 +Running +1Gi$/m);
  expect(text).toMatch(/^Placed +True +X$/m);
  expect(text).toMatch(/^2026-11-23T08:00:00Z +Placed +on edge-1 \(3 times\)$/m);
});
