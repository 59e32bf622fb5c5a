/**
 * HTTP client of one endpoint: one request at a time of its caller, many callers.
 *
 *     request ──▶ room at the endpoint ──▶ send ──▶ answered ──▶ reply
 *                        ▲                  │
 *                        └── pause ◀── busy, lost, duplicate        spent, refused, rejected ──▶ error
 *
 * Nothing that was answered is sent again: an answer leaves the loop whatever it says. All sends of a request carry the same
 * request_id where the API has one, so that a copy of one whose answer was lost is an error there and not a second answer;
 * only after the server has said so does the request get a new one. A request that is given up after a send that may have been
 * answered says so: `EndpointUnavailable` has the detail `mayHaveAnswered`.
 *
 * Plain fetch: an SDK's own retries, timeouts and error classes would have to be switched off one by one to keep these rules.
 */
import { randomUUID } from "node:crypto";
import { setTimeout as sleep } from "node:timers/promises";
import { AutoglmError } from "@autoglm/api";
import { lostAnswer, mayHaveAnswered, meaningOf, type EndpointFailure } from "./failure.ts";
import type { EndpointKeys } from "./keys.ts";
import { Limiter } from "./limiter.ts";
import { parseJson, readReply, readStream, type ChatReply, type Outcome, type Usage } from "./reply.ts";
import { decideRetry, RETRY_RULES, type RetryRules } from "./retry.ts";
import { addUsage, NOTHING_USED, type EndpointUsage } from "./usage.ts";

export interface EndpointClientOptions {
  /** Complete base, e.g. https://open.bigmodel.cn/api/paas/v4. */
  readonly url: string;
  readonly keyName: string | undefined;
  readonly keys: EndpointKeys;
  readonly maxConcurrency: number;
  /** Longest silence of the server: before the first byte and between two. */
  readonly silenceMs: number;
  readonly rules?: RetryRules | undefined;
  readonly random?: (() => number) | undefined;
  readonly nowMs?: (() => number) | undefined;
}

/** A request that the endpoint does not take: the item is at fault, or what the endpoint can has changed. */
export class RequestRejected extends Error {
  readonly failure: EndpointFailure;

  constructor(failure: EndpointFailure) {
    super(failure.what);
    this.name = "RequestRejected";
    this.failure = failure;
  }
}

type Body = Readonly<Record<string, unknown>>;

export class EndpointClient {
  readonly url: string;
  readonly #options: EndpointClientOptions;
  readonly #limiter: Limiter;
  readonly #rules: RetryRules;
  readonly #random: () => number;
  readonly #nowMs: () => number;
  #usage: EndpointUsage = NOTHING_USED;
  #unavailable: { readonly untilMs: number; readonly what: string } | undefined;

  constructor(options: EndpointClientOptions) {
    this.#options = options;
    this.url = options.url.replace(/\/+$/, "");
    this.#limiter = new Limiter(options.maxConcurrency);
    this.#rules = options.rules ?? RETRY_RULES;
    this.#random = options.random ?? Math.random;
    this.#nowMs = options.nowMs ?? Date.now;
  }

  get usage(): EndpointUsage {
    return this.#usage;
  }

  /**
   * @param bodyOf makes the body for a request_id of 6 to 64 characters
   * @throws AutoglmError `EndpointRefused`, `EndpointUnavailable`, `EndpointKeyMissing`, `Aborted`
   * @throws RequestRejected
   */
  async chat(bodyOf: (requestId: string) => Body, signal: AbortSignal): Promise<ChatReply> {
    const reply = await this.#answered(signal, (requestId) =>
      this.#send("/chat/completions", bodyOf(requestId), signal, async (response, onChunk) => {
        const nowMs = this.#nowMs;
        if (!isStream(response)) {
          const body = await readJson(response);
          return "failure" in body ? body : readReply(body.reply, nowMs());
        }
        const chunks: AsyncIterable<Uint8Array> = response.body ?? nothing();
        return readStream(chunks, { onChunk, nowMs });
      }),
    );
    this.#usage = addUsage(this.#usage, { answers: 1, ...reply.usage });
    return reply;
  }

  /** `POST` of anything else; the reply is the JSON. @throws as {@link chat} */
  async post(path: string, body: Body, signal: AbortSignal): Promise<unknown> {
    const reply = await this.#answered(signal, () => this.#send(path, body, signal, readJson));
    this.#usage = addUsage(this.#usage, { answers: 1, ...usageIn(reply) });
    return reply;
  }

  /** `GET`; undefined for any error: what it would say is good to know and no more. */
  async tryGet(path: string, signal: AbortSignal): Promise<unknown> {
    const outcome = await this.#send(path, undefined, signal, readJson);
    return "reply" in outcome ? outcome.reply : undefined;
  }

  async #answered<Reply>(
    signal: AbortSignal,
    send: (requestId: string) => Promise<Outcome<Reply>>,
  ): Promise<Reply> {
    let requestId = newRequestId();
    // Of any send so far: what was refused later may have been answered before.
    let isInDoubt = false;
    for (let attempts = 1; ; attempts++) {
      const outcome = await this.#limiter.run(signal, () => {
        this.#throwIfUnavailable(isInDoubt);
        return send(requestId);
      });
      if ("reply" in outcome) {
        this.#limiter.noteAnswer();
        return outcome.reply;
      }
      signal.throwIfAborted();
      const { failure } = outcome;
      isInDoubt ||= mayHaveAnswered(failure);
      const decision = decideRetry(failure, attempts, this.#random(), this.#nowMs(), this.#rules);
      if (decision.kind === "item") throw new RequestRejected(failure);
      if (decision.kind === "refused") throw this.#refused(failure);
      if (decision.kind === "unavailable")
        throw this.#becomeUnavailable(failure, decision.afterMs, isInDoubt);
      if (decision.newRequestId) {
        requestId = newRequestId();
        this.#usage = addUsage(this.#usage, { answersLost: 1 });
      }
      this.#usage = addUsage(this.#usage, { retries: 1 });
      if (failure.meaning === "busy") this.#limiter.noteBusy(failure.retryAfterMs ?? 0);
      await sleep(decision.afterMs, undefined, { signal });
    }
  }

  async #send<Reply>(
    path: string,
    body: Body | undefined,
    signal: AbortSignal,
    read: (response: Response, onChunk: () => void) => Promise<Outcome<Reply>>,
  ): Promise<Outcome<Reply>> {
    const { keyName, keys, silenceMs } = this.#options;
    const key = keyName === undefined ? undefined : await keys.read(keyName);
    const silence = new AbortController();
    const timeOut = () =>
      silence.abort(Object.assign(new Error("silence"), { code: `no byte for ${silenceMs} ms` }));
    let timer = setTimeout(timeOut, silenceMs);
    const onChunk = () => {
      clearTimeout(timer);
      timer = setTimeout(timeOut, silenceMs);
    };
    try {
      const response = await fetch(this.url + path, {
        method: body === undefined ? "GET" : "POST",
        headers: {
          accept: "application/json, text/event-stream",
          ...(body !== undefined && { "content-type": "application/json" }),
          ...(key !== undefined && { authorization: `Bearer ${key}` }),
        },
        ...(body !== undefined && { body: JSON.stringify(body) }),
        // A redirection would take text and key to another host than was configured.
        redirect: "manual",
        signal: AbortSignal.any([signal, silence.signal]),
      });
      onChunk();
      if (response.status === 200) return await read(response, onChunk);
      const text = await response.text().catch(() => "");
      const retryAfter = response.headers.get("retry-after");
      const reply = { status: response.status, body: parseJson(text), retryAfter, nowMs: this.#nowMs() };
      return { failure: meaningOf(reply) };
    } catch (cause) {
      return { failure: lostAnswer(silence.signal.aborted ? silence.signal.reason : cause) };
    } finally {
      clearTimeout(timer);
    }
  }

  #throwIfUnavailable(isInDoubt: boolean): void {
    const { untilMs, what } = this.#unavailable ?? { untilMs: 0, what: "" };
    const leftMs = untilMs - this.#nowMs();
    if (leftMs > 0) throw this.#unavailableError(what, leftMs, isInDoubt);
    this.#unavailable = undefined;
  }

  #becomeUnavailable(
    { what }: EndpointFailure,
    afterMs: number | undefined,
    isInDoubt: boolean,
  ): AutoglmError {
    if (afterMs !== undefined) this.#unavailable = { untilMs: this.#nowMs() + afterMs, what };
    return this.#unavailableError(what, afterMs, isInDoubt);
  }

  #unavailableError(what: string, afterMs: number | undefined, isInDoubt: boolean): AutoglmError {
    const when = afterMs === undefined ? "later" : `in ${Math.ceil(afterMs / 1000)} s`;
    const message = `the endpoint ${this.url} does not answer (${what}); it is asked again ${when}`;
    return new AutoglmError("EndpointUnavailable", message, {
      ...(afterMs !== undefined && { retry: { afterMs } }),
      ...(isInDoubt && { details: { mayHaveAnswered: true } }),
    });
  }

  #refused({ what, concernsKey }: EndpointFailure): AutoglmError {
    const { keyName } = this.#options;
    const mend =
      concernsKey !== true
        ? "check url and model of the endpoint in the AutoGLMModel"
        : keyName === undefined
          ? "it wants a key: set keyName of the endpoint in the AutoGLMModel"
          : `check the key ${keyName}, and the balance and the rights of its account`;
    const message = `the endpoint ${this.url} refuses (${what}): ${mend}`;
    return new AutoglmError("EndpointRefused", message);
  }
}

const newRequestId = () => randomUUID().replaceAll("-", "");

const isStream = (response: Response) =>
  response.headers.get("content-type")?.startsWith("text/event-stream") === true;

/** A body that is no JSON was cut off or is none of the API's: no answer came. */
async function readJson(response: Response): Promise<Outcome<unknown>> {
  const body = parseJson(await response.text());
  if (body === undefined) return { failure: { meaning: "lost", what: "the answer is no JSON" } };
  const { failure } = failureIn(body);
  return failure === undefined ? { reply: body } : { failure };
}

function failureIn(body: unknown): { readonly failure?: EndpointFailure } {
  const outcome = readReply(body, Date.now());
  return "failure" in outcome ? outcome : {};
}

function usageIn(reply: unknown): Usage | undefined {
  const outcome = readReply(reply, Date.now());
  return "reply" in outcome ? outcome.reply.usage : undefined;
}

async function* nothing(): AsyncGenerator<Uint8Array> {
  // A reply without a body.
}
