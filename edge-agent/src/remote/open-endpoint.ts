import type { EndpointWorkModel, ItemResult, TaskType, WorkPrompt } from "@autoglm/api";
import type { ParsedItem } from "../parse/index.ts";
import type { Parameters } from "../pipelines/pipeline.ts";
import type { BiasCache } from "../prompted/classify.ts";
import { itemError, type PromptedResult } from "../prompted/result.ts";
import { CapabilityTable } from "./capabilities.ts";
import { RequestRejected, type EndpointClient } from "./client.ts";
import { embedTexts } from "./embeddings.ts";
import { answerItem } from "./item-answer.ts";
import { RemoteModel } from "./remote-model.ts";

export interface Asked {
  readonly type: TaskType;
  readonly prompts: readonly WorkPrompt[];
  readonly parameters: Parameters;
  readonly signal: AbortSignal;
}

/** An item with its result; `result` knows more than what leaves the node. */
export interface AnsweredItem {
  readonly itemResult: ItemResult;
  readonly result: PromptedResult;
}

/** An item for which nothing came, and why: that ends the work. */
export interface FailedItem {
  readonly item: number;
  readonly error: unknown;
}

type TextOutcome =
  | { readonly result: PromptedResult; readonly served: string | undefined }
  | { readonly error: unknown };

/** An item that the parser made something of. */
export type WholeItem = Extract<ParsedItem, { text: string }>;

/** A model at an endpoint that answers: its client, what it can, and what was learned about its bias. */
export class OpenEndpoint {
  readonly client: EndpointClient;
  readonly table: CapabilityTable;
  readonly #model: EndpointWorkModel;
  readonly #biases: BiasCache = new Map();

  constructor(model: EndpointWorkModel, client: EndpointClient, stateFolder: string | undefined) {
    this.#model = model;
    this.client = client;
    this.table = new CapabilityTable(client, model.endpoint.model, stateFolder);
  }

  async answer({ item, ...content }: WholeItem, asked: Asked): Promise<AnsweredItem | FailedItem> {
    const { signal, parameters } = asked;
    const start = performance.now();
    const model = new RemoteModel({
      client: this.client,
      table: this.table,
      model: this.#model.endpoint.model,
      contextLength: this.#model.contextLength,
      signal,
    });
    const sees = () => this.table.has("vision", signal);
    const whole = { ...content, parameters };
    try {
      const result = await this.#orItemError(() =>
        answerItem(model, whole, { ...asked, biases: this.#biases, sees }),
      );
      return this.#answered(item, result, model.served, performance.now() - start);
    } catch (error) {
      return { item, error };
    }
  }

  /** Embeddings of several items in one request. */
  async embed(items: readonly WholeItem[], asked: Asked): Promise<readonly (AnsweredItem | FailedItem)[]> {
    const { signal, parameters } = asked;
    const start = performance.now();
    const whole = items.filter(({ text }) => text.trim() !== "");
    const { endpoint } = this.#model;
    const texts = whole.map(({ text }) => text);
    const outcomes = await this.#embedOrSplit(texts, (some) =>
      embedTexts(this.client, endpoint.model, some, parameters, signal),
    );
    const ms = (performance.now() - start) / items.length;
    const servedBy = (outcome: TextOutcome) => ("served" in outcome ? outcome.served : undefined);
    const served = outcomes.map(servedBy).find((name) => name !== undefined);
    const outcomeOf = new Map(whole.map((item, index) => [item, outcomes[index]]));
    return items.map((one) => {
      const { item, text } = one;
      if (text.trim() === "") return this.#answered(item, itemError("ItemInvalid", "empty text"), served, ms);
      const outcome = outcomeOf.get(one) ?? { result: noAnswer() };
      if ("error" in outcome) return { item, error: outcome.error };
      return this.#answered(item, outcome.result, served, ms);
    });
  }

  /**
   * One outcome for each text. A request that is refused says nothing about which text it was: each goes alone then, and
   * what is answered counts whatever becomes of the others, since it is paid for.
   */
  async #embedOrSplit(
    texts: readonly string[],
    embed: (texts: readonly string[]) => ReturnType<typeof embedTexts>,
  ): Promise<readonly TextOutcome[]> {
    if (texts.length === 0) return [];
    try {
      const { results, served } = await embed(texts);
      return results.map((result) => ({ result, served }));
    } catch (error) {
      if (!(error instanceof RequestRejected)) return texts.map(() => ({ error }));
      if (texts.length === 1) return [{ result: asItemError(error), served: undefined }];
      const each = await Promise.all(texts.map((text) => this.#embedOrSplit([text], embed)));
      return each.flat();
    }
  }

  async #orItemError(answer: () => Promise<PromptedResult>): Promise<PromptedResult> {
    try {
      return await answer();
    } catch (error) {
      if (error instanceof RequestRejected) return asItemError(error);
      throw error;
    }
  }

  #answered(item: number, result: PromptedResult, served: string | undefined, ms: number): AnsweredItem {
    const { name, variant } = this.#model;
    const answeredBy = {
      model: name,
      variant,
      ...(served !== undefined && { served: served.slice(0, 253) }),
    };
    const outcome = "output" in result ? { output: result.output } : { error: result.error };
    const itemResult = {
      item,
      stage: "final" as const,
      ms: Math.round(ms * 1000) / 1000,
      ...outcome,
      answeredBy,
    };
    return { itemResult, result };
  }
}

const noAnswer = () => itemError("AnswerInvalid", "the endpoint gave no answer for the text");

function asItemError({ failure: { meaning, what } }: RequestRejected): PromptedResult {
  if (meaning === "content") {
    return itemError("ItemInvalid", `the endpoint refuses the item for its content (${what})`);
  }
  const message = `the endpoint does not take the item (${what}): it may be too long for the model, or have what the model can't read`;
  return itemError("ItemInvalid", message);
}
