/**
 * What the servers behind "OpenAI-compatible" take. A field that a server does not know is an error with some and silently
 * ignored by others; so each gets the fields of its own documentation and no more.
 *
 * - bigmodel: BigModel and Z.ai. No logprobs, n, penalties or stream_options; response_format json_object alone; one
 *   stop text; greedy is do_sample false; request_id makes a second copy of a request an error.
 * - vllm: structured_outputs since 0.12, chat_template_kwargs.
 * - sglang: regex, chat_template_kwargs.
 * - ollama: reasoning_effort.
 * - openai: any other; what all of them have.
 */
import type { ChatMessage } from "../pipelines/pipeline.ts";
import type { Capabilities } from "./capabilities.ts";

export const FLAVOURS = ["bigmodel", "vllm", "sglang", "ollama", "openai"] as const;
export type Flavour = (typeof FLAVOURS)[number];

/** A text, or an image as a data URL beside one. */
export interface ChatContent {
  readonly role: ChatMessage["role"];
  readonly content: string;
  readonly imageUrl?: string | undefined;
}

export interface ChatRequest {
  readonly messages: readonly ChatContent[];
  readonly maxNewTokens: number;
  readonly temperature: number;
  readonly seed: number;
  readonly stop: readonly string[];
  readonly stream: boolean;
  readonly topK?: number | undefined;
  readonly topP?: number | undefined;
  readonly repetitionPenalty?: number | undefined;
  readonly schema?: Readonly<Record<string, unknown>> | undefined;
  readonly choice?: readonly string[] | undefined;
  /** How many likeliest tokens to tell at each place; 0: only the one that was taken; undefined: nothing. */
  readonly topLogprobs?: number | undefined;
}

/** Hosts and paths of the hosted API; a server's own word (`owned_by` of its models) tells the others apart. */
export function flavourOf(url: string, ownedBy: string | undefined): Flavour {
  const { hostname, pathname } = new URL(url);
  if (/(^|\.)(bigmodel\.cn|z\.ai)$/.test(hostname) || /\/paas\/v4\/?$/.test(pathname)) return "bigmodel";
  if (ownedBy === "vllm" || ownedBy === "sglang") return ownedBy;
  return ownedBy === "library" ? "ollama" : "openai";
}

const HIGHEST_BIGMODEL_SAMPLING = 0.99;
const LOWEST_BIGMODEL_SAMPLING = 0.01;

/** Body of `POST {url}/chat/completions`. */
export function chatBody(
  flavour: Flavour,
  can: Pick<Capabilities, "jsonObject" | "jsonSchema" | "choice" | "thinkingSwitch">,
  model: string,
  requestId: string,
  request: ChatRequest,
): Record<string, unknown> {
  const { stop, stream, topLogprobs } = request;
  return {
    model,
    messages: request.messages.map(messageOf),
    max_tokens: request.maxNewTokens,
    ...samplingOf(flavour, request),
    // What the server does not stop at is cut off here.
    ...(stop.length > 0 && { stop: flavour === "bigmodel" ? stop.slice(0, 1) : stop }),
    ...(stream && { stream: true }),
    ...(stream && flavour !== "bigmodel" && { stream_options: { include_usage: true } }),
    ...(flavour === "bigmodel" && { request_id: requestId }),
    ...(topLogprobs !== undefined && { logprobs: true, top_logprobs: topLogprobs }),
    ...formOf(flavour, can, request),
    ...(can.thinkingSwitch && THINKING_OFF[flavour]),
  };
}

function messageOf({ role, content, imageUrl }: ChatContent) {
  if (imageUrl === undefined) return { role, content };
  const image = { type: "image_url", image_url: { url: imageUrl } };
  return { role, content: [image, { type: "text", text: content }] };
}

function samplingOf(flavour: Flavour, request: ChatRequest): Record<string, unknown> {
  const { temperature, seed, topK, topP, repetitionPenalty } = request;
  if (flavour === "bigmodel") {
    if (temperature === 0) return { do_sample: false };
    const clamp = (value: number) =>
      Math.min(HIGHEST_BIGMODEL_SAMPLING, Math.max(LOWEST_BIGMODEL_SAMPLING, value));
    return {
      do_sample: true,
      temperature: clamp(temperature),
      seed,
      ...(topP !== undefined && { top_p: clamp(topP) }),
    };
  }
  const hasMore = flavour === "vllm" || flavour === "sglang";
  return {
    temperature,
    seed,
    ...(topP !== undefined && { top_p: topP }),
    ...(hasMore && topK !== undefined && { top_k: topK }),
    ...(hasMore && repetitionPenalty !== undefined && { repetition_penalty: repetitionPenalty }),
  };
}

function formOf(
  flavour: Flavour,
  can: Pick<Capabilities, "jsonObject" | "jsonSchema" | "choice">,
  { schema, choice }: ChatRequest,
): Record<string, unknown> {
  if (choice !== undefined && can.choice) {
    if (flavour === "vllm") return { structured_outputs: { choice } };
    if (flavour === "sglang") return { regex: `(${choice.map(escapeRegex).join("|")})` };
  }
  if (schema !== undefined && can.jsonSchema) {
    return {
      response_format: { type: "json_schema", json_schema: { name: "answer", strict: true, schema } },
    };
  }
  if (schema !== undefined && can.jsonObject) return { response_format: { type: "json_object" } };
  return {};
}

/** A model that thinks before a label costs a hundred times the tokens. */
const THINKING_OFF: Readonly<Record<Flavour, Record<string, unknown> | undefined>> = {
  bigmodel: { thinking: { type: "disabled" } },
  vllm: { chat_template_kwargs: { enable_thinking: false } },
  sglang: { chat_template_kwargs: { enable_thinking: false } },
  ollama: { reasoning_effort: "none" },
  openai: undefined,
};

export const hasThinkingSwitch = (flavour: Flavour) => THINKING_OFF[flavour] !== undefined;

const escapeRegex = (text: string) => text.replaceAll(/[\\^$.*+?()[\]{}|]/g, "\\$&");

/** `<|user|>`, `[gMASK]`, `<sop>`: what templates of chat models are made of. */
const ROLE_MARKERS =
  /<\|(?=[^|<>\n]{1,32}\|>)|\[(?=(?:gMASK|INST|\/INST)\])|<(?=(?:sop|eop|s|\/s|think|\/think)>)/g;
const WORD_JOINER = "\u2060";

/**
 * A server may read role markers in a text as roles. An invisible word joiner behind their first character keeps them text;
 * {@link withoutJoiners} takes it out of the answer.
 */
export function asPlainText(text: string): string {
  return text.replaceAll(ROLE_MARKERS, (marker) => `${marker.charAt(0)}${WORD_JOINER}${marker.slice(1)}`);
}

export const withoutJoiners = (text: string) => text.replaceAll(WORD_JOINER, "");
