import type { Exchange } from "./exchange.ts";
import { problemAnswer } from "./problems.ts";

/**
 * Server-sent events. The head is sent with the first event, so that whatever fails before it is an ordinary error with
 * its own status; what fails later is an event, since the status is out.
 */
export class EventStream {
  readonly #exchange: Exchange;
  #isOpen = false;

  constructor(exchange: Exchange) {
    this.#exchange = exchange;
  }

  send(event: object): void {
    if (this.#exchange.over) return;
    this.#open();
    this.#exchange.response.write(`data: ${JSON.stringify(event)}\n\n`);
  }

  end(): void {
    if (this.#exchange.over) return;
    this.#open();
    this.#exchange.response.end("data: [DONE]\n\n");
  }

  fail(error: unknown): void {
    if (!this.#isOpen) {
      this.#exchange.fail(error);
      return;
    }
    if (this.#exchange.over) return;
    const text = this.#exchange.form(problemAnswer(error));
    this.#exchange.response.end(`data: ${text}\n\n`);
  }

  #open(): void {
    if (this.#isOpen) return;
    this.#isOpen = true;
    this.#exchange.response.writeHead(200, {
      "content-type": "text/event-stream; charset=utf-8",
      "cache-control": "no-cache",
      // A proxy that buffers would make one piece of the stream.
      "x-accel-buffering": "no",
      "x-request-id": this.#exchange.id,
    });
  }
}
