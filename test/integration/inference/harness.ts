import { readdirSync, readFileSync } from "node:fs";
import type { ItemResult } from "@autoglm/api";
import { createLogger } from "@autoglm/telemetry";
import {
  createEngine,
  type Engine,
  type EngineOptions,
  type InferOptions,
  type ModelOnDisk,
} from "../../../edge-agent/src/engine/index.ts";
import type { ParsedItem } from "../../../edge-agent/src/parse/index.ts";

const GIBIBYTE = 2 ** 30;

export function startEngine(options: Partial<EngineOptions> = {}): Engine & AsyncDisposable {
  const engine = createEngine({
    threads: 2,
    memoryBudgetBytes: 4 * GIBIBYTE,
    log: createLogger({ name: "inference-test", level: "silent" }),
    ...options,
  });
  return Object.assign(engine, { [Symbol.asyncDispose]: () => engine.close() });
}

export async function* itemsOf(texts: Iterable<string>): AsyncGenerator<ParsedItem> {
  let item = 0;
  for (const text of texts) yield { item: item++, text };
}

export async function* imagesOf(images: Iterable<Uint8Array>): AsyncGenerator<ParsedItem> {
  let item = 0;
  for (const bytes of images) yield { item: item++, text: "", media: { type: "image/png", bytes } };
}

type Request = Omit<InferOptions, "items" | "parameters" | "signal"> & Partial<InferOptions>;

export function infer(engine: Engine, request: Request & { readonly texts?: Iterable<string> }) {
  const { texts = [], ...rest } = request;
  return engine.infer({
    items: itemsOf(texts),
    parameters: {},
    signal: AbortSignal.timeout(50_000),
    ...rest,
  });
}

/** All results by item number, which has to be gapless. */
export async function collect(results: AsyncIterable<ItemResult>): Promise<ItemResult[]> {
  const byItem: ItemResult[] = [];
  let count = 0;
  for await (const result of results) {
    byItem[result.item] = result;
    count++;
  }
  if (byItem.length !== count) throw new Error(`${count} results for items 0 to ${byItem.length - 1}`);
  return byItem;
}

/** What is under test with a fixture whose run time depends on its input; see fixtures/make_slow_classifier.py. */
export const slowModel: ModelOnDisk = {
  name: "slow-classifier",
  variant: "fp32",
  directory: `${import.meta.dirname}/fixtures/slow-classifier`,
  contextLength: 16,
  memoryBytes: 100 * 2 ** 20,
  digest: "slow-classifier",
};

/** Inference processes whose parent is this process, or the given one. */
export function inferenceProcesses(parent = process.pid): number[] {
  return readdirSync("/proc")
    .filter((name) => /^\d+$/.test(name))
    .filter((pid) => {
      try {
        const [, ppid] = /\) \S (\d+)/.exec(readFileSync(`/proc/${pid}/stat`, "latin1")) ?? [];
        return (
          Number(ppid) === parent && readFileSync(`/proc/${pid}/cmdline`, "latin1").includes("engine/worker")
        );
      } catch {
        return false;
      }
    })
    .map(Number);
}
