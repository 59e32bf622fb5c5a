import type { IncomingMessage, ServerResponse } from "node:http";
import { problemAnswer, type ProblemAnswer } from "./problems.ts";

/** How errors are written: each protocol has its own form. */
export type ProblemForm = (answer: ProblemAnswer) => string;

export const OPEN_INFERENCE_FORM: ProblemForm = ({ message, code }) =>
  JSON.stringify(code === undefined ? { error: message } : { error: message, code });

/** One request and its answer, which is written once; what comes after a disconnect is dropped. */
export class Exchange {
  readonly request: IncomingMessage;
  readonly response: ServerResponse;
  readonly id: string;
  readonly startMs = performance.now();
  /** For metrics: the pattern of the path. */
  route = "other";
  /** For metrics: a model that exists. */
  model = "";
  form: ProblemForm = OPEN_INFERENCE_FORM;
  readonly #onProblem: (exchange: Exchange, answer: ProblemAnswer) => void;

  constructor(
    request: IncomingMessage,
    response: ServerResponse,
    id: string,
    onProblem: (exchange: Exchange, answer: ProblemAnswer) => void,
  ) {
    this.request = request;
    this.response = response;
    this.id = id;
    this.#onProblem = onProblem;
  }

  /** The client has left, or has its answer. */
  get over(): boolean {
    return this.response.destroyed || this.response.writableEnded;
  }

  sendJson(text: string, status = 200): void {
    this.send(status, "application/json", text);
  }

  /** A text leaves in one piece with its head, bytes in a second one. */
  send(
    status: number,
    contentType: string,
    body: string | Uint8Array,
    headers?: Readonly<Record<string, string>>,
  ): void {
    if (this.over) return;
    const length = typeof body === "string" ? Buffer.byteLength(body) : body.byteLength;
    this.response.writeHead(status, {
      "content-type": contentType,
      "content-length": length,
      "x-request-id": this.id,
      ...headers,
    });
    // A byte for each character: nothing to encode.
    if (length === body.length) this.response.end(body, "latin1");
    else this.response.end(body);
  }

  fail(thrown: unknown): void {
    const answer = problemAnswer(thrown);
    this.#onProblem(this, answer);
    const headers: Record<string, string> = {};
    if (answer.retryAfterSeconds !== undefined) headers["retry-after"] = String(answer.retryAfterSeconds);
    if (answer.status === 401) headers["www-authenticate"] = "Bearer";
    this.send(answer.status, "application/json", this.form(answer), headers);
  }
}
