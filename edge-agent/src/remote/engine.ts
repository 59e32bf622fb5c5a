/**
 * Engine for models at OpenAI-compatible endpoints: as many items at a time as the endpoint takes, each answered in its own
 * requests.
 *
 *     items ──▶ workers (endpoint's concurrency) ──▶ results ──▶ caller
 *
 * A worker takes the next item only when there is room for its result, so nothing piles up and nothing that was answered is
 * dropped: when the endpoint gives up, the requests under way are waited for and their results given before the error.
 */
import {
  AutoglmError,
  isAutoglmError,
  TASK_TYPE_CONTRACTS,
  toAutoglmError,
  type EndpointWorkModel,
  type ItemResult,
  type TaskType,
} from "@autoglm/api";
import type { Log, Metrics } from "@autoglm/telemetry";
import type { InferenceEngine, InferRequest } from "../agent/ports.ts";
import type { ParsedItem } from "../parse/index.ts";
import { assertPromptIsUsable } from "../prompted/check.ts";
import { EndpointClient, RequestRejected } from "./client.ts";
import { EndpointKeys } from "./keys.ts";
import type { REMOTE_METRICS } from "./metrics.ts";
import {
  OpenEndpoint,
  type AnsweredItem,
  type Asked,
  type FailedItem,
  type WholeItem,
} from "./open-endpoint.ts";
import type { RetryRules } from "./retry.ts";
import type { EndpointUsage } from "./usage.ts";
import { workThrough } from "./work-through.ts";

const DEFAULT_SILENCE_MS = 60_000;
/** Texts of one request for embeddings. */
const EMBEDDING_BATCH = 16;
const RECENT_ITEMS = 100;

export interface RemoteEngineOptions {
  /** Folder of keys, one file each (AUTOGLM_ENDPOINT_KEYS_DIR); undefined: endpoints without keys alone. */
  readonly keysFolder: string | undefined;
  /** What endpoints can is kept here. */
  readonly stateFolder: string | undefined;
  readonly log: Log;
  readonly metrics?: Pick<Metrics<typeof REMOTE_METRICS>, "count" | "observe"> | undefined;
  /** Longest silence of a server, before its answer and in the middle of it. Default 60 s. */
  readonly silenceMs?: number | undefined;
  readonly rules?: RetryRules | undefined;
}

interface Entry {
  readonly endpoint: OpenEndpoint;
  readonly model: EndpointWorkModel;
  opening: Promise<number> | undefined;
  readonly itemMs: number[];
  /** Tokens by kind that the metrics have counted. */
  readonly counted: Map<string, number>;
}

export class RemoteEngine implements InferenceEngine<EndpointWorkModel> {
  readonly #options: RemoteEngineOptions;
  readonly #keys: EndpointKeys;
  readonly #entries = new Map<string, Entry>();
  readonly #closed = new AbortController();

  constructor(options: RemoteEngineOptions) {
    this.#options = options;
    this.#keys = new EndpointKeys(options.keysFolder);
  }

  /**
   * Resolves when the endpoint has shown that it answers for the model; at once when it did before.
   * @throws AutoglmError `EndpointKeyMissing`, `EndpointRefused`, `EndpointUnavailable`, `Aborted`
   */
  async load(model: EndpointWorkModel, signal: AbortSignal): Promise<{ readonly loadMs: number }> {
    const entry = this.#entryOf(model);
    if (entry.opening !== undefined) {
      await entry.opening;
      return { loadMs: 0 };
    }
    const start = performance.now();
    const stop = AbortSignal.any([signal, this.#closed.signal]);
    entry.opening = this.#open(entry, stop).then(() => performance.now() - start);
    try {
      return { loadMs: await entry.opening };
    } catch (error) {
      entry.opening = undefined;
      throw asAgentError(error, stop);
    }
  }

  /**
   * @throws AutoglmError as {@link load} does, `PromptInvalid`, `PromptNeeded`, `ModelDoesNotServeType`, and whatever
   *   `items` throws; after the results of everything that was answered. Its details name the `items` whose request may have
   *   been answered although no answer came
   */
  async *infer(request: InferRequest<EndpointWorkModel>): AsyncGenerator<ItemResult> {
    const { model, type, items, parameters, prompts = [] } = request;
    assertTypeIsServed(request);
    for (const prompt of prompts) assertPromptIsUsable(prompt);
    await this.load(model, request.signal);
    const signal = AbortSignal.any([request.signal, this.#closed.signal]);
    const entry = this.#entryOf(model);
    const inDoubt: number[] = [];
    const results = workThrough<ParsedItem, ItemResult>(items, {
      workers: model.endpoint.maxConcurrency,
      batch: type === "feature-extraction" ? EMBEDDING_BATCH : 1,
      work: async (taken, stop) => {
        const asked = { type, prompts, parameters, signal: stop };
        const { results, failed } = await this.#answer(entry, taken, asked);
        inDoubt.push(...failed.filter(({ error }) => isInDoubt(error)).map(({ item }) => item));
        const [failure] = failed;
        return { results, ...(failure && { failure }) };
      },
      signal,
    });
    try {
      yield* results;
    } catch (error) {
      throw withItemsInDoubt(asAgentError(error, signal), inDoubt);
    }
  }

  reports() {
    return [...this.#entries.values()]
      .filter(({ opening }) => opening !== undefined)
      .map(({ model, itemMs }) => ({
        model: model.name,
        variant: model.variant,
        memoryBytes: 0,
        ...(itemMs.length > 0 && { itemMs: medianOf(itemMs) }),
      }));
  }

  usedBytes(): number {
    return 0;
  }

  /** What was spent at endpoints since the start, tokens among it. */
  usage(): readonly { readonly model: string; readonly variant: string; readonly usage: EndpointUsage }[] {
    return [...this.#entries.values()].map(({ model, endpoint }) => ({
      model: model.name,
      variant: model.variant,
      usage: endpoint.client.usage,
    }));
  }

  /** Names of the keys that this node holds. */
  keyNames(): Promise<readonly string[]> {
    return this.#keys.names();
  }

  async close(): Promise<void> {
    this.#closed.abort();
    await Promise.all([...this.#entries.values()].map(({ endpoint }) => endpoint.table.stored()));
  }

  #entryOf(model: EndpointWorkModel): Entry {
    const { endpoint, name, variant, contextLength } = model;
    const key = JSON.stringify([name, variant, contextLength, endpoint]);
    const known = this.#entries.get(key);
    if (known !== undefined) return known;
    const { silenceMs = DEFAULT_SILENCE_MS, stateFolder, rules } = this.#options;
    const client = new EndpointClient({
      url: endpoint.url,
      keyName: endpoint.keyName,
      keys: this.#keys,
      maxConcurrency: endpoint.maxConcurrency,
      silenceMs,
      rules,
    });
    const entry: Entry = {
      endpoint: new OpenEndpoint(model, client, stateFolder),
      model,
      opening: undefined,
      itemMs: [],
      counted: new Map(),
    };
    this.#entries.set(key, entry);
    return entry;
  }

  async #open({ endpoint, model }: Entry, signal: AbortSignal): Promise<void> {
    await endpoint.table.open(signal);
    const can = await endpoint.table.known();
    const { name, variant } = model;
    this.#options.log.info(
      { model: name, variant, flavour: endpoint.table.flavour, can },
      "an endpoint answers",
    );
  }

  async #answer(
    entry: Entry,
    taken: readonly ParsedItem[],
    asked: Asked,
  ): Promise<{ readonly results: readonly ItemResult[]; readonly failed: readonly FailedItem[] }> {
    const { endpoint } = entry;
    const broken: ItemResult[] = [];
    const whole: WholeItem[] = [];
    for (const parsed of taken) {
      if ("text" in parsed) whole.push(parsed);
      else broken.push({ item: parsed.item, stage: "final", ms: 0, error: parsed.error });
    }
    const outcomes =
      asked.type === "feature-extraction"
        ? await endpoint.embed(whole, asked)
        : await Promise.all(whole.map((item) => endpoint.answer(item, asked)));
    const answered = outcomes.filter((outcome) => "result" in outcome);
    const failed = outcomes.filter((outcome) => "error" in outcome);
    for (const { itemResult } of answered) {
      if (entry.itemMs.push(itemResult.ms) > RECENT_ITEMS) entry.itemMs.shift();
    }
    this.#count(entry, answered);
    this.#countUsage(entry);
    return { results: [...broken, ...answered.map(({ itemResult }) => itemResult)], failed };
  }

  #count({ model: { name: model } }: Entry, answered: readonly AnsweredItem[]): void {
    const { metrics } = this.#options;
    if (metrics === undefined) return;
    for (const { result } of answered) {
      const { dropped = 0, repaired, cutTo, coverage } = result.notes ?? {};
      const outcome = "output" in result ? "answered" : result.error.code;
      metrics.count("autoglm_endpoint_items_total", { model, outcome });
      if (dropped > 0) metrics.count("autoglm_endpoint_dropped_spans_total", { model }, dropped);
      if (repaired === true) metrics.count("autoglm_endpoint_repairs_total", { model });
      if (coverage !== undefined) {
        metrics.observe("autoglm_endpoint_choice_coverage_ratio", { model }, coverage);
      }
      if (cutTo !== undefined) metrics.count("autoglm_endpoint_cut_texts_total", { model });
    }
  }

  /** Since the last time it was counted: several items are under way at once, and share the client's sums. */
  #countUsage({ model: { name: model }, endpoint, counted }: Entry): void {
    const { metrics } = this.#options;
    if (metrics === undefined) return;
    const { usage } = endpoint.client;
    const kinds = {
      prompt: usage.promptTokens,
      completion: usage.completionTokens,
      reasoning: usage.reasoningTokens,
      cached: usage.cachedTokens,
    };
    for (const [kind, tokens] of Object.entries(kinds)) {
      const by = tokens - (counted.get(kind) ?? 0);
      if (by > 0) metrics.count("autoglm_endpoint_tokens_total", { model, kind }, by);
      counted.set(kind, tokens);
    }
  }
}

/** Types that an endpoint serves without a prompt. */
const UNPROMPTED: readonly TaskType[] = ["text-generation", "feature-extraction", "image-to-text"];

function assertTypeIsServed({ model, type, prompts = [] }: InferRequest<EndpointWorkModel>): void {
  if (UNPROMPTED.includes(type)) return;
  if (!TASK_TYPE_CONTRACTS[type].autoPrompt) {
    throw new AutoglmError(
      "ModelDoesNotServeType",
      `model ${model.name} is at an endpoint, which does not serve ${type}`,
    );
  }
  if (prompts.some(({ taskType }) => taskType === type)) return;
  const message = `${type} at an endpoint needs a prompt: set spec.prompt of the task`;
  throw new AutoglmError("PromptNeeded", message);
}

const isInDoubt = (error: unknown) => isAutoglmError(error) && error.details["mayHaveAnswered"] === true;

/** The first error of several ends the work: which requests may have been answered is said of all of them. */
function withItemsInDoubt(error: AutoglmError, items: readonly number[]): AutoglmError {
  if (items.length === 0) return error;
  const { code, message, retry } = error;
  const details = { ...error.details, mayHaveAnswered: true, items: items.toSorted((a, b) => a - b) };
  return new AutoglmError(code, message, { retry, cause: error, details });
}

function asAgentError(error: unknown, signal: AbortSignal): AutoglmError {
  if (signal.aborted) return new AutoglmError("Aborted", "stopped", { cause: error });
  if (error instanceof RequestRejected) {
    const message = `the endpoint does not take the simplest request for the model (${error.message}): check url and model of the endpoint in the AutoGLMModel`;
    return new AutoglmError("EndpointRefused", message, { cause: error });
  }
  return toAutoglmError(error);
}

function medianOf(values: readonly number[]): number {
  return values.toSorted((a, b) => a - b)[Math.floor(values.length / 2)] ?? 0;
}
