/**
 * The port that every process has for its supervisor and for Prometheus.
 *
 *   GET /healthz   200 "ok", 503 when the process can't recover by itself: restart it
 *   GET /readyz    200 "ok", 503 with the reason while it should get no new work
 *   GET /metrics   Prometheus' text format
 *
 * It has no authentication and tells nothing that needs it: no names of tasks, no text.
 */
import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { AutoglmError } from "@autoglm/api";
import type { Log } from "./log.ts";

export interface Readiness {
  readonly ready: boolean;
  /** Why not, for a person. */
  readonly reason?: string;
}

export interface HealthServerOptions {
  readonly host: string;
  /** 0 picks a free one. */
  readonly port: number;
  readonly metrics: { render(): Promise<string>; readonly contentType: string };
  readonly isReady: () => Readiness;
  readonly isLive: () => boolean;
  /** Gets the errors of failed checks and scrapes. */
  readonly log?: Pick<Log, "error">;
}

export interface HealthServer {
  readonly port: number;
  /** Ends open connections too: a probe must not hold up a shutdown. */
  close(): Promise<void>;
}

interface Answer {
  readonly status: number;
  readonly body: string;
  readonly contentType?: string;
}

/** @throws AutoglmError `InvalidOption` when the address can't be listened on */
export async function startHealthServer(options: HealthServerOptions): Promise<HealthServer> {
  const { host, port, log } = options;
  const server = createServer({ requestTimeout: 5000, keepAliveTimeout: 5000 }, (request, response) => {
    void answerRequest(options, request)
      .catch((error: unknown): Answer => {
        log?.error({ error, path: request.url }, "health check failed");
        return { status: 500, body: "check failed; see the log" };
      })
      .then((answer) => send(response, answer));
  });
  server.maxConnections = 64;
  const listening = Promise.withResolvers<void>();
  server.once("error", listening.reject);
  server.listen(port, host, listening.resolve);
  try {
    await listening.promise;
  } catch (cause) {
    throw new AutoglmError("InvalidOption", `can't listen on ${host}:${port}; choose another port`, {
      details: { host, port },
      cause,
    });
  }
  server.off("error", listening.reject);
  server.on("error", (error) => log?.error({ error }, "health server failed"));
  // A server on a TCP address has an AddressInfo; only pipes have text.
  const { port: boundPort } = server.address() as AddressInfo;
  return {
    port: boundPort,
    async close() {
      const closed = Promise.withResolvers<void>();
      server.close(() => closed.resolve());
      server.closeAllConnections();
      await closed.promise;
    },
  };
}

async function answerRequest(options: HealthServerOptions, request: IncomingMessage): Promise<Answer> {
  if (request.method !== "GET" && request.method !== "HEAD") {
    return { status: 405, body: "only GET" };
  }
  switch ((request.url ?? "/").replace(/\?.*/, "")) {
    case "/healthz":
      return options.isLive() ? { status: 200, body: "ok" } : { status: 503, body: "not alive" };
    case "/readyz": {
      const { ready, reason } = options.isReady();
      return ready ? { status: 200, body: "ok" } : { status: 503, body: reason ?? "not ready" };
    }
    case "/metrics": {
      const { metrics } = options;
      return { status: 200, body: await metrics.render(), contentType: metrics.contentType };
    }
    default:
      return { status: 404, body: "try /healthz, /readyz or /metrics" };
  }
}

function send(response: ServerResponse, { status, body, contentType }: Answer): void {
  response.writeHead(status, {
    "content-type": contentType ?? "text/plain; charset=utf-8",
    "content-length": Buffer.byteLength(body),
  });
  response.end(body);
}
