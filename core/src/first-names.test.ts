import { expect, it } from "vitest";
import { firstNames } from "./first-names.ts";

it.each([
  [[], "none"],
  [["a"], "a"],
  [["a", "b"], "a, b"],
  [["a", "b", "c", "d"], "a, b and 2 more"],
])("says of %j at most two names: %s", (names, text) => {
  expect(firstNames(names, 2)).toBe(text);
});

it("says ten names unless told otherwise", () => {
  const names = Array.from({ length: 11 }, (_, index) => `n${index}`);
  expect(firstNames(names)).toMatch(/n9 and 1 more$/);
});
