/** The OpenAI API for models on this node: chat and text completions, with and without a stream, and embeddings. */
import { randomBytes } from "node:crypto";
import type { OutputOf } from "@autoglm/api";
import type { Engine } from "../engine/index.ts";
import type { Parameters, PipelineItem } from "../pipelines/pipeline.ts";
import { EventStream } from "./event-stream.ts";
import type { Exchange, ProblemForm } from "./exchange.ts";
import { parseJson } from "./inference-request.ts";
import type { ModelDirectory } from "./model-directory.ts";
import { answerItems, type Answered } from "./online-answer.ts";
import {
  chatSchema,
  completionSchema,
  embeddingSchema,
  parseOpenAi,
  type ChatRequest,
  type CompletionRequest,
} from "./openai-schemas.ts";
import { HttpProblem } from "./problems.ts";

/** Of an answer whose request names none. */
const DEFAULT_CHAT_TOKENS = 1024;
/** What the real API takes for a completion without a limit. */
const DEFAULT_COMPLETION_TOKENS = 16;

export const OPENAI_FORM: ProblemForm = ({ status, message, code, field }) =>
  JSON.stringify({
    error: { message, type: errorType(status), param: field ?? null, code: code ?? errorCode(status) },
  });

const errorType = (status: number) =>
  status === 401
    ? "authentication_error"
    : status === 429
      ? "rate_limit_error"
      : status >= 500
        ? "server_error"
        : "invalid_request_error";
const errorCode = (status: number) => (status === 401 ? "invalid_api_key" : null);

interface OpenAiDependencies {
  readonly engine: Engine;
  readonly models: ModelDirectory;
  readonly timeoutMs: number;
}

type Handler = (exchange: Exchange, body: Buffer) => Promise<void>;
type Generation = OutputOf<"text-generation">;

/** How a protocol writes the parts of an answer. */
interface Writer {
  readonly kind: "chat.completion" | "text_completion";
  readonly choice: (index: number, text: string, reason: string | null) => object;
  readonly chunk: (index: number, text: string, reason: string | null) => object;
  readonly opening?: (index: number) => object;
}

const CHAT: Writer = {
  kind: "chat.completion",
  choice: (index, content, finish_reason) => ({
    index,
    message: { role: "assistant", content, refusal: null },
    logprobs: null,
    finish_reason,
  }),
  chunk: (index, content, finish_reason) => ({
    index,
    delta: finish_reason === null ? { content } : {},
    logprobs: null,
    finish_reason,
  }),
  opening: (index) => ({
    index,
    delta: { role: "assistant", content: "" },
    logprobs: null,
    finish_reason: null,
  }),
};

const COMPLETION: Writer = {
  kind: "text_completion",
  choice: (index, text, finish_reason) => ({ text, index, logprobs: null, finish_reason }),
  chunk: (index, text, finish_reason) => ({ text, index, logprobs: null, finish_reason }),
};

export function createOpenAiRoutes(dependencies: OpenAiDependencies) {
  const { models } = dependencies;
  const startedAt = Math.floor(Date.now() / 1000);
  const listed = (exchange: Exchange) => {
    const names = [...new Set(models.list().map(({ model }) => model.name))];
    const data = names.map((id) => ({ id, object: "model", created: startedAt, owned_by: "autoglm" }));
    exchange.sendJson(JSON.stringify({ object: "list", data }));
  };
  const chat: Handler = async (exchange, body) => {
    const request = parseOpenAi(chatSchema, parseJson(body.toString("utf8")));
    const messages = request.messages.map(({ role, content }) => ({
      role: role === "developer" ? ("system" as const) : role,
      content,
    }));
    const parameters = parametersOf(
      request,
      request.max_completion_tokens ?? request.max_tokens ?? DEFAULT_CHAT_TOKENS,
    );
    // What a template can't tell apart is the last thing said.
    const text = messages.findLast(({ role }) => role === "user")?.content ?? "";
    await generate(dependencies, exchange, request, CHAT, [
      { type: "text-generation", text, messages, parameters },
    ]);
  };
  const completions: Handler = async (exchange, body) => {
    const request = parseOpenAi(completionSchema, parseJson(body.toString("utf8")));
    const parameters = parametersOf(request, request.max_tokens ?? DEFAULT_COMPLETION_TOKENS);
    const prompts = typeof request.prompt === "string" ? [request.prompt] : request.prompt;
    const items = prompts.map((text) => ({ type: "text-generation" as const, text, parameters }));
    await generate(dependencies, exchange, request, COMPLETION, items);
  };
  const embeddings: Handler = (exchange, body) => embed(dependencies, exchange, body);
  return { models: listed, chat, completions, embeddings };
}

function parametersOf(request: ChatRequest | CompletionRequest, maxNewTokens: number): Parameters {
  const {
    temperature,
    top_p: topP,
    seed,
    stop,
    top_k: topK,
    repetition_penalty: repetitionPenalty,
  } = request;
  const stops = (typeof stop === "string" ? [stop] : (stop ?? [])).filter((text) => text !== "");
  return {
    maxNewTokens,
    ...(temperature !== null && temperature !== undefined && { temperature }),
    ...(topP !== null && topP !== undefined && { topP }),
    ...(seed !== null && seed !== undefined && { seed }),
    ...(stops.length > 0 && { stop: stops }),
    ...(topK !== undefined && { topK }),
    ...(repetitionPenalty !== undefined && { repetitionPenalty }),
  };
}

async function generate(
  { engine, models, timeoutMs }: OpenAiDependencies,
  exchange: Exchange,
  request: ChatRequest | CompletionRequest,
  writer: Writer,
  items: readonly PipelineItem[],
): Promise<void> {
  const entry = findModel(models, request.model);
  exchange.model = entry.model.name;
  const head = {
    id: `${writer === CHAT ? "chatcmpl" : "cmpl"}-${randomBytes(12).toString("hex")}`,
    object: writer.kind,
    created: Math.floor(Date.now() / 1000),
    model: entry.model.name,
  };
  const deadline = exchange.startMs + timeoutMs;
  if (request.stream !== true) {
    const answers = await answerItems(engine, exchange, entry, items, { deadline });
    const generations = answers.map(generationOf);
    const choices = generations.map(({ generated_text, finish_reason }, index) =>
      writer.choice(index, generated_text, finish_reason),
    );
    exchange.sendJson(JSON.stringify({ ...head, choices, usage: usageOf(generations) }));
    return;
  }
  const chunkHead = { ...head, object: writer === CHAT ? "chat.completion.chunk" : head.object };
  const withUsage = request.stream_options?.include_usage === true;
  const stream = new EventStream(exchange);
  const say = (choices: readonly object[], usage: object | null = null) =>
    stream.send({ ...chunkHead, choices, ...(withUsage && { usage }) });
  const opened = new Set<number>();
  const open = (index: number) => {
    if (opened.has(index)) return;
    opened.add(index);
    if (writer.opening !== undefined) say([writer.opening(index)]);
  };
  const onToken = (index: number, text: string) => {
    open(index);
    if (text !== "") say([writer.chunk(index, text, null)]);
  };
  try {
    const answers = await answerItems(engine, exchange, entry, items, { deadline, onToken });
    const generations = answers.map(generationOf);
    for (const [index, { finish_reason }] of generations.entries()) {
      open(index);
      say([writer.chunk(index, "", finish_reason)]);
    }
    if (withUsage) say([], usageOf(generations));
    stream.end();
  } catch (error) {
    stream.fail(error);
  }
}

function generationOf({ result }: Answered): Generation {
  if ("error" in result) throw new HttpProblem(400, result.error.message);
  if (result.output.type !== "text-generation") throw new HttpProblem(400, "the model gave no text", "model");
  return result.output;
}

function usageOf(generations: readonly Generation[]) {
  const prompt_tokens = generations.reduce((sum, generation) => sum + generation.prompt_tokens, 0);
  const completion_tokens = generations.reduce((sum, generation) => sum + generation.completion_tokens, 0);
  return { prompt_tokens, completion_tokens, total_tokens: prompt_tokens + completion_tokens };
}

async function embed(
  { engine, models, timeoutMs }: OpenAiDependencies,
  exchange: Exchange,
  body: Buffer,
): Promise<void> {
  const request = parseOpenAi(embeddingSchema, parseJson(body.toString("utf8")));
  const entry = findModel(models, request.model);
  exchange.model = entry.model.name;
  const texts = typeof request.input === "string" ? [request.input] : request.input;
  const items = texts.map((text) => ({ type: "feature-extraction" as const, text, parameters: {} }));
  const answers = await answerItems(engine, exchange, entry, items, {
    deadline: exchange.startMs + timeoutMs,
  });
  const data = answers.map(({ result }, index) => {
    if ("error" in result) throw new HttpProblem(400, `input[${index}]: ${result.error.message}`, "input");
    if (result.output.type !== "feature-extraction")
      throw new HttpProblem(400, "the model gave no embedding", "model");
    const values = result.output.embedding;
    const { dimensions } = request;
    if (dimensions !== null && dimensions !== undefined && dimensions !== values.length)
      throw new HttpProblem(
        400,
        `dimensions: the model has ${values.length}, and they can't be cut`,
        "dimensions",
      );
    const embedding =
      request.encoding_format === "base64"
        ? Buffer.from(Float32Array.from(values).buffer).toString("base64")
        : values;
    return { object: "embedding", index, embedding };
  });
  // Models on a node do not say how many tokens an embedding took.
  const usage = { prompt_tokens: 0, total_tokens: 0 };
  exchange.sendJson(JSON.stringify({ object: "list", data, model: entry.model.name, usage }));
}

/** `name`, or `name/variant`. */
function findModel(models: ModelDirectory, asked: string) {
  const at = asked.indexOf("/");
  return at < 0 ? models.find(asked) : models.find(asked.slice(0, at), asked.slice(at + 1));
}
