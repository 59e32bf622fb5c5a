import { expect, test } from "vitest";
import { bestLabels, keptEntities } from "./labels.ts";

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

test.each([
  [undefined, ["PER", "LOC", "ORG"]],
  [{ candidateLabels: ["LOC", "PER"] }, ["PER", "LOC"]],
  [{ threshold: 0.5 }, ["PER", "ORG"]],
  [{ candidateLabels: ["LOC"], threshold: 0.5 }, []],
])("with %j entities are kept of the kinds %j", (parameters, kinds) => {
  const scored: readonly [string, number][] = [
    ["PER", 0.9],
    ["LOC", 0.4],
    ["ORG", 0.5],
  ];
  const entities = scored.map(([entity_group, score], start) => ({
    entity_group,
    score,
    word: "x",
    start,
    end: start + 1,
  }));
  expect(keptEntities(entities, parameters).map(({ entity_group }) => entity_group)).toEqual(kinds);
});
