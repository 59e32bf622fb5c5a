/**
 * Runs every shape that work will have once before the model counts as ready, so that no request pays for first
 * allocations, and takes the time of each: a larger run is worth its delay only where it costs less per unit. A further
 * process of the model runs the largest shapes alone: they allocate what the others need, and their times are known.
 */
import type { TaskType } from "@autoglm/api";
import type { NamedTensor, Pipeline, PipelineItem } from "../pipelines/pipeline.ts";
import { isPadded, type TensorConfig } from "../pipelines/tensor-contract.ts";
import { elementCount, newTensorData } from "../pipelines/tensor-data.ts";
import type { RunCosts, RunShape, Warmed } from "./protocol.ts";

/** Until calibration is done: a budget that gains for every model that was measured, and a run's cost between theirs. */
const FIRST_BUDGET = 384;
const FIRST_RUN_UNITS = 16;
/** Those between them differ by less than what two runs show: MiniLM costs 2 % less at 384 than at 256 and at 512. */
const BUDGETS = [128, 384, 1024] as const;
const CALIBRATION_LENGTH = 32;
/** Whatever was measured, a row more is worth some padding. */
const LEAST_RUN_UNITS = 2;
/** A larger budget delays what waits behind it; it has to gain this much. */
const WORTHWHILE_GAIN = 1.05;
/**
 * A decoder has a shape for every length of every row, and its first run costs the most: of SmolLM2 150 ms instead of 128,
 * any other shape the first time as much as the third.
 */
const DECODER_SHAPE: RunShape = { rows: 1, length: 16 };
/** Of all shapes together, and of the shape beyond which larger ones are not tried. */
const WARM_UP_MS = 5000;
const LONGEST_RUN_MS = 250;

export type SampleOf = (length: number) => PipelineItem;

/** What the pipeline names, tensors of that size along the padded axis, or a text of that many characters. */
export function samplesFor(pipeline: Pipeline, contract: TensorConfig | undefined): SampleOf {
  const type: TaskType = pipeline.taskTypes[0] ?? "text-classification";
  if (pipeline.sample !== undefined) return pipeline.sample;
  if (contract === undefined)
    return (length) => ({ type, text: "样".repeat(length), parameters: { maxNewTokens: 2 } });
  return (length) => ({ type, text: "", tensors: sampleTensors(contract, length), parameters: {} });
}

function sampleTensors(contract: TensorConfig, length: number): NamedTensor[] {
  return contract.inputs.map(({ name, datatype, shape: declared }) => {
    const shape = declared.map((size, axis) => {
      if (size !== -1) return size;
      return isPadded(declared, contract.paddedAxis) && axis === contract.paddedAxis ? length : 1;
    });
    return { name, datatype, shape, data: newTensorData(datatype, elementCount(shape)) };
  });
}

/**
 * @param sampleOf see {@link samplesFor}
 * @returns the budget to begin with; of the shapes, the longest single item and the batch of most rows × length
 */
export async function warmUp(pipeline: Pipeline, sampleOf: SampleOf): Promise<Warmed> {
  const { maxItems, maxLength, overlaps = false } = pipeline.batching;
  if (overlaps) {
    await warmUpShapes(pipeline, sampleOf, [DECODER_SHAPE]);
    return { budget: FIRST_BUDGET, runUnits: FIRST_RUN_UNITS, largestShapes: [DECODER_SHAPE] };
  }
  const start = performance.now();
  const isOver = () => performance.now() - start > WARM_UP_MS;
  const lengths = powersOfTwo(maxLength);
  let longest = 1;
  for (const length of lengths) {
    const before = performance.now();
    await pipeline.run([sampleOf(length)], NO_HOOKS);
    longest = length;
    if (isOver() || performance.now() - before > LONGEST_RUN_MS) break;
  }
  const single = { rows: 1, length: longest };
  const runUnits = FIRST_RUN_UNITS;
  if (maxItems === 1) return { budget: maxLength, runUnits, largestShapes: [single] };
  const budget = maxLength === 1 ? maxItems : FIRST_BUDGET;
  let batch: RunShape = { rows: 1, length: 1 };
  for (const length of lengths.filter((candidate) => candidate <= longest)) {
    for (const rows of powersOfTwo(Math.min(maxItems, Math.floor(budget / length)))) {
      if (rows === 1) continue;
      if (isOver()) return { budget, runUnits, largestShapes: [single, batch] };
      const before = performance.now();
      await pipeline.run(rowsOf(sampleOf, rows, length), NO_HOOKS);
      if (rows * length >= batch.rows * batch.length) batch = { rows, length };
      if (performance.now() - before <= LONGEST_RUN_MS) continue;
      if (maxLength === 1) return { budget: rows, runUnits, largestShapes: [single, batch] };
      break;
    }
  }
  return { budget, runUnits, largestShapes: [single, batch] };
}

/** Runs these shapes once, the ones that {@link warmUp} found in another process. */
export async function warmUpShapes(
  pipeline: Pipeline,
  sampleOf: SampleOf,
  shapes: readonly RunShape[],
): Promise<void> {
  for (const { rows, length } of shapes) await pipeline.run(rowsOf(sampleOf, rows, length), NO_HOOKS);
}

/**
 * Finds the budget of padded units per run that costs the least processor time per unit, and what a run costs by itself;
 * processor time, unlike time by the clock, is the same on a busy machine.
 * @param isIdle asked before every run: real work goes first
 * @returns undefined when there is nothing to choose, or real work came
 */
export async function calibrate(
  pipeline: Pipeline,
  sampleOf: SampleOf,
  isIdle: () => boolean,
): Promise<RunCosts | undefined> {
  const { maxItems, maxLength, overlaps } = pipeline.batching;
  if (maxItems === 1 || maxLength === 1 || overlaps === true) return undefined;
  const length = Math.min(CALIBRATION_LENGTH, maxLength);
  const single = await timeRuns(pipeline, rowsOf(sampleOf, 1, length), isIdle);
  if (single === undefined) return undefined;
  let best: { readonly rows: number; readonly budget: number; readonly ms: number } | undefined;
  for (const budget of BUDGETS) {
    const rows = Math.floor(budget / length);
    if (rows > maxItems) break;
    const ms = await timeRuns(pipeline, rowsOf(sampleOf, rows, length), isIdle);
    if (ms === undefined) return undefined;
    const isBetter = best === undefined || budget / ms > (best.budget / best.ms) * WORTHWHILE_GAIN;
    if (isBetter) best = { rows, budget, ms };
  }
  if (best === undefined) return undefined;
  return { budget: best.budget, runUnits: runUnitsOf(length, single, best) };
}

/**
 * What a run costs by itself, of two runs: a line through both meets the axis at what no row costs.
 * @param length of every row
 * @param singleMs of a run of one row
 * @returns units, from 2 to those of a row
 */
export function runUnitsOf(
  length: number,
  singleMs: number,
  more: { readonly rows: number; readonly ms: number },
): number {
  const rowMs = (more.ms - singleMs) / (more.rows - 1);
  const units = ((singleMs - rowMs) / rowMs) * length;
  return Number.isFinite(units) ? Math.min(Math.max(units, LEAST_RUN_UNITS), length) : FIRST_RUN_UNITS;
}

const NO_HOOKS = { onProgress: () => undefined };

const nextTurn = () => new Promise<void>((resolve) => setImmediate(resolve));

const rowsOf = (sampleOf: SampleOf, rows: number, length: number) =>
  Array.from({ length: rows }, () => sampleOf(length));

/** 1, 2, 4, … and the largest itself. */
function powersOfTwo(largest: number): readonly number[] {
  const sizes: number[] = [];
  for (let size = 1; size < largest; size *= 2) sizes.push(size);
  return [...sizes, Math.max(1, largest)];
}

/** Processor milliseconds of the faster of two runs; undefined when real work came. */
async function timeRuns(
  pipeline: Pipeline,
  items: readonly PipelineItem[],
  isIdle: () => boolean,
): Promise<number | undefined> {
  let least = Infinity;
  for (let repetition = 0; repetition < 2; repetition++) {
    if (!isIdle()) return undefined;
    const start = process.cpuUsage();
    await pipeline.run(items, NO_HOOKS);
    const { user, system } = process.cpuUsage(start);
    least = Math.min(least, (user + system) / 1000);
    // Lets a message in that has arrived meanwhile.
    await nextTurn();
  }
  return least;
}
