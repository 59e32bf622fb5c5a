import type {
  ChatMessage,
  ChatModel,
  ChoiceLogprobs,
  Generated,
  GenerateRequest,
} from "../prompted/chat-model.ts";
import { choicesFromTokens } from "../prompted/choice-scores.ts";
import { CAPABILITIES, type CapabilityTable } from "./capabilities.ts";
import { RequestRejected, type EndpointClient } from "./client.ts";
import { asPlainText, chatBody, withoutJoiners, type ChatContent, type ChatRequest } from "./flavour.ts";
import type { ChatReply } from "./reply.ts";
import { estimateTokens } from "./token-estimate.ts";

/** vLLM's default limit, and what the others allow too. */
const TOP_LOGPROBS = 20;

/** Longer answers are streamed, so that silence means that the server is not at work. */
const WHOLE_ANSWER_TOKENS = 64;

/** For a model that thinks and has no switch. */
const TOKENS_TO_THINK = 2048;

export interface RemoteModelOptions {
  readonly client: EndpointClient;
  readonly table: CapabilityTable;
  /** Its name at the endpoint. */
  readonly model: string;
  readonly contextLength: number;
  readonly signal: AbortSignal;
}

type Wanted = Omit<ChatRequest, "stream" | "topLogprobs"> & { readonly topLogprobs?: number | undefined };

/** An endpoint as the model of one item; remembers which name it answered under. */
export class RemoteModel implements ChatModel {
  readonly contextLength: number;
  readonly choicesAs = "letters";
  readonly #options: RemoteModelOptions;
  #served: string | undefined;

  constructor(options: RemoteModelOptions) {
    this.#options = options;
    this.contextLength = options.contextLength;
  }

  /** The name that the server gave the model in its last reply. */
  get served(): string | undefined {
    return this.#served;
  }

  countTokens(messages: readonly ChatMessage[]): number {
    return estimateTokens(messages);
  }

  async generate(request: GenerateRequest): Promise<Generated> {
    return this.generateFor(request.messages, request);
  }

  /** Messages may have images. */
  async generateFor(
    messages: readonly ChatContent[],
    request: Omit<GenerateRequest, "messages">,
  ): Promise<Generated> {
    const { table, signal } = this.#options;
    const tells = await table.has("logprobs", signal);
    const wanted = { ...request, messages, ...(tells && { topLogprobs: 0 }) };
    const reply = await this.#ask(wanted);
    const { logprobs, usage, finishReason } = reply;
    const text = beforeStop(withoutJoiners(reply.text), request.stop);
    const sum = logprobs.reduce((total, { logprob }) => total + logprob, 0);
    return {
      text: text ?? withoutJoiners(reply.text),
      finishReason: text === undefined ? finishReason : "stop",
      promptTokens: usage?.promptTokens ?? estimateTokens(messages),
      completionTokens: usage?.completionTokens ?? logprobs.length,
      ...(logprobs.length > 0 && { meanLogprob: sum / logprobs.length }),
    };
  }

  async scoreChoices(
    messages: readonly ChatMessage[],
    choices: readonly string[],
  ): Promise<ChoiceLogprobs | undefined> {
    if (!(await this.#options.table.has("logprobs", this.#options.signal))) return undefined;
    const wanted = {
      messages,
      maxNewTokens: 1,
      temperature: 0,
      seed: 0,
      stop: [],
      topLogprobs: TOP_LOGPROBS,
    };
    const first = (await this.#ask(wanted)).logprobs[0];
    return first === undefined ? undefined : choicesFromTokens(first.top, choices);
  }

  /**
   * An endpoint that refuses in a way that it did not before may have changed: what it can is found out anew, and if that is
   * something else, the request goes again; it was not answered. Otherwise the item is at fault.
   */
  async #ask(wanted: Wanted): Promise<ChatReply> {
    const { table, signal } = this.#options;
    try {
      return await this.#askOnce(wanted);
    } catch (error) {
      if (!(error instanceof RequestRejected) || error.failure.meaning !== "rejected") throw error;
      const before = await table.known();
      if (!table.noteRejection(error.failure.what)) throw error;
      const tells = wanted.topLogprobs === undefined || (await table.has("logprobs", signal));
      await table.forChat(wanted, signal);
      const after = await table.known();
      const hasChanged = CAPABILITIES.some(
        (name) => after[name] !== undefined && after[name] !== before[name],
      );
      if (!hasChanged) throw error;
      return await this.#askOnce(tells ? wanted : { ...wanted, topLogprobs: undefined });
    }
  }

  async #askOnce(wanted: Wanted): Promise<ChatReply> {
    const { client, table, model, signal } = this.#options;
    const can = await table.forChat(wanted, signal);
    const messages = wanted.messages.map((message) => ({
      ...message,
      content: asPlainText(message.content),
    }));
    const stream = wanted.maxNewTokens > WHOLE_ANSWER_TOKENS;
    const room = table.thinks && !can.thinkingSwitch ? TOKENS_TO_THINK : 0;
    const request = { ...wanted, maxNewTokens: wanted.maxNewTokens + room, messages, stream };
    const reply = await client.chat(
      (requestId) => chatBody(table.flavour, can, model, requestId, request),
      signal,
    );
    this.#served = reply.served ?? this.#served;
    if ((reply.usage?.reasoningTokens ?? 0) > 0) table.thinks = true;
    return reply;
  }
}

/** The text up to the first stop in it; undefined when there is none. */
function beforeStop(text: string, stops: readonly string[]): string | undefined {
  const found = stops.map((stop) => text.indexOf(stop)).filter((index) => index >= 0);
  return found.length === 0 ? undefined : text.slice(0, Math.min(...found));
}
