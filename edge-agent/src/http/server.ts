/** The inference port: authentication, limits, request ids, metrics, and nothing about models. */
import { randomBytes } from "node:crypto";
import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { AutoglmError } from "@autoglm/api";
import type { Log, Metrics } from "@autoglm/telemetry";
import { Exchange } from "./exchange.ts";
import type { HTTP_METRICS } from "./metrics.ts";
import { HttpProblem, type ProblemAnswer } from "./problems.ts";
import { isPublicPath, type Route, type RouteTable } from "./routes.ts";

export interface InferenceServerOptions {
  readonly host: string;
  /** 0 picks a free one. */
  readonly port: number;
  readonly isAllowed: (authorization: string | undefined) => boolean;
  readonly requestLimitBytes: number;
  readonly connectionLimit: number;
  readonly routes: RouteTable;
  readonly metrics: Pick<Metrics<typeof HTTP_METRICS>, "count" | "observe" | "gauge">;
  readonly log: Log;
}

export interface InferenceServer {
  readonly port: number;
  /** Lets what is under way end, for at most `graceMs`. */
  close(graceMs: number): Promise<void>;
}

/** A head that takes longer, or a body, is no client of ours. */
const REQUEST_TIMEOUT_MS = 120_000;
const KEEP_ALIVE_MS = 75_000;
const NO_BODY = Buffer.alloc(0);
const REQUEST_ID = /^[\w.:/+=-]{1,128}$/;

/** @throws AutoglmError `InvalidOption` when the address can't be listened on */
export async function startInferenceServer(options: InferenceServerOptions): Promise<InferenceServer> {
  const { host, port, connectionLimit, log, metrics } = options;
  const front = new Front(options);
  const server = createServer(
    { requestTimeout: REQUEST_TIMEOUT_MS, keepAliveTimeout: KEEP_ALIVE_MS },
    (request, response) => front.receive(request, response),
  );
  server.maxConnections = connectionLimit;
  server.on("drop", () => metrics.count("autoglm_http_dropped_connections_total", {}));
  const listening = Promise.withResolvers<void>();
  server.once("error", listening.reject);
  // Clients that arrive together wait in the kernel, not in their own retry.
  server.listen({ port, host, backlog: 1024 }, listening.resolve);
  try {
    await listening.promise;
  } catch (cause) {
    throw new AutoglmError(
      "InvalidOption",
      `can't listen on ${host}:${port}; set AUTOGLM_HTTP_PORT to another port`,
      { cause },
    );
  }
  server.off("error", listening.reject);
  server.on("error", (error) => log.error({ error }, "the inference port failed"));
  metrics.gauge("autoglm_http_open_requests_count", {}, () => front.open);
  // A server on a TCP address has an AddressInfo; only pipes have text.
  const { port: boundPort } = server.address() as AddressInfo;
  return {
    port: boundPort,
    async close(graceMs) {
      const closed = Promise.withResolvers<void>();
      server.close(() => closed.resolve());
      server.closeIdleConnections();
      const timer = setTimeout(() => server.closeAllConnections(), graceMs);
      await closed.promise;
      clearTimeout(timer);
    },
  };
}

class Front {
  readonly #options: InferenceServerOptions;
  readonly #idPrefix = randomBytes(6).toString("base64url");
  #requests = 0;
  open = 0;

  constructor(options: InferenceServerOptions) {
    this.#options = options;
  }

  receive(request: IncomingMessage, response: ServerResponse): void {
    this.open++;
    const exchange = new Exchange(request, response, this.#idOf(request), this.#noteProblem);
    response.once("close", () => this.#close(exchange));
    try {
      const route = this.#route(exchange);
      if (route?.method === "POST") this.#readBody(exchange, route);
      else if (route !== undefined) {
        // Nobody reads a body here, and some of these paths need no token: it is let go as it comes, and not waited for.
        request.resume();
        this.#answer(exchange, route, NO_BODY);
      }
    } catch (error) {
      exchange.fail(error);
    }
  }

  #idOf({ headers }: IncomingMessage): string {
    const sent = headers["x-request-id"];
    if (typeof sent === "string" && REQUEST_ID.test(sent)) return sent;
    return `${this.#idPrefix}-${(++this.#requests).toString(36)}`;
  }

  /** The route of a request that may have it; the others are answered here. */
  #route(exchange: Exchange): Route | undefined {
    const { url = "/", method, headers } = exchange.request;
    const query = url.indexOf("?");
    const path = query < 0 ? url : url.slice(0, query);
    const isAllowed = this.#options.isAllowed(headers.authorization);
    // Who is nobody learns no names of models from the difference between 404 and 401.
    if (!isAllowed && !isPublicPath(path)) {
      exchange.fail(new HttpProblem(401, "a token is needed: Authorization: Bearer …"));
      return undefined;
    }
    const routes = this.#options.routes(path);
    const [first] = routes;
    if (first === undefined)
      throw new HttpProblem(404, `no such path: ${path.slice(0, 200)}; GET /v2 says what there is`);
    const route = routes.find((candidate) => candidate.method === method) ?? first;
    exchange.route = route.name;
    exchange.model = route.model ?? "";
    exchange.form = route.form;
    if (route.method === method) return route;
    exchange.response.setHeader("allow", route.method);
    throw new HttpProblem(405, `${path.slice(0, 200)} is for ${route.method}`);
  }

  #readBody(exchange: Exchange, route: Route): void {
    const { request } = exchange;
    const { requestLimitBytes } = this.#options;
    if (Number(request.headers["content-length"] ?? 0) > requestLimitBytes) {
      this.#refuseBody(exchange);
      return;
    }
    let first: Buffer | undefined;
    let others: Buffer[] | undefined;
    let length = 0;
    request.on("data", (chunk: Buffer) => {
      length += chunk.length;
      if (length > requestLimitBytes) this.#refuseBody(exchange);
      else if (first === undefined) first = chunk;
      else (others ??= [first]).push(chunk);
    });
    request.once("end", () => {
      if (exchange.over) return;
      this.#answer(
        exchange,
        route,
        others === undefined ? (first ?? NO_BODY) : Buffer.concat(others, length),
      );
    });
  }

  #answer(exchange: Exchange, route: Route, body: Buffer): void {
    try {
      const answering = route.answer(exchange, body);
      if (answering !== undefined) answering.catch((error: unknown) => exchange.fail(error));
    } catch (error) {
      exchange.fail(error);
    }
  }

  /** The rest of the body is not read, so the connection is of no more use. */
  #refuseBody(exchange: Exchange): void {
    if (exchange.over) return;
    exchange.response.setHeader("connection", "close");
    const { requestLimitBytes } = this.#options;
    exchange.fail(
      new HttpProblem(
        413,
        `the body is larger than ${requestLimitBytes} bytes; send it in parts, or raise AUTOGLM_REQUEST_LIMIT`,
      ),
    );
    exchange.request.pause();
  }

  readonly #noteProblem = (exchange: Exchange, { status, bug }: ProblemAnswer): void => {
    const { metrics, log } = this.#options;
    if (status === 429) metrics.count("autoglm_http_dropped_requests_total", { reason: "queue" });
    else if (status === 504) metrics.count("autoglm_http_dropped_requests_total", { reason: "deadline" });
    if (bug !== undefined)
      log.error({ error: bug, request: exchange.id, route: exchange.route }, "a request failed");
  };

  #close(exchange: Exchange): void {
    this.open--;
    const { metrics } = this.#options;
    const { route, model, response, startMs } = exchange;
    if (!response.writableFinished)
      metrics.count("autoglm_http_dropped_requests_total", { reason: "disconnect" });
    const status = response.writableFinished ? String(response.statusCode) : "disconnect";
    metrics.observe(
      "autoglm_http_request_seconds",
      { route, model, status },
      (performance.now() - startMs) / 1000,
    );
  }
}
