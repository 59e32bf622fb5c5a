import { Validator } from "@cfworker/json-schema";
import type { Flavour } from "../../../edge-agent/src/remote/flavour.ts";
import type { ChatBody } from "./rules.ts";

/** What the model behind the server would say, before any grammar. */
export interface Saying {
  readonly text: string;
  /** Probabilities of first tokens; default: that of the text for sure. */
  readonly first?: Readonly<Record<string, number>>;
}

export interface BuiltReply {
  readonly text: string;
  readonly tokens: readonly string[];
  readonly finishReason: "stop" | "length";
  readonly reasoningTokens: number;
  readonly first: Readonly<Record<string, number>> | undefined;
}

const THINKING_TOKENS = 50;

/** Puts grammar, thinking and limits on what the model says, as the flavour would. */
export function buildReply(flavour: Flavour, body: ChatBody, saying: Saying, thinks: boolean): BuiltReply {
  const reasoningTokens = thinks && !isThinkingOff(flavour, body) ? THINKING_TOKENS : 0;
  const limit = (body.max_tokens ?? 1024) - reasoningTokens;
  const stops = body.stop ?? [];
  let text = constrained(body, saying.text);
  for (const stop of stops) if (text.includes(stop)) text = text.slice(0, text.indexOf(stop));
  const all = text.match(/\s*\S+\s*$|\s*\S+/g) ?? [];
  const tokens = all.slice(0, Math.max(0, limit));
  return {
    text: tokens.join(""),
    tokens,
    finishReason: tokens.length < all.length || limit <= 0 ? "length" : "stop",
    reasoningTokens: Math.min(reasoningTokens, body.max_tokens ?? 1024),
    first: saying.first,
  };
}

function isThinkingOff(flavour: Flavour, body: ChatBody): boolean {
  if (flavour === "bigmodel") return body.thinking?.type === "disabled";
  if (flavour === "ollama") return body.reasoning_effort === "none";
  return body.chat_template_kwargs?.enable_thinking === false;
}

function constrained({ structured_outputs, regex, response_format }: ChatBody, text: string): string {
  const choices = structured_outputs?.choice ?? (regex === undefined ? undefined : alternativesOf(regex));
  if (choices !== undefined) return choices.includes(text) ? text : (choices[0] ?? "");
  if (response_format === undefined) return text;
  const value = parse(text);
  if (response_format.type === "json_object") return typeof value === "object" ? text : '{"ok": true}';
  const { schema } = response_format.json_schema;
  const isValid = value !== undefined && new Validator(schema, "2020-12").validate(value).valid;
  return isValid ? text : JSON.stringify(leastOf(schema));
}

/** Of `(a|b|c)`. */
const alternativesOf = (regex: string) =>
  regex
    .slice(1, -1)
    .split("|")
    .map((part) => part.replaceAll(/\\(.)/g, "$1"));

/** A small value that a schema allows; for the few keywords that schemas in these tests have. */
function leastOf(schema: unknown): unknown {
  if (typeof schema !== "object" || schema === null) return null;
  const {
    type,
    properties,
    required,
    enum: values,
  } = schema as {
    readonly type?: string;
    readonly properties?: Readonly<Record<string, unknown>>;
    readonly required?: readonly string[];
    readonly enum?: readonly unknown[];
  };
  if (values !== undefined) return values[0];
  if (type === "object") {
    return Object.fromEntries((required ?? []).map((name) => [name, leastOf(properties?.[name])]));
  }
  if (type === "array") return [];
  return type === "string" ? "x" : type === "boolean" ? false : null;
}

function parse(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}

/** `logprobs` of a choice, for some tokens from `start` on. */
export function logprobsOf(body: ChatBody, reply: BuiltReply, start = 0, end = reply.tokens.length) {
  if (body.logprobs !== true) return undefined;
  const content = reply.tokens.slice(start, end).map((token, index) => {
    const likely = start + index === 0 ? (reply.first ?? { [token]: 0.9 }) : { [token]: 0.9 };
    const top = Object.entries(likely)
      .sort((a, b) => b[1] - a[1])
      .map(([text, p]) => ({ token: text, logprob: Math.log(p), bytes: [...Buffer.from(text)] }))
      .slice(0, body.top_logprobs ?? 0);
    return {
      token,
      logprob: Math.log(likely[token] ?? 0.9),
      bytes: [...Buffer.from(token)],
      top_logprobs: top,
    };
  });
  return { content };
}

export function usageOf(body: ChatBody, reply: BuiltReply) {
  const prompt = Math.ceil(JSON.stringify(body.messages).length / 4);
  const completion = reply.tokens.length + reply.reasoningTokens;
  return {
    prompt_tokens: prompt,
    completion_tokens: completion,
    total_tokens: prompt + completion,
    prompt_tokens_details: { cached_tokens: 0 },
    completion_tokens_details: { reasoning_tokens: reply.reasoningTokens },
  };
}
