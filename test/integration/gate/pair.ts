/** The committed pair: a small model of Chinese sentiment, a larger one, and the pre-gate that comes with the agent. */
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";
import { gatePolicySchema, type ItemResult } from "@autoglm/api";
import { createLogger } from "@autoglm/telemetry";
import type { InferenceEngine } from "../../../edge-agent/src/agent/ports.ts";
import {
  GatedEngine,
  GateState,
  shippedPreGate,
  type GatedEngineOptions,
} from "../../../edge-agent/src/gate/index.ts";
import { readModelFolder } from "../../../edge-agent/src/models/model-folder.ts";
import type { ParsedItem } from "../../../edge-agent/src/parse/index.ts";

const models = path.join(import.meta.dirname, "../../../models");
export const SMALL = path.join(models, "zh-sentiment-tiny");
export const LARGE = path.join(models, "zh-sentiment");
export const PRE_GATE = path.join(models, "gate");

/** Some the small model is sure of, some it is not. */
export const REVIEWS = [
  "房间很大，服务也不错，下次还会来。",
  "太差了，再也不会买了，千万别上当。",
  "一般般吧，没有想象中那么好，但也还行。",
  "书的内容很好，就是送来的时候封面破了。",
  "电池不耐用，屏幕倒是很清楚。",
  "朋友推荐的，说不上喜欢，也说不上讨厌。",
  "好",
  "",
] as const;

export const silent = createLogger({ name: "gate-test", level: "silent" });

export async function makeFolder(): Promise<AsyncDisposable & { readonly path: string }> {
  const folder = await mkdtemp(path.join(tmpdir(), "autoglm-gate-"));
  return { path: folder, [Symbol.asyncDispose]: () => rm(folder, { recursive: true, force: true }) };
}

export interface TestGate {
  readonly gate: GatedEngine;
  readonly infer: (texts: Iterable<string>) => Promise<ItemResult[]>;
}

/** A gate between the committed models, unless `change` says otherwise. */
export async function openGate(
  engine: InferenceEngine,
  folder: string,
  policy: Readonly<Record<string, unknown>> = {},
  change: Partial<GatedEngineOptions> & Partial<Parameters<InferenceEngine["infer"]>[0]> = {},
): Promise<TestGate> {
  const edge = readModelFolder(SMALL);
  const gate = await GatedEngine.open({
    engine,
    type: "text-classification",
    edge,
    deep: {
      name: "zh-sentiment",
      variant: "default",
      isEndpoint: false,
      find: async () => readModelFolder(LARGE),
    },
    preGate: shippedPreGate(),
    policy: gatePolicySchema.parse(policy),
    siteOnly: false,
    scope: "task.0",
    state: await GateState.open(path.join(folder, "gate"), silent),
    log: silent,
    ...change,
  });
  const infer = async (texts: Iterable<string>) => {
    const { prompts, signal = AbortSignal.timeout(50_000) } = change;
    await gate.load(edge, signal);
    const request = { model: edge, type: "text-classification", parameters: {}, prompts, signal } as const;
    const results: ItemResult[] = [];
    for await (const result of gate.infer({ ...request, items: itemsOf(texts) }))
      results[result.item] = result;
    return results;
  };
  return { gate, infer };
}

async function* itemsOf(texts: Iterable<string>): AsyncGenerator<ParsedItem> {
  let item = 0;
  for (const text of texts) yield { item: item++, text };
}
