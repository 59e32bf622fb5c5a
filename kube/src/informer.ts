/**
 * Keeps a cache of one resource equal to the API server's, for as long as its signal lets it.
 *
 *     list ──▶ watch ──▶ closed by the server ──▶ watch again from the last resourceVersion
 *      ▲         │ └────▶ error or silence ─────▶ back off 1–30 s, watch again from the last resourceVersion
 *      └─────────┴─────── 410 (too old), or every `resyncMs`
 *
 * Invariant: between two lists the cache lacks at most what the watch has not delivered yet; a list repairs
 * whatever a watch missed and reports every object again, so that nothing waits on a lost event for longer than
 * `resyncMs`. The first 410 after progress lists at once; everything else that fails, fails slowly.
 *
 * It refuses to end on its own: only the signal stops it, and that is no error. Subscribers put keys on a queue
 * and return; what one throws is logged and stops neither the others nor the watch.
 *
 * Source: client-go's Reflector (k8s.io/client-go/tools/cache/reflector.go).
 */
import { AutoglmError, hasErrorCode, toAutoglmError } from "@autoglm/api";
import { backoffMs } from "./backoff.ts";
import type { KubeClient, ListSelector } from "./client.ts";
import { type IndexFunction, ObjectCache, type ObjectChange, type ObjectReader } from "./object-cache.ts";
import {
  type Clock,
  type KubeMetrics,
  type Log,
  noMetrics,
  type Random,
  silentLog,
  sleep,
  systemClock,
} from "./ports.ts";
import { keyOf, type KubeObject, type Resource, resourceName } from "./resource.ts";
import type { WatchEvent } from "./watch.ts";

export interface InformerOptions<T extends KubeObject> {
  readonly client: KubeClient;
  readonly resource: Resource<T>;
  readonly selector?: ListSelector;
  /** What to keep of an object; default: all but `managedFields`, half of most objects. Must keep `metadata`. */
  readonly keep?: (object: T) => T;
  readonly indexes?: Readonly<Record<string, IndexFunction<T>>>;
  /** How long a watch runs before the server closes it; default 290 s, less up to a sixth of it at random. */
  readonly watchSeconds?: number;
  /** Default 90 s: bookmarks come about every 60 s. */
  readonly silenceMs?: number;
  /** Default 10 min; looked at whenever a watch ends. */
  readonly resyncMs?: number;
  readonly log?: Log;
  readonly metrics?: KubeMetrics;
  readonly clock?: Clock;
  readonly random?: Random;
}

export type ChangeListener<T> = (change: ObjectChange<T>) => void;

const RESTART_BACKOFF = { baseMs: 1000, maxMs: 30_000 };
/** A watch that lived this long was healthy even if it had nothing to say. */
const HEALTHY_WATCH_MS = 10_000;

export class Informer<T extends KubeObject> {
  readonly #options: Required<InformerOptions<T>>;
  readonly #cache: ObjectCache<T>;
  readonly #listeners = new Set<ChangeListener<T>>();
  readonly #labels: { readonly resource: string };
  readonly #synced = Promise.withResolvers<void>();
  #hasSynced = false;
  /** From where to watch; undefined: list first. */
  #resourceVersion: string | undefined;
  #listedAtMs = 0;
  #lastEventAtMs: number;
  /** Failures in a row, without an event in between. */
  #failures = 0;

  constructor(options: InformerOptions<T>) {
    this.#options = {
      selector: {},
      keep: withoutManagedFields,
      indexes: {},
      watchSeconds: 290,
      silenceMs: 90_000,
      resyncMs: 600_000,
      log: silentLog,
      metrics: noMetrics,
      clock: systemClock,
      random: Math.random,
      ...options,
    };
    this.#cache = new ObjectCache(this.#options.indexes);
    this.#labels = { resource: resourceName(options.resource) };
    this.#lastEventAtMs = this.#options.clock.now();
    this.#options.metrics.gauge("autoglm_informer_objects", this.#labels, () => this.#cache.size);
    this.#options.metrics.gauge("autoglm_informer_last_event_seconds", this.#labels, () =>
      this.secondsSinceLastEvent(),
    );
  }

  get objects(): ObjectReader<T> {
    return this.#cache;
  }

  /** True from the first complete list on. */
  get hasSynced(): boolean {
    return this.#hasSynced;
  }

  /** Since the server last said anything, bookmarks included. */
  secondsSinceLastEvent(): number {
    return (this.#options.clock.now() - this.#lastEventAtMs) / 1000;
  }

  /** Rejects with Aborted when the signal fires first. */
  async waitForSync(signal: AbortSignal): Promise<void> {
    const stopped = Promise.withResolvers<never>();
    const onAbort = (): void => stopped.reject(new AutoglmError("Aborted", "stopped before the first list"));
    if (signal.aborted) onAbort();
    signal.addEventListener("abort", onAbort, { once: true });
    try {
      await Promise.race([this.#synced.promise, stopped.promise]);
    } finally {
      signal.removeEventListener("abort", onAbort);
    }
  }

  /** Subscribe before `run`, or the first list goes by unseen. Returns what unsubscribes. */
  subscribe(listener: ChangeListener<T>): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  /** Resolves when the signal fires; never rejects. Run it once. */
  async run(signal: AbortSignal): Promise<void> {
    while (!signal.aborted) {
      const delayMs = await this.#round(signal);
      if (delayMs > 0) await sleep(this.#options.clock, delayMs, signal);
    }
  }

  /** Lists if needed and watches until that ends. Returns how long to wait before the next round. */
  async #round(signal: AbortSignal): Promise<number> {
    const { clock, log, metrics, random, resyncMs } = this.#options;
    const startedAt = clock.now();
    let madeProgress = false;
    try {
      if (this.#resourceVersion === undefined || startedAt - this.#listedAtMs >= resyncMs) {
        await this.#list(signal);
      }
      for await (const event of await this.#openWatch(signal)) {
        madeProgress = true;
        this.#accept(event);
      }
      metrics.count("autoglm_informer_restarts_total", { ...this.#labels, reason: "Closed" });
      madeProgress ||= clock.now() - startedAt >= HEALTHY_WATCH_MS;
      this.#failures = madeProgress ? 0 : this.#failures + 1;
      return madeProgress ? 0 : backoffMs(RESTART_BACKOFF, this.#failures, random);
    } catch (cause) {
      if (signal.aborted) return 0;
      const error = toAutoglmError(cause);
      const expired = hasErrorCode(error, "WatchExpired");
      if (expired) this.#resourceVersion = undefined;
      this.#failures = madeProgress ? 1 : this.#failures + 1;
      const backoff =
        expired && this.#failures === 1 ? 0 : backoffMs(RESTART_BACKOFF, this.#failures, random);
      const delayMs = typeof error.retry === "object" ? Math.max(backoff, error.retry.afterMs) : backoff;
      metrics.count("autoglm_informer_restarts_total", { ...this.#labels, reason: error.code });
      // A quiet cluster may send no bookmark for longer than `silenceMs`: a new watch costs little and says nothing bad.
      const level = hasErrorCode(error, "Timeout") && this.#failures === 1 ? "debug" : "warn";
      log[level]({ ...this.#labels, code: error.code, error: error.message, delayMs }, "watch starts again");
      return delayMs;
    }
  }

  async #list(signal: AbortSignal): Promise<void> {
    const { client, resource, selector, keep, clock, metrics } = this.#options;
    // A list of many pages may take longer than a single call does.
    const list = await client.list(resource, selector, { signal, timeoutMs: 60_000 });
    metrics.count("autoglm_informer_lists_total", this.#labels);
    this.#resourceVersion = list.resourceVersion;
    this.#listedAtMs = clock.now();
    this.#lastEventAtMs = this.#listedAtMs;
    for (const change of this.#cache.replace(list.items.map(keep))) this.#tell(change);
    this.#hasSynced = true;
    this.#synced.resolve();
  }

  async #openWatch(signal: AbortSignal): Promise<AsyncIterable<WatchEvent<T>>> {
    const { client, resource, selector, watchSeconds, silenceMs, random } = this.#options;
    return client.watch(resource, {
      ...selector,
      resourceVersion: this.#resourceVersion ?? "",
      timeoutSeconds: Math.max(1, Math.round(watchSeconds * (1 - random() / 6))),
      silenceMs,
      signal,
    });
  }

  #accept(event: WatchEvent<T>): void {
    this.#lastEventAtMs = this.#options.clock.now();
    this.#resourceVersion = event.object.metadata.resourceVersion;
    if (event.type === "BOOKMARK") return;
    const change =
      event.type === "DELETED"
        ? this.#cache.delete(keyOf(event.object.metadata))
        : this.#cache.set(this.#options.keep(event.object));
    if (change !== undefined) this.#tell(change);
  }

  #tell(change: ObjectChange<T>): void {
    for (const listener of this.#listeners) {
      try {
        listener(change);
      } catch (error) {
        this.#options.log.error({ ...this.#labels, key: change.key, error }, "a subscriber failed");
      }
    }
  }
}

function withoutManagedFields<T extends KubeObject>(object: T): T {
  const { managedFields: _, ...metadata } = object.metadata;
  return { ...object, metadata };
}
