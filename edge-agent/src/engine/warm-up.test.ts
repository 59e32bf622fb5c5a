import { expect, test } from "vitest";
import type { Pipeline, PipelineItem } from "../pipelines/pipeline.ts";
import { runUnitsOf, warmUp, warmUpShapes } from "./warm-up.ts";

const sampleOf = (length: number): PipelineItem => ({
  type: "text-classification",
  text: "x".repeat(length),
  parameters: {},
});

/** Answers at once, and notes the rows and the length of every run. */
function recordingPipeline(batching: Pipeline["batching"]) {
  const shapes: { rows: number; length: number }[] = [];
  const pipeline: Pipeline = {
    taskTypes: ["text-classification"],
    batching,
    run: async (items) => {
      shapes.push({ rows: items.length, length: items[0]?.text.length ?? 0 });
      return items.map(() => ({ output: { type: "text-classification", labels: [], scoreSource: "none" } }));
    },
  };
  return { pipeline, shapes };
}

test("the first process runs every shape up to the budget, and says which were the largest", async () => {
  const { pipeline, shapes } = recordingPipeline({ maxItems: 32, maxLength: 512 });
  const { budget, largestShapes } = await warmUp(pipeline, sampleOf);
  expect(budget).toBe(384);
  for (const length of [1, 2, 4, 8, 16, 32, 64, 128, 256, 512])
    expect(shapes).toContainEqual({ rows: 1, length });
  expect(shapes).toContainEqual({ rows: 32, length: 8 });
  expect(shapes).toContainEqual({ rows: 2, length: 128 });
  expect(shapes.every(({ rows, length }) => rows === 1 || rows * length <= budget)).toBe(true);
  const most = Math.max(...shapes.map(({ rows, length }) => rows * length));
  expect(largestShapes[0]).toEqual({ rows: 1, length: 512 });
  expect(largestShapes.some(({ rows, length }) => rows * length === most)).toBe(true);
  expect(largestShapes[1]).toSatisfy(({ rows, length }) => rows > 1 && rows * length === budget);
});

test("a further process runs the largest shapes and no others", async () => {
  const { pipeline, shapes } = recordingPipeline({ maxItems: 32, maxLength: 512 });
  const { largestShapes } = await warmUp(pipeline, sampleOf);
  shapes.length = 0;
  await warmUpShapes(pipeline, sampleOf, largestShapes);
  expect(shapes).toEqual(largestShapes);
});

test("a decoder, whose rows differ in everything, runs once", async () => {
  const { pipeline, shapes } = recordingPipeline({ maxItems: 8, maxLength: 2048, overlaps: true });
  expect((await warmUp(pipeline, sampleOf)).largestShapes).toEqual(shapes);
  expect(shapes).toHaveLength(1);
});

test("a model of one item a run has the longest one as its largest", async () => {
  const { pipeline } = recordingPipeline({ maxItems: 1, maxLength: 100 });
  expect(await warmUp(pipeline, sampleOf)).toEqual({
    budget: 100,
    runUnits: 16,
    largestShapes: [{ rows: 1, length: 100 }],
  });
});

test("a model without lengths is warmed by rows", async () => {
  const { pipeline } = recordingPipeline({ maxItems: 8, maxLength: 1 });
  const { budget, largestShapes } = await warmUp(pipeline, sampleOf);
  expect(budget).toBe(8);
  expect(largestShapes).toEqual([
    { rows: 1, length: 1 },
    { rows: 8, length: 1 },
  ]);
});

test.each([
  ["a run that costs 27 units by itself", 5.9, { rows: 12, ms: 41.1 }, 27],
  ["one that costs nothing by itself", 5, { rows: 12, ms: 60 }, 2],
  ["rows that cost nothing", 5, { rows: 12, ms: 5 }, 16],
  ["a first run that was held up", 50, { rows: 12, ms: 60 }, 32],
])("knows of two runs what one costs: %s", (_, singleMs, more, units) => {
  expect(runUnitsOf(32, singleMs, more)).toBeCloseTo(units, 0);
});
