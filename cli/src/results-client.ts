/** Reads results from the ingester, page by page; waits at the server, not here. */
import { setTimeout as delay } from "node:timers/promises";
import { AutoglmError, type ErrorCode, hasErrorCode, type ResultPage, resultPageSchema } from "@autoglm/api";
import type { ResultsEndpoint } from "./cluster.ts";
import { errorWithHint } from "./exit-codes.ts";

export interface PageQuery {
  readonly run?: number;
  readonly order?: "item" | "accepted";
  readonly cursor?: string;
  readonly follow?: boolean;
}

export interface FollowPagesOptions {
  /** Default: the newest. */
  readonly run?: number | undefined;
  /** While true, a task without results is waited for. */
  readonly mayComeLater: () => boolean;
  readonly onUnreachable: (error: AutoglmError) => void;
  readonly signal: AbortSignal;
}

/** Longer than the server waits. */
const TIMEOUT_MS = 45_000;
const RETRY_MS = 1000;

export class ResultsClient {
  readonly #endpoint: ResultsEndpoint;

  constructor(endpoint: ResultsEndpoint) {
    this.#endpoint = endpoint;
  }

  /** @throws AutoglmError `NotFound` for a task without results, `Forbidden` for a token that is refused */
  async page(uid: string, query: PageQuery, signal: AbortSignal): Promise<ResultPage> {
    const { url, token } = this.#endpoint;
    const parameters = new URLSearchParams({ limit: "1000" });
    for (const [name, value] of Object.entries(query)) parameters.set(name, String(value));
    const address = `${url}/results/${encodeURIComponent(uid)}?${parameters.toString()}`;
    let response: Response;
    let body: unknown;
    try {
      response = await fetch(address, {
        headers: { authorization: `Bearer ${token}`, accept: "application/json" },
        signal: AbortSignal.any([signal, AbortSignal.timeout(TIMEOUT_MS)]),
      });
      body = await response.json();
    } catch (cause) {
      if (signal.aborted) throw new AutoglmError("Aborted", "stopped", { cause });
      throw errorWithHint(
        "ApiUnavailable",
        `the results server ${url} can't be reached`,
        "the ingester serves it: see whether that runs; no result is lost meanwhile",
        cause,
      );
    }
    if (response.ok) return resultPageSchema.parse(body);
    throw errorOfAnswer(response.status, body);
  }

  /** All pages of what is accepted now. */
  async *pages(uid: string, query: PageQuery, signal: AbortSignal): AsyncGenerator<ResultPage> {
    let next: PageQuery | undefined = query;
    while (next !== undefined) {
      const page: ResultPage = await this.page(uid, next, signal);
      yield page;
      next = page.cursor === undefined ? undefined : { cursor: page.cursor };
    }
  }

  /** Pages of one run as results are accepted, until every item has its final result. Outlasts a lost connection. */
  async *follow(uid: string, options: FollowPagesOptions): AsyncGenerator<ResultPage> {
    const { run, signal } = options;
    let next: PageQuery | undefined = { follow: true, ...(run !== undefined && { run }) };
    while (next !== undefined) {
      let page: ResultPage;
      try {
        page = await this.page(uid, next, signal);
      } catch (error) {
        const isUnreachable = hasErrorCode(error, "ApiUnavailable");
        const isTooEarly = hasErrorCode(error, "NotFound") && options.mayComeLater();
        if (!isUnreachable && !isTooEarly) throw error;
        if (isUnreachable) options.onUnreachable(error);
        await delay(RETRY_MS, undefined, { signal }).catch(() => undefined);
        continue;
      }
      yield page;
      next = page.cursor === undefined ? undefined : { follow: true, cursor: page.cursor };
    }
  }
}

function errorOfAnswer(status: number, body: unknown): AutoglmError {
  const { message, hint } = body as { readonly message?: string; readonly hint?: string };
  const codes: Partial<Record<number, ErrorCode>> = {
    400: "InvalidOption",
    401: "Forbidden",
    404: "NotFound",
  };
  return new AutoglmError(codes[status] ?? "ApiUnavailable", `results: ${message ?? `HTTP ${status}`}`, {
    details: { status, ...(hint && { hint }) },
  });
}
