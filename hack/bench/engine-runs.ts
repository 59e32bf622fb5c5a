/** The agent's engine, driven as the agent drives it: child processes, batching, results checked by nobody else. */
import { availableParallelism } from "node:os";
import type { ItemResult } from "@autoglm/api";
import { createLogger } from "@autoglm/telemetry";
import { createEngine, type Engine } from "../../edge-agent/src/engine/index.ts";
import type { ParsedItem } from "../../edge-agent/src/parse/index.ts";
import type { PipelineItem } from "../../edge-agent/src/pipelines/pipeline.ts";
import type { Subject } from "./subjects.ts";

export function startEngine(): Engine {
  return createEngine({
    threads: availableParallelism(),
    memoryBudgetBytes: 8 * 1024 ** 3,
    log: createLogger({ name: "bench", level: "error" }),
  });
}

export async function inferAll(
  engine: Engine,
  { model, type, texts, parameters }: Subject,
): Promise<readonly ItemResult[]> {
  async function* items(): AsyncGenerator<ParsedItem> {
    for (const [item, text] of texts.entries()) yield { item, text };
  }
  const { signal } = new AbortController();
  const results: ItemResult[] = [];
  for await (const result of engine.infer({ model, type, items: items(), parameters, signal }))
    results.push(result);
  const failed = results.find(({ error }) => error !== undefined);
  if (failed !== undefined || results.length !== texts.length)
    throw new Error(`${model.name}: not every item has an output`);
  return results;
}

/** Items, or for generation the tokens of the answers. */
export function countOutput(results: readonly Pick<ItemResult, "output">[]): number {
  return results.reduce(
    (sum, { output }) => sum + (output?.type === "text-generation" ? output.completion_tokens : 1),
    0,
  );
}

/** The runs that the results came from: all of one run come together, with the same share of its time. */
export function batchesOf(
  results: readonly ItemResult[],
  { type, texts, parameters }: Subject,
): readonly (readonly PipelineItem[])[] {
  const batches: PipelineItem[][] = [];
  let last: number | undefined;
  for (const { item, ms } of results) {
    if (ms !== last) batches.push([]);
    last = ms;
    batches.at(-1)?.push({ type, text: texts[item] ?? "", parameters });
  }
  return batches;
}
