/**
 * One watch connection as an async iterable of events.
 *
 * Silence is a failure: the API server sends a bookmark about once a minute, so a connection that says nothing
 * for `silenceMs` is half-open and ends with Timeout. A line that is no JSON ends it too, where client-node would
 * swallow the event. Ends normally when the server closes it, after `timeoutSeconds` at the latest.
 */
import type { Dispatcher } from "undici";
import type { AuthenticatedTarget } from "./connection.ts";
import {
  errorFromConnection,
  errorFromResponse,
  errorFromWatchEvent,
  type RequestSubject,
} from "./errors.ts";
import type { KubeObject } from "./resource.ts";

/** The API server answers a watch at once, long before its first event. */
const HEADERS_TIMEOUT_MS = 30_000;

export interface WatchRequest {
  readonly namespace?: string | undefined;
  readonly labelSelector?: string | undefined;
  readonly fieldSelector?: string | undefined;
  readonly resourceVersion: string;
  readonly timeoutSeconds: number;
  readonly silenceMs: number;
  readonly signal: AbortSignal;
}

export type WatchEvent<T extends KubeObject> =
  | { readonly type: "ADDED" | "MODIFIED" | "DELETED"; readonly object: T }
  | {
      readonly type: "BOOKMARK";
      readonly object: { readonly metadata: { readonly resourceVersion: string } };
    };

export type WatchStream<T extends KubeObject> = AsyncIterable<WatchEvent<T>>;

export interface OpenWatchOptions extends WatchRequest {
  readonly target: AuthenticatedTarget;
  readonly path: string;
  readonly subject: RequestSubject;
}

/** Resolves once the server has accepted the watch. Throws WatchExpired when its resourceVersion is too old. */
export async function openWatch<T extends KubeObject>(options: OpenWatchOptions): Promise<WatchStream<T>> {
  const { target, path, subject, signal, silenceMs } = options;
  try {
    const response = await target.dispatcher.request({
      origin: target.origin,
      path,
      method: "GET",
      headers: { ...target.headers, accept: "application/json", "user-agent": "autoglm" },
      headersTimeout: Math.min(silenceMs, HEADERS_TIMEOUT_MS),
      bodyTimeout: silenceMs,
      signal,
    });
    if (response.statusCode !== 200) {
      const header = response.headers["retry-after"];
      const retryAfter = Array.isArray(header) ? header[0] : header;
      throw errorFromResponse(subject, response.statusCode, await response.body.text(), retryAfter);
    }
    return readEvents<T>(response.body, subject, signal);
  } catch (cause) {
    throw errorFromConnection(subject, cause, signal.aborted);
  }
}

async function* readEvents<T extends KubeObject>(
  body: Dispatcher.ResponseData["body"],
  subject: RequestSubject,
  signal: AbortSignal,
): AsyncGenerator<WatchEvent<T>> {
  const decoder = new TextDecoder();
  let partial = "";
  try {
    // Leaving the loop early destroys the body, and with it the connection.
    for await (const chunk of body as AsyncIterable<Uint8Array>) {
      const lines = (partial + decoder.decode(chunk, { stream: true })).split("\n");
      partial = lines.pop() ?? "";
      for (const line of lines) if (line !== "") yield parseEvent<T>(line, subject);
    }
  } catch (cause) {
    throw errorFromConnection(subject, cause, signal.aborted);
  }
}

function parseEvent<T extends KubeObject>(line: string, subject: RequestSubject): WatchEvent<T> {
  // The API server's own shape; the resource names the type of the object.
  const event = JSON.parse(line) as WatchEvent<T> | { readonly type: "ERROR"; readonly object: unknown };
  if (event.type === "ERROR") throw errorFromWatchEvent(subject, event.object);
  return event;
}
