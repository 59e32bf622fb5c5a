import { expect, test } from "vitest";
import { type Figure, judge, pairedRatio, type Ranges, sampleOf } from "./figures.ts";

test("a sample tells median, 95th percentile and extremes, in whatever order the values come", () => {
  const values = Array.from({ length: 21 }, (_, index) => 20 - index);
  expect(sampleOf(values)).toEqual({ n: 21, median: 10, p95: 19, least: 0, most: 20 });
  expect(sampleOf([4, 1, 3, 2]).median).toBe(2.5);
});

test("a round that was slow on both sides does not change the ratio", () => {
  expect(pairedRatio([50, 5, 52], [100, 10, 100]).median).toBe(0.5);
});

const ranges: Ranges = {
  machine: "test",
  figures: { known: { least: 1, most: 2, runs: [{ date: "2026-11-23", value: 1.5 }] } },
};

test.each([
  ["under", 300, "missed"],
  ["atMost", 300, "met"],
  ["under", 300.1, "met"],
  ["atMost", 299.9, "missed"],
  ["atLeast", 300, "met"],
  ["atLeast", 300.1, "missed"],
] as const)("a value of 300 with a goal %s %d is %s", (kind, limit, expected) => {
  const figure: Figure = { id: "new", unit: "ms", value: 300, goal: { kind, limit } };
  expect(judge(figure, ranges)).toEqual({ figure, goal: expected, range: undefined });
});

test.each([
  [0.99, "below"],
  [1, "within"],
  [2, "within"],
  [2.01, "above"],
] as const)("%d is %s a range of 1 to 2", (value, expected) => {
  expect(judge({ id: "known", unit: "×", value }, ranges)).toMatchObject({
    goal: undefined,
    range: expected,
  });
});
