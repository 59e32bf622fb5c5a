/**
 * The ingester over HTTP: results and ledgers for who may read the task, model files for who knows their digest.
 *
 *     GET /results/:uid?run=&order=item|accepted&cursor=&limit=&follow=   JSON, or application/x-ndjson
 *     GET /ledger/:uid?run=
 *     GET /models/sha256/:digest
 *     PUT /models/sha256/:digest                                          for who may create AutoGLMModels
 *
 * A task that does not exist and one that the caller may not read give the same answer after the same time. With
 * `follow=true` an empty page waits up to 30 s for a result, a stream of lines goes on until the run is complete.
 */
import { Readable } from "node:stream";
import {
  AutoglmError,
  type ErrorCode,
  type Ledger,
  type ResultPage,
  type ResultRecord,
  toAutoglmError,
} from "@autoglm/api";
import type { Log } from "@autoglm/telemetry";
import fastify, { type FastifyInstance, type FastifyRequest } from "fastify";
import { z } from "zod";
import { serveModelFiles } from "../files/model-files.ts";
import { takeModelFiles } from "../files/model-uploads.ts";
import { type Cursor, formatCursor, parseCursor } from "../results/cursor.ts";
import type { ResultStore, TaskIdentity } from "../results/store.ts";
import type { AccessPort } from "./access.ts";
import type { Changes } from "./changes.ts";

const FOLLOW_MS = 30_000;

const querySchema = z.strictObject({
  run: z.coerce.number().int().min(0).optional(),
  order: z.enum(["item", "accepted"]).optional(),
  cursor: z.string().max(64).optional(),
  limit: z.coerce.number().int().min(1).max(5000).default(500),
  follow: z.stringbool().default(false),
});
type Query = z.output<typeof querySchema>;

export interface ResultServerOptions {
  readonly store: ResultStore;
  readonly changes: Changes;
  readonly access: AccessPort;
  readonly isStoreFull: () => boolean;
  readonly modelBlobsDir?: string | undefined;
  readonly log: Log;
  /** Ends what waits. */
  readonly signal: AbortSignal;
  /** How long an empty page waits, milliseconds; default 30 s. */
  readonly followMs?: number | undefined;
}

/** Not yet listening. */
export function createResultServer(options: ResultServerOptions): FastifyInstance {
  const server = fastify({ forceCloseConnections: true });
  const results = new ResultRoutes(options);
  server.get<{ Params: { uid: string } }>("/results/:uid", async (request, reply) => {
    const query = queryOf(request);
    const task = await results.visibleTask(request, request.params.uid, query.follow);
    if (!(request.headers.accept ?? "").includes("application/x-ndjson")) return results.page(task, query);
    void reply.type("application/x-ndjson");
    return reply.send(Readable.from(results.lines(task, query, () => request.raw.destroyed)));
  });
  server.get<{ Params: { uid: string } }>("/ledger/:uid", async (request) => {
    const query = queryOf(request);
    return results.ledger(await results.visibleTask(request, request.params.uid, query.follow), query.run);
  });
  serveModelFiles(server, { blobsDir: options.modelBlobsDir });
  takeModelFiles(server, {
    blobsDir: options.modelBlobsDir,
    authorise: async (request) => {
      const caller = { token: bearerToken(request), remoteAddress: request.ip };
      const answer = await options.access.judgeUpload(caller);
      if (answer === "unauthenticated") throw unauthenticated();
      if (answer === "denied") throw mayNotUpload();
    },
  });
  server.setNotFoundHandler((request, reply) =>
    reply.code(404).send({
      code: "NotFound",
      message: `there is no ${request.method} ${request.url.split("?")[0]}`,
      hint: "see /results/<task uid>, /ledger/<task uid> and /models/sha256/<digest>",
    }),
  );
  server.setErrorHandler((thrown, request, reply) => {
    const error = toAutoglmError(thrown);
    const status = statusOf(error);
    if (status === 500) options.log.error({ error, url: request.routeOptions.url }, "request failed");
    if (status === 401) void reply.header("www-authenticate", "Bearer");
    const { hint } = error.details;
    return reply.code(status).send({ code: error.code, message: error.message, hint: hint ?? "" });
  });
  return server;
}

class ResultRoutes {
  readonly #options: ResultServerOptions;
  readonly #followMs: number;

  constructor(options: ResultServerOptions) {
    this.#options = options;
    this.#followMs = options.followMs ?? FOLLOW_MS;
  }

  /** The task, if the caller may read it; with `follow`, waits for its first result. */
  async visibleTask(request: FastifyRequest, uid: string, follow: boolean): Promise<TaskIdentity> {
    const { access, store, changes, signal } = this.#options;
    const judge = async () => {
      const task = store.findTask(uid);
      const caller = { token: bearerToken(request), remoteAddress: request.ip };
      return { task, answer: await access.judge({ ...caller, task }) };
    };
    const waitUntil = performance.now() + (follow ? this.#followMs : 0);
    for (;;) {
      const { task, answer } = await judge();
      if (answer === "unauthenticated") throw unauthenticated();
      if (task !== undefined && answer === "allowed") return task;
      const remainingMs = waitUntil - performance.now();
      if (remainingMs <= 0 || signal.aborted) throw notVisible(uid);
      // Without the right to read the task nothing is learned from how long this takes.
      await changes.wait(task === undefined ? uid : "", remainingMs, signal);
    }
  }

  async page(task: TaskIdentity, query: Query): Promise<ResultPage> {
    const { changes, signal } = this.#options;
    const cursor = this.#start(task, query);
    const waitUntil = performance.now() + this.#followMs;
    for (;;) {
      const { records, next, hasMore } = this.#read(task, cursor, query.limit);
      const mayGrow = query.follow && this.#mayGrow(task, cursor.run);
      const remainingMs = waitUntil - performance.now();
      if (records.length > 0 || !mayGrow || remainingMs <= 0 || signal.aborted) {
        return {
          task,
          run: cursor.run,
          results: [...records],
          ...((hasMore || mayGrow) && { cursor: formatCursor({ ...cursor, next }) }),
          ledger: this.ledger(task, cursor.run),
        };
      }
      await changes.wait(task.uid, remainingMs, signal);
    }
  }

  /** One JSON record per line. */
  async *lines(task: TaskIdentity, query: Query, isGone: () => boolean): AsyncGenerator<string> {
    const { changes, signal } = this.#options;
    let cursor = this.#start(task, query);
    while (!signal.aborted && !isGone()) {
      const { records, next, hasMore } = this.#read(task, cursor, query.limit);
      if (records.length > 0) yield records.map((record) => `${JSON.stringify(record)}\n`).join("");
      cursor = { ...cursor, next };
      if (hasMore) continue;
      if (!query.follow || !this.#mayGrow(task, cursor.run)) return;
      if (records.length === 0) await changes.wait(task.uid, this.#followMs, signal);
    }
  }

  ledger(task: TaskIdentity, run: number | undefined): Ledger {
    const { store, isStoreFull } = this.#options;
    const ledger = store.ledger(task.uid, { storeFull: isStoreFull(), ...(run !== undefined && { run }) });
    if (ledger === undefined) throw notVisible(`${task.uid}, run ${run ?? 0},`);
    return ledger;
  }

  /** True for a run that is not complete, and for one that has not begun. */
  #mayGrow({ uid }: TaskIdentity, run: number): boolean {
    const { store } = this.#options;
    const ledger = store.ledger(uid, { run, storeFull: false });
    return ledger === undefined ? run > (store.newestRun(uid) ?? -1) : !ledger.complete;
  }

  #start({ uid }: TaskIdentity, { run, order, cursor, follow }: Query): Cursor {
    if (cursor === undefined) {
      const newest = run ?? this.#options.store.newestRun(uid) ?? 0;
      return { order: order ?? (follow ? "accepted" : "item"), run: newest, next: 0 };
    }
    const parsed = parseCursor(cursor);
    if ((run ?? parsed.run) !== parsed.run || (order ?? parsed.order) !== parsed.order) {
      throw new AutoglmError("InvalidOption", "the cursor belongs to another run or order");
    }
    return parsed;
  }

  #read(
    { uid }: TaskIdentity,
    { order, run, next }: Cursor,
    limit: number,
  ): { readonly records: readonly ResultRecord[]; readonly next: number; readonly hasMore: boolean } {
    const { store } = this.#options;
    const task = store.taskKey(uid);
    if (task === undefined) throw notVisible(uid);
    return store.reader.read({ task, run, order, from: next, limit });
  }
}

function queryOf(request: FastifyRequest): Query {
  const parsed = querySchema.safeParse(request.query);
  if (parsed.success) return parsed.data;
  const [issue] = parsed.error.issues;
  throw new AutoglmError(
    "InvalidOption",
    `${issue?.path.join(".") || "query"}: ${issue?.message ?? "wrong"}`,
    {
      cause: parsed.error,
      details: { hint: "parameters are run, order (item or accepted), cursor, limit (1 to 5000), follow" },
    },
  );
}

function bearerToken(request: FastifyRequest): string | undefined {
  return /^Bearer ([^\s]{1,16384})$/i.exec(request.headers.authorization ?? "")?.[1];
}

function unauthenticated(): AutoglmError {
  return new AutoglmError("Forbidden", "a valid bearer token is needed", {
    retry: "never",
    details: {
      isUnauthenticated: true,
      hint: "send the token that you use with the Kubernetes API: kubectl create token …",
    },
  });
}

function mayNotUpload(): AutoglmError {
  return new AutoglmError(
    "Forbidden",
    "you may not bring files of models: that takes the right to create them",
    {
      retry: "never",
      details: { isRefused: true, hint: "kubectl auth can-i create autoglmmodels" },
    },
  );
}

function notVisible(uid: string): AutoglmError {
  return new AutoglmError("NotFound", `no results of task ${uid} that you may read`, {
    retry: "never",
    details: { hint: "there may be none yet; or: kubectl auth can-i get autoglmtasks -n <namespace>" },
  });
}

const STATUS: Partial<Record<ErrorCode, number>> = {
  NotFound: 404,
  InvalidOption: 400,
  ApiUnavailable: 503,
  // The API server does not let us ask: not the caller's fault.
  Forbidden: 503,
  TooManyRequests: 503,
  Timeout: 503,
  ModelDigestMismatch: 400,
  ResultStoreFull: 507,
};

function statusOf({ code, details }: AutoglmError): number {
  if (details["isUnauthenticated"] === true) return 401;
  if (details["isRefused"] === true) return 403;
  return STATUS[code] ?? 500;
}
