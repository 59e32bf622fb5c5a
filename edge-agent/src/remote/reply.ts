/** Answers of an endpoint, whole and as a stream, in one form. */
import { z } from "zod";
import { errorIn, lostAnswer, meaningOf, type EndpointFailure } from "./failure.ts";
import { readEvents } from "./sse.ts";

export interface Usage {
  readonly promptTokens: number;
  readonly completionTokens: number;
  /** Of the completion tokens, those that were thought and not said. */
  readonly reasoningTokens: number;
  /** Of the prompt tokens, those that the server had already. */
  readonly cachedTokens: number;
}

export interface TokenAlternatives {
  readonly token: string;
  readonly logprob: number;
  readonly top: readonly { readonly token: string; readonly logprob: number }[];
}

export interface ChatReply {
  readonly text: string;
  readonly finishReason: "stop" | "length";
  /** The name that the server gave its model. */
  readonly served: string | undefined;
  /** Undefined when the server does not say. */
  readonly usage: Usage | undefined;
  /** One for each token; empty when not asked for or not told. */
  readonly logprobs: readonly TokenAlternatives[];
}

export type Outcome<Reply> = { readonly reply: Reply } | { readonly failure: EndpointFailure };

const tokenSchema = z.looseObject({ token: z.string(), logprob: z.number() });
const logprobsSchema = z
  .looseObject({
    content: z.array(tokenSchema.extend({ top_logprobs: z.array(tokenSchema).nullish() })).nullish(),
  })
  .nullish();
const sayingSchema = z.looseObject({ content: z.string().nullish() }).nullish();
const count = z.number().nullish();
const usageSchema = z
  .looseObject({
    prompt_tokens: count,
    completion_tokens: count,
    prompt_tokens_details: z.looseObject({ cached_tokens: count }).nullish(),
    completion_tokens_details: z.looseObject({ reasoning_tokens: count }).nullish(),
  })
  .nullish();
const partSchema = z.looseObject({
  model: z.string().nullish(),
  choices: z
    .array(
      z.looseObject({
        message: sayingSchema,
        delta: sayingSchema,
        finish_reason: z.string().nullish(),
        logprobs: logprobsSchema,
      }),
    )
    .nullish(),
  usage: usageSchema,
});
type Part = z.infer<typeof partSchema>;

/** Puts a reply together, from one part or from many. */
class ReplyBuilder {
  text = "";
  finish: string | undefined;
  readonly #logprobs: TokenAlternatives[] = [];
  #served: string | undefined;
  #usage: Usage | undefined;

  add({ model, choices, usage }: Part): void {
    const choice = choices?.[0];
    this.text += choice?.message?.content ?? choice?.delta?.content ?? "";
    this.finish = choice?.finish_reason ?? this.finish;
    this.#served = model ?? this.#served;
    if (usage !== null && usage !== undefined) this.#usage = usageOf(usage);
    for (const { token, logprob, top_logprobs } of choice?.logprobs?.content ?? []) {
      this.#logprobs.push({ token, logprob, top: top_logprobs ?? [] });
    }
  }

  build(): ChatReply {
    return {
      text: this.text,
      finishReason: this.finish === "length" ? "length" : "stop",
      served: this.#served,
      usage: this.#usage,
      logprobs: this.#logprobs,
    };
  }
}

function usageOf(usage: NonNullable<z.infer<typeof usageSchema>>): Usage {
  return {
    promptTokens: usage.prompt_tokens ?? 0,
    completionTokens: usage.completion_tokens ?? 0,
    reasoningTokens: usage.completion_tokens_details?.reasoning_tokens ?? 0,
    cachedTokens: usage.prompt_tokens_details?.cached_tokens ?? 0,
  };
}

/** Of a whole body with status 200. */
export function readReply(body: unknown, nowMs: number): Outcome<ChatReply> {
  if (errorIn(body) !== undefined) return { failure: meaningOf({ status: 200, body, nowMs }) };
  const part = partSchema.safeParse(body);
  const builder = new ReplyBuilder();
  // An answer of another form is an answer: it is not asked for again.
  if (part.success) builder.add(part.data);
  return { reply: builder.build() };
}

export interface StreamHooks {
  /** Something came: the server is alive. */
  readonly onChunk: () => void;
  readonly nowMs: () => number;
}

/** Of a stream. Without a word about its end it was cut off, whatever came before. */
export async function readStream(
  chunks: AsyncIterable<Uint8Array>,
  { onChunk, nowMs }: StreamHooks,
): Promise<Outcome<ChatReply>> {
  const builder = new ReplyBuilder();
  let isOver = false;
  try {
    for await (const { event, data } of readEvents(alive(chunks, onChunk))) {
      if (data === "[DONE]") {
        isOver = true;
        break;
      }
      const body: unknown = parseJson(data);
      if (event === "error" || errorIn(body) !== undefined) {
        const error = errorIn(body) === undefined ? { error: body } : body;
        return { failure: meaningOf({ body: error, nowMs: nowMs() }) };
      }
      const part = partSchema.safeParse(body);
      if (part.success) builder.add(part.data);
    }
  } catch (cause) {
    // What came after the last word does not matter; before it, the answer is lost.
    if (builder.finish === undefined) return { failure: lostAnswer(cause) };
  }
  if (!isOver && builder.finish === undefined) {
    return { failure: { meaning: "lost", what: "the stream ended in the middle of the answer" } };
  }
  return { reply: builder.build() };
}

async function* alive(chunks: AsyncIterable<Uint8Array>, onChunk: () => void): AsyncGenerator<Uint8Array> {
  for await (const chunk of chunks) {
    onChunk();
    yield chunk;
  }
}

export function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}
