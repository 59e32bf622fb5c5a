import { setTimeout as sleep } from "node:timers/promises";
import { AutoglmError, type ItemResult } from "@autoglm/api";
import type { InferenceEngine, InferRequest, RunnableModel } from "../agent/ports.ts";
import type { ParsedItem } from "../parse/index.ts";

type Text = Extract<ParsedItem, { text: string }>;
type Answer = ItemResult["output"] | ItemResult["error"];

/** What a model says to a text; an error that is thrown ends the whole request. */
export type Script = (item: Text) => Answer | Promise<Answer>;

/** Models that say what a test wants, one item after the other or all at once, and count what they were asked. */
export class ScriptedEngine implements InferenceEngine {
  readonly #scripts: Readonly<Record<string, Script>>;
  readonly loaded: string[] = [];
  readonly asked: Record<string, string[]> = {};
  /** Failures of loading that are still to come, by model. */
  readonly loadFailures: Record<string, number> = {};

  constructor(scripts: Readonly<Record<string, Script>>) {
    this.#scripts = scripts;
  }

  async load(model: RunnableModel): Promise<{ loadMs: number }> {
    const failures = this.loadFailures[model.name] ?? 0;
    if (failures > 0) {
      this.loadFailures[model.name] = failures - 1;
      throw new AutoglmError("ModelUnavailable", "scripted");
    }
    this.loaded.push(model.name);
    return { loadMs: 1 };
  }

  async *infer({ model, items, signal }: InferRequest): AsyncGenerator<ItemResult> {
    const answering = new Set<Promise<void>>();
    const ready: ItemResult[] = [];
    let failure: unknown;
    let isEnded = false;
    let wake = Promise.withResolvers<void>();
    const reading = (async () => {
      for await (const item of items) {
        const answer = this.#answer(model.name, item)
          .then((result) => void ready.push(result))
          .catch((error: unknown) => {
            failure ??= error;
          })
          .finally(() => {
            answering.delete(answer);
            wake.resolve();
          });
        answering.add(answer);
      }
      isEnded = true;
      wake.resolve();
    })();
    const onAbort = () => wake.resolve();
    signal.addEventListener("abort", onAbort);
    for (;;) {
      if (signal.aborted) throw new AutoglmError("Aborted", "stopped");
      if (failure !== undefined) throw failure;
      const result = ready.shift();
      if (result) yield result;
      else if (isEnded && answering.size === 0) break;
      else {
        await wake.promise;
        wake = Promise.withResolvers();
      }
    }
    await reading;
  }

  async #answer(model: string, item: ParsedItem): Promise<ItemResult> {
    if (!("text" in item)) throw new Error("the gate sends whole items alone");
    (this.asked[model] ??= []).push(item.text);
    await sleep(0);
    const answer = await this.#scripts[model]?.(item);
    const common = { item: item.item, stage: "final", ms: 1 } as const;
    if (answer && "code" in answer) return { ...common, error: answer };
    return answer ? { ...common, output: answer } : { ...common, error: { code: "Internal", message: "" } };
  }

  reports(): [] {
    return [];
  }

  usedBytes(): number {
    return 0;
  }

  async close(): Promise<void> {}
}

export const label = (name: string, score: number): ItemResult["output"] => ({
  type: "text-classification",
  labels: [
    { label: name, score },
    { label: name === "good" ? "bad" : "good", score: 1 - score },
  ],
  scoreSource: "probability",
});

export const hardness = (pHard: number): ItemResult["output"] => ({
  type: "tensor",
  outputs: [{ name: "p_hard", datatype: "FP32", shape: [1], data: [pHard] }],
  scoreSource: "none",
});
