import { expect, test } from "vitest";
import { chooseVictim, type EvictionView } from "./eviction.ts";

const model = (name: string, more: Partial<EvictionView> = {}) => ({
  name,
  processes: 1,
  idleProcesses: 1,
  isIdle: true,
  users: 0,
  lastUsed: 0,
  ...more,
});

test.each<[what: string, models: ReturnType<typeof model>[], victim: string | undefined]>([
  ["the model used longest ago", [model("b", { lastUsed: 2 }), model("a", { lastUsed: 1 })], "a"],
  [
    "a model that nobody has open before one in use",
    [model("a", { users: 1 }), model("b", { lastUsed: 9 })],
    "b",
  ],
  [
    "a further process of a busy model before the only one of an idle model",
    [model("a"), model("b", { processes: 2, isIdle: false, lastUsed: 9 })],
    "b",
  ],
  ["a model in use when there is no other", [model("a", { users: 1 })], "a"],
  ["none that is busy", [model("a", { isIdle: false, idleProcesses: 0 })], undefined],
  ["none that has work waiting for its only process", [model("a", { isIdle: false })], undefined],
  ["none without a process", [model("a", { processes: 0, idleProcesses: 0 })], undefined],
])("gives up %s", (_, models, victim) => {
  expect(chooseVictim(models)?.name).toBe(victim);
  expect(chooseVictim(models.toReversed())?.name).toBe(victim);
});
