/**
 * Typed operations on any kind of the Kubernetes API over one pool of connections.
 *
 * Every call has a time limit of its own and takes the caller's AbortSignal; every failure is an `AutoglmError`
 * (errors.ts). Nothing is repeated here: the queue above retries.
 *
 * Writes are server-side apply under one field manager, except create (deterministic names), merge patch
 * (finalizers, annotations) and delete.
 */
import { hasErrorCode } from "@autoglm/api";
import type { KubeConfig } from "@kubernetes/client-node";
import { type AuthenticatedTarget, PooledConnection } from "./connection.ts";
import { errorFromConnection, errorFromResponse, type RequestSubject } from "./errors.ts";
import { type Clock, type KubeMetrics, noMetrics, systemClock } from "./ports.ts";
import {
  apiVersionOf,
  keyOf,
  type KubeObject,
  type ObjectReference,
  type Resource,
  resourceName,
  resourcePath,
} from "./resource.ts";
import { openWatch, type WatchRequest, type WatchStream } from "./watch.ts";

const DEFAULT_TIMEOUT_MS = 15_000;
const DEFAULT_CONNECTIONS = 4;
const PAGE_SIZE = 500;

export interface KubeClientOptions {
  /** Owner of the fields that apply writes; default `autoglm-operator`. */
  readonly fieldManager?: string;
  /** Time limit of a call that names none; default 15 s. */
  readonly timeoutMs?: number;
  /** For calls, watches excepted; default 4. Calls wait for one of them, within their time limit. */
  readonly maxConnections?: number;
  readonly metrics?: KubeMetrics;
  readonly clock?: Clock;
}

export interface CallOptions {
  readonly signal?: AbortSignal | undefined;
  readonly timeoutMs?: number | undefined;
}

export interface ListSelector {
  /** Absent: all namespaces. */
  readonly namespace?: string | undefined;
  readonly labelSelector?: string | undefined;
  readonly fieldSelector?: string | undefined;
}

export interface ObjectList<T> {
  readonly items: readonly T[];
  /** From here a watch continues without a gap. */
  readonly resourceVersion: string;
}

export interface ApplyOptions extends CallOptions {
  /** Takes over fields that another manager owns; default true, as for every controller. */
  readonly force?: boolean;
  readonly fieldManager?: string;
  /** Checked and defaulted by the server, stored nowhere. */
  readonly dryRun?: boolean;
}

export interface PatchOptions extends CallOptions {
  readonly subresource?: "status";
}

export interface DeleteOptions extends CallOptions {
  /** Conflict when the object of this name is another one by now. */
  readonly uid?: string | undefined;
  readonly propagation?: "Background" | "Foreground" | "Orphan";
}

export interface RawRequest extends CallOptions {
  readonly method: "GET" | "POST" | "PUT" | "PATCH" | "DELETE";
  readonly path: string;
  readonly query?: Readonly<Record<string, string | number | boolean | undefined>>;
  readonly body?: unknown;
  readonly contentType?: string;
  /** Default: application/json. */
  readonly accept?: string;
  /** Names the request in errors and metrics; default: method and path. */
  readonly subject?: RequestSubject;
}

export class KubeClient {
  readonly #connection: PooledConnection;
  readonly #fieldManager: string;
  readonly #timeoutMs: number;
  readonly #metrics: KubeMetrics;
  readonly #clock: Clock;

  /** @param config Its current context says where to and as whom; use `loadKubeClient` unless you have one. */
  constructor(config: KubeConfig, options: KubeClientOptions = {}) {
    this.#connection = new PooledConnection(config, options.maxConnections ?? DEFAULT_CONNECTIONS);
    this.#fieldManager = options.fieldManager ?? "autoglm-operator";
    this.#timeoutMs = options.timeoutMs ?? DEFAULT_TIMEOUT_MS;
    this.#metrics = options.metrics ?? noMetrics;
    this.#clock = options.clock ?? systemClock;
  }

  /** Throws NotFound. */
  async get<T extends KubeObject>(
    resource: Resource<T>,
    reference: ObjectReference,
    options: CallOptions = {},
  ): Promise<T> {
    return this.#json<T>({
      method: "GET",
      path: resourcePath(resource, reference),
      subject: subjectOf("get", resource, reference),
      ...options,
    });
  }

  /** As `get`, with `undefined` where nothing has this name; any other failure is still thrown. */
  async find<T extends KubeObject>(
    resource: Resource<T>,
    reference: ObjectReference,
    options: CallOptions = {},
  ): Promise<T | undefined> {
    try {
      return await this.get(resource, reference, options);
    } catch (error) {
      if (hasErrorCode(error, "NotFound")) return undefined;
      throw error;
    }
  }

  /** Every page, 500 objects each. Throws WatchExpired when the list changed too much between two pages. */
  async list<T extends KubeObject>(
    resource: Resource<T>,
    selector: ListSelector = {},
    options: CallOptions = {},
  ): Promise<ObjectList<T>> {
    const { namespace, labelSelector, fieldSelector } = selector;
    // The server leaves both out of the items of a list.
    const typeMeta = { apiVersion: apiVersionOf(resource), kind: resource.kind };
    const items: T[] = [];
    let next: string | undefined;
    for (;;) {
      const page = await this.#json<ListPage<T>>({
        method: "GET",
        path: resourcePath(resource, { namespace }),
        query: { limit: PAGE_SIZE, continue: next, labelSelector, fieldSelector },
        subject: subjectOf("list", resource),
        ...options,
      });
      for (const item of page.items ?? []) items.push({ ...typeMeta, ...item });
      next = page.metadata.continue;
      if (next === undefined || next === "") {
        return { items, resourceVersion: page.metadata.resourceVersion ?? "" };
      }
    }
  }

  /** Throws AlreadyExists. */
  async create<T extends KubeObject>(
    resource: Resource<T>,
    object: T,
    options: CallOptions = {},
  ): Promise<T> {
    return this.#json<T>({
      method: "POST",
      path: resourcePath(resource, { namespace: object.metadata.namespace }),
      query: { fieldManager: this.#fieldManager },
      body: object,
      subject: subjectOf("create", resource, object.metadata),
      ...options,
    });
  }

  /** Server-side apply: creates or merges; the fields that `object` holds become this manager's. */
  async apply<T extends KubeObject>(
    resource: Resource<T>,
    object: T,
    options: ApplyOptions = {},
  ): Promise<T> {
    return this.#apply(resource, object, undefined, options);
  }

  /** Server-side apply of `status`; `spec` is ignored by the server. Throws NotFound, and Conflict when `metadata.uid` is another. */
  async applyStatus<T extends KubeObject>(
    resource: Resource<T>,
    object: T,
    options: ApplyOptions = {},
  ): Promise<T> {
    return this.#apply(resource, object, "status", options);
  }

  /** JSON merge patch. With `metadata.resourceVersion` in the patch: Conflict when the object has moved on. */
  async mergePatch<T extends KubeObject>(
    resource: Resource<T>,
    reference: ObjectReference,
    patch: unknown,
    options: PatchOptions = {},
  ): Promise<T> {
    const { subresource, ...call } = options;
    return this.#json<T>({
      method: "PATCH",
      path: resourcePath(resource, { ...reference, ...(subresource === undefined ? {} : { subresource }) }),
      query: { fieldManager: this.#fieldManager },
      contentType: "application/merge-patch+json",
      body: patch,
      subject: subjectOf("patch", resource, reference),
      ...call,
    });
  }

  /** Throws NotFound. */
  async delete(resource: Resource, reference: ObjectReference, options: DeleteOptions = {}): Promise<void> {
    const { uid, propagation, ...call } = options;
    await this.request({
      method: "DELETE",
      path: resourcePath(resource, reference),
      body: {
        propagationPolicy: propagation ?? "Background",
        ...(uid === undefined ? {} : { preconditions: { uid } }),
      },
      subject: subjectOf("delete", resource, reference),
      ...call,
    });
  }

  /** Any other request, `/version` or a review. Returns the body of an answer below 400. */
  async request(request: RawRequest): Promise<string> {
    const subject = request.subject ?? { method: request.method.toLowerCase(), resource: request.path };
    const limit = AbortSignal.timeout(request.timeoutMs ?? this.#timeoutMs);
    const signal = request.signal === undefined ? limit : AbortSignal.any([limit, request.signal]);
    const startedAt = this.#clock.now();
    const labels = { method: subject.method, resource: subject.resource };
    let code = "error";
    try {
      const target = await this.#connection.target("call");
      const response = await target.dispatcher.request({
        origin: target.origin,
        path: withQuery(target, request.path, request.query ?? {}),
        method: request.method,
        headers: {
          ...target.headers,
          accept: request.accept ?? "application/json",
          "user-agent": "autoglm",
          ...(request.body === undefined
            ? {}
            : { "content-type": request.contentType ?? "application/json" }),
        },
        body: request.body === undefined ? null : JSON.stringify(request.body),
        signal,
      });
      code = String(response.statusCode);
      const body = await response.body.text();
      if (response.statusCode < 400) return body;
      throw errorFromResponse(subject, response.statusCode, body, headerOf(response.headers["retry-after"]));
    } catch (cause) {
      const error = errorFromConnection(subject, cause, request.signal?.aborted === true);
      if (code === "error") code = error.code;
      throw error;
    } finally {
      this.#metrics.count("rest_client_requests_total", { ...labels, code });
      this.#metrics.observe(
        "rest_client_request_duration_seconds",
        labels,
        (this.#clock.now() - startedAt) / 1000,
      );
    }
  }

  /** One watch connection; informer.ts is what keeps watching. */
  async watch<T extends KubeObject>(resource: Resource<T>, request: WatchRequest): Promise<WatchStream<T>> {
    const subject = subjectOf("watch", resource);
    const target = await this.#connection.target("watch").catch((cause: unknown) => {
      throw errorFromConnection(subject, cause, request.signal.aborted);
    });
    const path = withQuery(target, resourcePath(resource, { namespace: request.namespace }), {
      watch: true,
      allowWatchBookmarks: true,
      resourceVersion: request.resourceVersion,
      timeoutSeconds: request.timeoutSeconds,
      labelSelector: request.labelSelector,
      fieldSelector: request.fieldSelector,
    });
    return openWatch<T>({ ...request, target, path, subject });
  }

  /** Ends every connection; calls and watches under way fail. */
  async close(): Promise<void> {
    await this.#connection.close();
  }

  async #apply<T extends KubeObject>(
    resource: Resource<T>,
    object: T,
    subresource: "status" | undefined,
    options: ApplyOptions,
  ): Promise<T> {
    const { force, fieldManager, dryRun, ...call } = options;
    const reference = { name: object.metadata.name, namespace: object.metadata.namespace };
    return this.#json<T>({
      method: "PATCH",
      path: resourcePath(resource, { ...reference, ...(subresource === undefined ? {} : { subresource }) }),
      query: {
        fieldManager: fieldManager ?? this.#fieldManager,
        force: force ?? true,
        dryRun: dryRun === true ? "All" : undefined,
      },
      contentType: "application/apply-patch+yaml",
      body: object,
      subject: subjectOf(subresource === undefined ? "apply" : "apply_status", resource, reference),
      ...call,
    });
  }

  async #json<T>(request: RawRequest): Promise<T> {
    // The schema of the CRD, or Kubernetes' own, has checked what comes back; the resource names its type.
    return JSON.parse(await this.request(request)) as T;
  }
}

interface ListPage<T> {
  readonly metadata: { readonly resourceVersion?: string; readonly continue?: string };
  /** null when an empty list was encoded by Go. */
  readonly items?: readonly T[] | null;
}

function subjectOf(method: string, resource: Resource, reference?: ObjectReference): RequestSubject {
  return {
    method,
    resource: resourceName(resource),
    ...(reference === undefined ? {} : { key: keyOf(reference) }),
  };
}

function withQuery(
  target: AuthenticatedTarget,
  path: string,
  query: Readonly<Record<string, string | number | boolean | undefined>>,
): string {
  const parameters = new URLSearchParams();
  for (const [name, value] of Object.entries(query)) {
    if (value !== undefined) parameters.set(name, String(value));
  }
  const text = parameters.toString();
  return `${target.pathPrefix}${path}${text === "" ? "" : `?${text}`}`;
}

function headerOf(value: string | string[] | undefined): string | undefined {
  return Array.isArray(value) ? value[0] : value;
}
