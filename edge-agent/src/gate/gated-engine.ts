/**
 * Two models behind the port of one: a small one at the edge that answers most items, and a deep one for what is too hard
 * for it. What is hard, and what may leave, is the policy's to say (core/src/gate/policy.ts).
 */
import type { GatePolicy, ItemResult, TaskType, WorkSpec } from "@autoglm/api";
import type { Log } from "@autoglm/telemetry";
import type { InferenceEngine, InferRequest, RunnableModel } from "../agent/ports.ts";
import type { ModelOnDisk } from "../models/model-store.ts";
import type { GateState } from "./gate-state.ts";
import { GatedRequest } from "./gated-request.ts";
import { Gatekeeper, type WholeItem } from "./gatekeeper.ts";

export interface GatedEngineOptions {
  /** Runs both models and the network of the pre-gate. Stays the caller's: closing the gate leaves it open. */
  readonly engine: InferenceEngine;
  readonly type: TaskType;
  readonly edge: { readonly name: string; readonly variant: string };
  readonly deep: {
    readonly name: string;
    readonly variant: string;
    /** Answers may be billed by the token. */
    readonly isEndpoint: boolean;
    /** Called when the first item is to go there: downloads what it needs. */
    readonly find: (signal: AbortSignal) => Promise<RunnableModel>;
  };
  readonly preGate: ModelOnDisk | undefined;
  readonly policy: GatePolicy;
  /** Inputs must not leave the node, and the deep model is elsewhere. */
  readonly siteOnly: boolean;
  /** What the budget counts for, a run of a task; one gate at a time: letters, digits, `.`, `_` and `-`. */
  readonly scope: string;
  readonly state: GateState;
  readonly log: Log;
  readonly now?: () => number;
  readonly random?: () => number;
}

export class GatedEngine implements InferenceEngine {
  readonly #options: GatedEngineOptions;
  readonly #keeper: Gatekeeper;
  /** The deep model once it is loaded, or on its way; a failure is forgotten, so that the next one tries. */
  #deep: Promise<RunnableModel> | undefined;
  readonly #closed = new AbortController();

  private constructor(options: GatedEngineOptions, keeper: Gatekeeper) {
    this.#options = options;
    this.#keeper = keeper;
  }

  /** Reads what is known from before; loads nothing. */
  static async open(options: GatedEngineOptions): Promise<GatedEngine> {
    const { state, scope, policy, siteOnly, type, edge, deep, log, now, random } = options;
    const keeper = await Gatekeeper.open({
      state,
      scope,
      policy,
      siteOnly,
      type,
      edge: `${edge.name}/${edge.variant}`,
      deep: `${deep.name}/${deep.variant}`,
      log,
      now: now ?? Date.now,
      random: random ?? Math.random,
    });
    return new GatedEngine(options, keeper);
  }

  /** The edge model and the network of the pre-gate; never the deep model. */
  async load(model: RunnableModel, signal: AbortSignal): Promise<{ readonly loadMs: number }> {
    const { engine, preGate } = this.#options;
    const loaded = await engine.load(model, signal);
    if (preGate === undefined || !this.#keeper.predicts) return loaded;
    const { loadMs } = await engine.load(preGate, signal).catch((error: unknown) => {
      signal.throwIfAborted();
      this.#notePreGateFailure(error);
      return { loadMs: 0 };
    });
    return { loadMs: loaded.loadMs + loadMs };
  }

  infer(request: InferRequest): AsyncIterable<ItemResult> {
    const { engine, preGate, deep } = this.#options;
    return new GatedRequest({
      request,
      engine,
      keeper: this.#keeper,
      preGate,
      deepName: { model: deep.name, variant: deep.variant },
      deep: () => this.#findDeep(),
      tokensOf: (item) =>
        deep.isEndpoint || request.type === "text-generation" ? mostTokens(item, request) : 0,
      onPreGateFailure: (error) => this.#notePreGateFailure(error),
    }).run();
  }

  reports(): ReturnType<InferenceEngine["reports"]> {
    return this.#options.engine.reports();
  }

  usedBytes(): number {
    return this.#options.engine.usedBytes();
  }

  /** What the gate learned, spent and decided is on the disk when it resolves. */
  async close(): Promise<void> {
    this.#closed.abort();
    await this.#keeper.close();
  }

  /** For all requests: one that ends takes the model from no other. */
  async #findDeep(): Promise<RunnableModel> {
    const { engine, deep, log } = this.#options;
    const { signal } = this.#closed;
    const finding = (this.#deep ??= (async () => {
      log.info({ model: deep.name, variant: deep.variant }, "the gate opens: loading the deep model");
      const model = await deep.find(signal);
      await engine.load(model, signal);
      return model;
    })());
    try {
      return await finding;
    } catch (error) {
      if (this.#deep === finding) this.#deep = undefined;
      throw error;
    }
  }

  #notePreGateFailure(error: unknown): void {
    this.#options.log.warn(
      { error },
      "the gate's network can't predict what is hard; the edge model tries all",
    );
  }
}

/** Tokens of an answer whose length nobody limits. */
const ANSWER_TOKENS = 512;
/** What a chat template and instructions add, where no prompt says. */
const TEMPLATE_TOKENS = 64;

/** No tokenizer makes more tokens of a text than it has bytes. */
function mostTokens({ text, fields = {} }: WholeItem, { parameters, prompts = [] }: InferRequest): number {
  const texts = [text, ...Object.values(fields)].reduce((sum, part) => sum + Buffer.byteLength(part), 0);
  const instructions = Math.max(
    TEMPLATE_TOKENS,
    ...prompts.map((prompt) => Buffer.byteLength(JSON.stringify(prompt))),
  );
  const answer =
    parameters.maxNewTokens ?? Math.max(0, ...prompts.map(({ maxNewTokens = 0 }) => maxNewTokens));
  // An answer that breaks its form is asked for once more.
  return 2 * (texts + instructions + (answer || ANSWER_TOKENS));
}

/** How a work specification says it, with what the agent adds. */
export function gateOptionsOf(
  spec: WorkSpec & { readonly gating: NonNullable<WorkSpec["gating"]> },
  run: number,
  parts: Pick<GatedEngineOptions, "engine" | "preGate" | "state" | "log"> & {
    /** Makes a model of a specification runnable. */
    readonly find: (model: WorkSpec["model"], signal: AbortSignal) => Promise<RunnableModel>;
  },
): GatedEngineOptions {
  const { find, ...rest } = parts;
  const { deep, policy } = spec.gating;
  const { name, variant } = deep;
  return {
    ...rest,
    type: spec.type,
    edge: spec.model,
    deep: { name, variant, isEndpoint: deep.runtime === "openai", find: (signal) => find(deep, signal) },
    policy,
    // Between two models of this node nothing leaves it.
    siteOnly: spec.siteOnly === true && deep.runtime === "openai",
    scope: `${spec.task.uid}.${run}`,
  };
}
