/**
 * One `infer` call through the gate.
 *
 *     items ─┬─► pre-gate ─┬─easy──► edge model ──► post-gate ──► result
 *            │   network   │             ▲              │
 *            │             │             │ no answer    │ doubtful
 *            │             └─hard──► deep model ◄───────┘
 *            └── no network: straight to the decision
 *
 * Every item read gives one result. No more than {@link MAX_OPEN_ITEMS} are open, so that each stage is bounded. The deep
 * model is asked for, loaded and connected to when the first item goes there, not before; when it fails as a whole, its
 * items get the edge's answer, and the next that is granted tries it anew. An edge model that fails as a whole ends the
 * request: then there is nothing to give.
 */
import { AutoglmError, type ItemResult } from "@autoglm/api";
import type { InferenceEngine, InferRequest, RunnableModel } from "../agent/ports.ts";
import type { ModelOnDisk } from "../models/model-store.ts";
import type { ParsedItem } from "../parse/index.ts";
import { Channel } from "./channel.ts";
import type { GatedItem, Gatekeeper, WholeItem } from "./gatekeeper.ts";

const MAX_OPEN_ITEMS = 256;

export interface GatedRequestOptions {
  readonly request: InferRequest;
  readonly engine: InferenceEngine;
  readonly keeper: Gatekeeper;
  /** The network of the pre-gate; undefined: nothing is predicted. */
  readonly preGate: ModelOnDisk | undefined;
  readonly deepName: NonNullable<ItemResult["answeredBy"]>;
  /** Has the deep model ready; shared by all requests. */
  readonly deep: () => Promise<RunnableModel>;
  readonly tokensOf: (item: WholeItem) => number;
  readonly onPreGateFailure: (error: unknown) => void;
}

/** Of the types whose answers are labels in order. */
const LABEL_TYPES: readonly string[] = [
  "text-classification",
  "zero-shot-classification",
  "image-classification",
  "image-text-matching",
];

export class GatedRequest {
  readonly #options: GatedRequestOptions;
  readonly #stop = new AbortController();
  readonly #signal: AbortSignal;
  readonly #open = new Map<number, GatedItem>();
  readonly #results = new Channel<ItemResult>();
  readonly #toPreGate = new Channel<ParsedItem>();
  readonly #toEdge = new Channel<ParsedItem>();
  #toDeep: Channel<ParsedItem> | undefined;
  /** Items that the deep model has, or is about to get. */
  readonly #atDeep = new Set<GatedItem>();
  #preGateRuns: boolean;
  #untaken = 0;
  #sourceEnded = false;
  #error: unknown;
  #room = Promise.withResolvers<void>();

  constructor(options: GatedRequestOptions) {
    this.#options = options;
    this.#signal = AbortSignal.any([options.request.signal, this.#stop.signal]);
    this.#preGateRuns = options.preGate !== undefined && options.keeper.predicts;
  }

  /** Results as they come. @throws what ended the edge model or the source of the items, and `Aborted` */
  async *run(): AsyncGenerator<ItemResult> {
    const onAbort = () => this.#fail(new AutoglmError("Aborted", "stopped"));
    this.#signal.addEventListener("abort", onAbort, { once: true });
    if (this.#signal.aborted) onAbort();
    else {
      void this.#read();
      void this.#runEdge();
      if (this.#preGateRuns) void this.#runPreGate();
    }
    try {
      for await (const result of this.#results) {
        this.#untaken--;
        this.#room.resolve();
        yield result;
      }
      if (this.#error !== undefined) throw this.#error;
    } finally {
      this.#signal.removeEventListener("abort", onAbort);
      this.#end();
      this.#stop.abort();
      for (const item of this.#open.values()) this.#options.keeper.abandon(item);
    }
  }

  async #read(): Promise<void> {
    const { request, keeper, tokensOf } = this.#options;
    try {
      for await (const parsed of request.items) {
        if (this.#signal.aborted) return;
        this.#untaken++;
        if ("error" in parsed) {
          this.#results.push({ item: parsed.item, stage: "final", ms: 0, error: parsed.error });
        } else {
          const item = keeper.admit(parsed, tokensOf(parsed));
          this.#open.set(parsed.item, item);
          this.#admit(item);
        }
        while (this.#untaken >= MAX_OPEN_ITEMS && !this.#signal.aborted) {
          this.#room = Promise.withResolvers();
          await this.#room.promise;
        }
      }
    } catch (error) {
      // What was read before is still answered.
      this.#error ??= error;
    }
    this.#sourceEnded = true;
    this.#endWhenDone();
  }

  #admit(item: GatedItem): void {
    const { keeper, request } = this.#options;
    if (!keeper.predicts) this.#toEdge.push(item.parsed);
    else if (this.#preGateRuns && item.parsed.text.trim() !== "") {
      const { item: number, text } = item.parsed;
      this.#toPreGate.push({ item: number, text, fields: { taskType: request.type } });
    } else this.#decidePre(item, null);
  }

  #decidePre(item: GatedItem, pHard: number | null): void {
    const { route } = this.#options.keeper.decidePre(item, pHard);
    if (route === "deep") void this.#escalate(item);
    else this.#toEdge.push(item.parsed);
  }

  async #runPreGate(): Promise<void> {
    const { engine, request, preGate, onPreGateFailure } = this.#options;
    if (preGate === undefined) return;
    try {
      const results = engine.infer({
        ...request,
        model: preGate,
        type: "tensor",
        items: this.#toPreGate,
        parameters: {},
        prompts: undefined,
        signal: this.#signal,
      });
      for await (const result of results) {
        const item = this.#open.get(result.item);
        if (item) this.#decidePre(item, hardnessOf(result));
      }
    } catch (error) {
      if (this.#signal.aborted) return;
      onPreGateFailure(error);
      this.#preGateRuns = false;
      for (const item of this.#open.values()) if (item.decision === undefined) this.#decidePre(item, null);
    }
  }

  async #runEdge(): Promise<void> {
    const { engine, request } = this.#options;
    try {
      // The lead of the best label over the second is a signal, also where the user wants one label.
      const parameters = this.#cutsLabels ? { ...request.parameters, topK: undefined } : request.parameters;
      const results = engine.infer({ ...request, items: this.#toEdge, parameters, signal: this.#signal });
      for await (const result of results) this.#onEdge(result);
    } catch (error) {
      this.#fail(error);
    }
  }

  #onEdge(result: ItemResult): void {
    const item = this.#open.get(result.item);
    if (item === undefined) return;
    const { keeper } = this.#options;
    // The deep model had its turn before.
    if (item.decision?.rule === "DeepFailed") {
      item.edge = result;
      this.#finish(item, result);
    } else if (keeper.decidePost(item, result).route === "deep") void this.#escalate(item);
    else this.#finish(item, result);
  }

  async #escalate(item: GatedItem): Promise<void> {
    this.#atDeep.add(item);
    try {
      await this.#options.keeper.covered();
    } catch {
      // A budget that can't be written down can't be spent.
      if (this.#atDeep.delete(item)) this.#fallBack(item, () => this.#options.keeper.noteUnsent(item));
      return;
    }
    // The deep model may have failed as a whole meanwhile: then the item has its edge answer.
    if (this.#signal.aborted || !this.#atDeep.has(item)) return;
    this.#toDeep ??= this.#startDeep();
    this.#toDeep.push(item.parsed);
  }

  #startDeep(): Channel<ParsedItem> {
    const channel = new Channel<ParsedItem>();
    void this.#runDeep(channel);
    return channel;
  }

  async #runDeep(channel: Channel<ParsedItem>): Promise<void> {
    const { engine, request, deep, keeper } = this.#options;
    try {
      const model = await deep();
      if (this.#signal.aborted) return;
      const results = engine.infer({ ...request, model, items: channel, signal: this.#signal });
      for await (const result of results) this.#onDeep(result);
    } catch (error) {
      if (this.#signal.aborted) return;
      this.#toDeep = undefined;
      const failed = [...this.#atDeep];
      this.#atDeep.clear();
      for (const item of failed) this.#fallBack(item, () => keeper.noteFailure(item, error));
    }
  }

  #onDeep(result: ItemResult): void {
    const item = this.#open.get(result.item);
    if (item === undefined || !this.#atDeep.delete(item)) return;
    const { keeper } = this.#options;
    if (result.error !== undefined) {
      const { error } = result;
      this.#fallBack(item, () => keeper.noteFailure(item, error));
    } else {
      keeper.noteAnswer(item, result);
      this.#finish(item, result);
    }
  }

  #fallBack(item: GatedItem, note: () => unknown): void {
    note();
    if (item.edge) this.#finish(item, item.edge);
    else this.#toEdge.push(item.parsed);
  }

  #finish(item: GatedItem, answer: ItemResult): void {
    this.#open.delete(item.parsed.item);
    const { keeper, request, deepName } = this.#options;
    const ms = answer.ms + (item.edge && item.edge !== answer ? item.edge.ms : 0);
    const { name: model, variant } = request.model;
    const answeredBy = answer.answeredBy ?? (answer === item.edge ? { model, variant } : deepName);
    const topK = this.#cutsLabels ? request.parameters.topK : undefined;
    this.#results.push({
      ...withFirstLabels(answer, topK),
      ms,
      answeredBy,
      gate: keeper.recordOf(item),
    });
    this.#endWhenDone();
  }

  get #cutsLabels(): boolean {
    const { type, parameters } = this.#options.request;
    return parameters.topK !== undefined && LABEL_TYPES.includes(type);
  }

  #endWhenDone(): void {
    if (this.#sourceEnded && this.#open.size === 0) this.#end();
  }

  #fail(error: unknown): void {
    this.#error ??= error;
    this.#end();
    this.#stop.abort();
  }

  #end(): void {
    for (const channel of [this.#toPreGate, this.#toEdge, this.#toDeep, this.#results]) channel?.close();
    this.#room.resolve();
  }
}

function hardnessOf({ output }: ItemResult): number | null {
  const value = output?.type === "tensor" ? output.outputs[0]?.data[0] : undefined;
  return typeof value === "number" && value >= 0 && value <= 1 ? value : null;
}

function withFirstLabels(result: ItemResult, topK: number | undefined): ItemResult {
  const { output } = result;
  if (topK === undefined || output === undefined || !("labels" in output)) return result;
  return { ...result, output: { ...output, labels: output.labels.slice(0, topK) } };
}
