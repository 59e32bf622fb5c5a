import { setImmediate } from "node:timers/promises";
import type { Pipeline, PipelineItem } from "../pipelines/pipeline.ts";
import type { Serving } from "./protocol.ts";

/** Until calibration is done; a gain over single items for every model that was measured. */
const FIRST_BUDGET = 256;
const BUDGETS = [128, 256, 512, 1024] as const;
const CALIBRATION_LENGTH = 32;
/** A larger budget delays what waits behind it; it has to gain this much. */
const WORTHWHILE_GAIN = 1.05;

/** Runs the smallest and the largest shape once, so that no request pays for first allocations. */
export async function warmUp(pipeline: Pipeline): Promise<Serving> {
  const { taskType, batching } = pipeline;
  const { maxItems, maxLength } = batching;
  await timeRun(pipeline, [sample(1)]);
  if (maxItems === 1) return { taskType, maxItems, maxLength, budget: maxLength };
  await timeRun(pipeline, [sample(maxLength)]);
  return { taskType, maxItems, maxLength, budget: FIRST_BUDGET };
}

/**
 * Finds the budget of padded characters per run that costs the least processor time per character; that, unlike time
 * by the clock, is the same on a busy machine.
 * @param isIdle asked before every run: real work goes first
 * @returns undefined when there is nothing to choose, or real work came
 */
export async function calibrate(pipeline: Pipeline, isIdle: () => boolean): Promise<number | undefined> {
  let best: { readonly budget: number; readonly rate: number } | undefined;
  for (const budget of BUDGETS) {
    const rows = budget / CALIBRATION_LENGTH;
    if (rows > pipeline.batching.maxItems) break;
    const items = Array.from({ length: rows }, () => sample(CALIBRATION_LENGTH));
    let cost = Infinity;
    for (let repetition = 0; repetition < 2; repetition++) {
      if (!isIdle()) return undefined;
      cost = Math.min(cost, await timeRun(pipeline, items));
      // Lets a message in that has arrived meanwhile.
      await setImmediate();
    }
    const rate = budget / cost;
    if (best === undefined || rate > best.rate * WORTHWHILE_GAIN) best = { budget, rate };
  }
  return pipeline.batching.maxItems === 1 ? undefined : best?.budget;
}

const sample = (length: number): PipelineItem => ({
  text: "样".repeat(length),
  parameters: { maxNewTokens: 2 },
});

/** Processor milliseconds. */
async function timeRun(pipeline: Pipeline, items: readonly PipelineItem[]): Promise<number> {
  const start = process.cpuUsage();
  await pipeline.run(items, () => undefined);
  const { user, system } = process.cpuUsage(start);
  return (user + system) / 1000;
}
