import { expect, test } from "vitest";
import { bestLabels } from "./labels.ts";

const labels = [
  { label: "a", score: 0.2 },
  { label: "b", score: 0.7 },
  { label: "c", score: 0.1 },
];

test.each([
  [{}, ["b", "a", "c"]],
  [{ topK: 2 }, ["b", "a"]],
  [{ threshold: 0.2 }, ["b", "a"]],
  [{ threshold: 0.9 }, ["b"]],
])("with %j the labels are %j", (parameters, expected) => {
  expect(bestLabels(labels, parameters).map(({ label }) => label)).toEqual(expected);
});
