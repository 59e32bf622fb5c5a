import type { Pipeline, PipelineItem } from "../pipelines/pipeline.ts";
import type { Serving } from "./protocol.ts";

const BUDGETS = [128, 256, 512, 1024] as const;
const CALIBRATION_LENGTH = 32;
/** A larger budget delays what waits behind it; it has to gain this much. */
const WORTHWHILE_GAIN = 1.05;
/** Calibration ends after this part of the time that loading took, so that a model is not late for its own good. */
const CALIBRATION_SHARE = 0.25;

/**
 * Runs the smallest and the largest shape once, so that no request pays for first allocations, and finds the budget of
 * padded characters per run with the highest throughput on this machine.
 * @param loadMs how long loading took
 */
export async function warmUp(pipeline: Pipeline, loadMs: number): Promise<Serving> {
  const { taskType, batching } = pipeline;
  const { maxItems, maxLength } = batching;
  if (maxItems === 1) {
    await timeRun(pipeline, [sample(1)]);
    return { taskType, maxItems, maxLength, budget: maxLength };
  }
  await timeRun(pipeline, [sample(1)]);
  await timeRun(pipeline, [sample(maxLength)]);
  const deadline = performance.now() + loadMs * CALIBRATION_SHARE;
  let best = { budget: BUDGETS[0] as number, rate: 0 };
  for (const budget of BUDGETS) {
    const rows = budget / CALIBRATION_LENGTH;
    if (rows > maxItems || performance.now() > deadline) break;
    const items = Array.from({ length: rows }, () => sample(CALIBRATION_LENGTH));
    const ms = Math.min(await timeRun(pipeline, items), await timeRun(pipeline, items));
    if (budget / ms > best.rate * WORTHWHILE_GAIN) best = { budget, rate: budget / ms };
  }
  return { taskType, maxItems, maxLength, budget: best.budget };
}

const sample = (length: number): PipelineItem => ({
  text: "样".repeat(length),
  parameters: { maxNewTokens: 2 },
});

async function timeRun(pipeline: Pipeline, items: readonly PipelineItem[]): Promise<number> {
  const start = performance.now();
  await pipeline.run(items, () => undefined);
  return performance.now() - start;
}
