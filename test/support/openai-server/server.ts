/**
 * A server of the OpenAI-compatible API over real HTTP and SSE, as strict as the real ones and able to fail as they do. It
 * logs every request with what became of it, so that a test can prove what was sent, and that nothing that was answered was
 * sent again.
 */
import { once } from "node:events";
import { createServer, type IncomingMessage, type Server, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { setTimeout as sleep } from "node:timers/promises";
import type { Flavour } from "../../../edge-agent/src/remote/flavour.ts";
import { logOf, sentAgainAfterAnswer, type LoggedRequest } from "./request-log.ts";
import { buildReply, logprobsOf, usageOf, type BuiltReply, type Saying } from "./reply.ts";
import { embeddingBody, errorBody, readChatBody, type ChatBody } from "./rules.ts";

/** What becomes of the next request that it fits. */
export type Fault = (
  | {
      readonly kind: "error";
      readonly status: number;
      readonly code?: string;
      readonly retryAfter?: string;
      readonly message?: string;
    }
  /** An error as a `data:` line after some tokens, or as `event: error`. */
  | { readonly kind: "errorInStream"; readonly code: string; readonly event?: boolean }
  /** The request is taken and worked on; the connection ends before its answer, or in the middle of it. */
  | { readonly kind: "cut"; readonly afterTokens?: number }
  /** The connection ends before the request is taken. */
  | { readonly kind: "reset" }
  | { readonly kind: "slow"; readonly ms: number }
) & {
  readonly when?: (body: ChatBody) => boolean;
  /** Makes it one for embeddings of these texts, and for no chat. */
  readonly whenEmbedding?: (texts: readonly string[]) => boolean;
};

export interface OpenAiServerOptions {
  readonly flavour: Flavour;
  /** Key that it wants; none: it looks at no key. */
  readonly key?: string;
  /** Names of models, and what it calls them in replies. */
  readonly models?: Readonly<Record<string, string>>;
  /** What the model says to a request. */
  readonly say?: (prompt: string, body: ChatBody) => string | Saying;
  /** The model thinks unless it is told not to. */
  readonly thinks?: boolean;
  /** What this one can't although its flavour may. */
  readonly lacks?: readonly (
    | "logprobs"
    | "response_format"
    | "structured_outputs"
    | "regex"
    | "images"
    | "chat"
    | "embeddings"
  )[];
}

export class OpenAiServer implements AsyncDisposable {
  readonly requests: LoggedRequest[] = [];
  /** Most requests that were open at once. */
  mostOpen = 0;
  readonly #server: Server;
  readonly #faults: Fault[] = [];
  readonly #seenIds = new Set<string>();
  #options: OpenAiServerOptions;
  #open = 0;

  private constructor(options: OpenAiServerOptions) {
    this.#options = options;
    this.#server = createServer((request, response) => {
      void this.#serve(request, response).catch((error: unknown) => {
        response.destroy(error instanceof Error ? error : undefined);
      });
    });
  }

  static async start(options: OpenAiServerOptions): Promise<OpenAiServer> {
    const server = new OpenAiServer(options);
    server.#server.listen(0, "127.0.0.1");
    await once(server.#server, "listening");
    return server;
  }

  get url(): string {
    const { port } = this.#server.address() as AddressInfo;
    return `http://127.0.0.1:${port}${this.#options.flavour === "bigmodel" ? "/api/paas/v4" : "/v1"}`;
  }

  /** From now on it is another server. */
  change(options: Partial<OpenAiServerOptions>): void {
    this.#options = { ...this.#options, ...options };
  }

  /** Each fault is for one request: the first that it fits. */
  failNext(...faults: readonly Fault[]): void {
    this.#faults.push(...faults);
  }

  /** What was still to fail is served. */
  forgetFaults(): void {
    this.#faults.length = 0;
  }

  /** Requests to the model that are no probes of what the server can. */
  asked(text: string): readonly LoggedRequest[] {
    return this.requests.filter(({ prompt }) => prompt.includes(text));
  }

  /** Requests that were answered and came again. */
  sentAgainAfterAnswer(): readonly LoggedRequest[] {
    return sentAgainAfterAnswer(this.requests);
  }

  /** Its port is closed from now on. */
  async stop(): Promise<void> {
    if (!this.#server.listening) return;
    this.#server.closeAllConnections();
    this.#server.close();
    await once(this.#server, "close");
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.stop();
  }

  async #serve(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const { flavour, key, models = { "test-model": "test-model" }, lacks = [] } = this.#options;
    const path = new URL(request.url ?? "/", "http://localhost").pathname;
    const chunks: Buffer[] = [];
    for await (const chunk of request) chunks.push(chunk as Buffer);
    if (key !== undefined && request.headers.authorization !== `Bearer ${key}`) {
      return this.#refuse(response, 401, request.headers.authorization === undefined ? "1001" : "1002");
    }
    const prefix = flavour === "bigmodel" ? "/api/paas/v4" : "/v1";
    if (path === `${prefix}/models` && request.method === "GET" && flavour !== "bigmodel") {
      const owner = { vllm: "vllm", sglang: "sglang", ollama: "library", openai: "someone" }[flavour];
      return send(response, 200, {
        object: "list",
        data: Object.keys(models).map((id) => ({ id, object: "model", owned_by: owner })),
      });
    }
    const isChat = path === `${prefix}/chat/completions` && !lacks.includes("chat");
    const isEmbedding = path === `${prefix}/embeddings` && !lacks.includes("embeddings");
    if (request.method !== "POST" || (!isChat && !isEmbedding)) return this.#refuse(response, 404, undefined);

    const value = parseJson(Buffer.concat(chunks).toString());
    const logged = logOf(path, value);
    this.requests.push(logged);
    response.on("close", () => {
      logged.status = response.statusCode;
      if (logged.outcome === "open") logged.outcome = "cut";
    });
    this.#open++;
    this.mostOpen = Math.max(this.mostOpen, this.#open);
    try {
      if (isChat) await this.#chat(value, response, logged);
      else this.#embed(value, response, logged);
    } finally {
      this.#open--;
    }
  }

  async #chat(value: unknown, response: ServerResponse, logged: LoggedRequest): Promise<void> {
    const {
      flavour,
      models = { "test-model": "test-model" },
      say = () => "hello",
      lacks = [],
      thinks = false,
    } = this.#options;
    const read = readChatBody(flavour, value);
    if ("problem" in read) return this.#refuse(response, 400, "1210", logged, read.problem);
    const { body } = read;
    for (const field of lacks)
      if (body[field] !== undefined) return this.#refuse(response, 400, "1210", logged, field);
    const hasImages = body.messages.some(({ content }) => typeof content !== "string");
    if (hasImages && lacks.includes("images")) return this.#refuse(response, 400, "1210", logged, "images");
    const served = models[body.model];
    if (served === undefined)
      return this.#refuse(response, flavour === "bigmodel" ? 400 : 404, "1211", logged);

    const fault = this.#takeFault(
      ({ when, whenEmbedding }) => whenEmbedding === undefined && (when === undefined || when(body)),
    );
    if (fault?.kind === "reset") return void response.socket?.destroy();
    if (fault?.kind === "error") {
      if (fault.retryAfter !== undefined) response.setHeader("retry-after", fault.retryAfter);
      return this.#refuse(response, fault.status, fault.code, logged, fault.message);
    }
    if (body.request_id !== undefined) {
      if (this.#seenIds.has(body.request_id)) return this.#refuse(response, 400, "1231", logged);
      this.#seenIds.add(body.request_id);
    }
    if (fault?.kind === "slow") await sleep(fault.ms);
    const saying = say(logged.prompt, body);
    const reply = buildReply(flavour, body, typeof saying === "string" ? { text: saying } : saying, thinks);
    const head = { id: "chatcmpl-1", created: 1, model: served };
    if (body.stream === true) return this.#stream(response, body, reply, head, logged, fault);
    if (fault?.kind === "cut") {
      response.writeHead(200, { "content-type": "application/json", "content-length": "1000" });
      response.write('{"choices": [');
      await sleep(5);
      return void response.socket?.destroy();
    }
    if (fault?.kind === "errorInStream") {
      logged.outcome = "refused";
      return send(response, 200, errorBody(flavour, 200, fault.code, "failed"));
    }
    const choice = {
      index: 0,
      message: { role: "assistant", content: reply.text },
      finish_reason: reply.finishReason,
      logprobs: logprobsOf(body, reply),
    };
    logged.outcome = "answered";
    return send(response, 200, {
      ...head,
      object: "chat.completion",
      choices: [choice],
      usage: usageOf(body, reply),
    });
  }

  async #stream(
    response: ServerResponse,
    body: ChatBody,
    reply: BuiltReply,
    head: Readonly<Record<string, unknown>>,
    logged: LoggedRequest,
    fault: Fault | undefined,
  ): Promise<void> {
    const { flavour } = this.#options;
    response.writeHead(200, {
      "content-type": "text/event-stream; charset=utf-8",
      "cache-control": "no-cache",
    });
    const lineEnd = flavour === "ollama" ? "\r\n" : "\n";
    const write = async (lines: readonly string[]) => {
      const bytes = Buffer.from(lines.map((line) => line + lineEnd).join("") + lineEnd);
      // In two parts, wherever that may cut a character or a line end.
      const middle = bytes.length >> 1;
      response.write(bytes.subarray(0, middle));
      await sleep(0);
      response.write(bytes.subarray(middle));
    };
    const part = (choices: readonly unknown[], more = {}) =>
      write([`data: ${JSON.stringify({ ...head, object: "chat.completion.chunk", choices, ...more })}`]);
    await write([": ping"]);
    for (const [index, token] of reply.tokens.entries()) {
      if (fault?.kind === "cut" && index === (fault.afterTokens ?? 0)) return void response.socket?.destroy();
      if (fault?.kind === "errorInStream" && index === 1) break;
      const logprobs = logprobsOf(body, reply, index, index + 1);
      await part([
        { index: 0, delta: { content: token }, finish_reason: null, ...(logprobs && { logprobs }) },
      ]);
    }
    if (fault?.kind === "cut") return void response.socket?.destroy();
    if (fault?.kind === "errorInStream") {
      const error = { error: { code: fault.code, message: "failed" } };
      const data = `data: ${JSON.stringify(fault.event === true ? error.error : error)}`;
      await write(fault.event === true ? ["event: error", data] : [data]);
      logged.outcome = "refused";
      return void response.end();
    }
    const usage = usageOf(body, reply);
    const last = [{ index: 0, delta: {}, finish_reason: reply.finishReason }];
    const wantsUsage = body.stream_options?.include_usage === true;
    await part(last, flavour === "bigmodel" ? { usage } : {});
    if (wantsUsage) await part([], { usage });
    await write(["data: [DONE]"]);
    logged.outcome = "answered";
    response.end();
  }

  #embed(value: unknown, response: ServerResponse, logged: LoggedRequest): void {
    const { models = { "test-model": "test-model" } } = this.#options;
    const read = embeddingBody.safeParse(value);
    if (!read.success) return this.#refuse(response, 400, "1210", logged);
    const served = models[read.data.model];
    if (served === undefined) return this.#refuse(response, 404, "1211", logged);
    const fault = this.#takeFault(({ whenEmbedding }) => whenEmbedding?.(read.data.input) === true);
    if (fault?.kind === "error") return this.#refuse(response, fault.status, fault.code, logged);
    // No part of an answer leaves before all of it is there.
    if (fault !== undefined) return void response.socket?.destroy();
    logged.outcome = "answered";
    // Last first: the place is in `index`, not in the order.
    const data = read.data.input.map((text, index) => ({
      object: "embedding",
      index,
      embedding: [3, text.length, 4],
    }));
    const usage = { prompt_tokens: read.data.input.join("").length, total_tokens: 0 };
    return send(response, 200, { object: "list", model: served, data: data.reverse(), usage });
  }

  #refuse(
    response: ServerResponse,
    status: number,
    code: string | undefined,
    logged?: LoggedRequest,
    message = "refused",
  ): void {
    if (logged !== undefined) logged.outcome = "refused";
    send(response, status, errorBody(this.#options.flavour, status, code, message));
  }

  #takeFault(fits: (fault: Fault) => boolean): Fault | undefined {
    const index = this.#faults.findIndex(fits);
    return index < 0 ? undefined : this.#faults.splice(index, 1)[0];
  }
}

function send(response: ServerResponse, status: number, body: unknown): void {
  response.writeHead(status, { "content-type": "application/json" });
  response.end(JSON.stringify(body));
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}
