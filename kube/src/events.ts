/**
 * Records events.k8s.io/v1 events without ever making its caller wait.
 *
 * An event's name is a digest of what it says, so a repetition, also after a restart, meets its first
 * appearance: the first is created, repetitions are counted and written into its `series` at most every 30 s.
 * What waits is bounded, and an object that produces more than 25 different events is held to one every 5 min;
 * what exceeds either is dropped and counted, never queued without end.
 *
 * Source: KEP-383 (the events.k8s.io API), client-go's tools/events.
 */
import { createHash } from "node:crypto";
import { hasErrorCode, isAutoglmError } from "@autoglm/api";
import type { KubeClient } from "./client.ts";
import { formatMicroTime } from "./conditions.ts";
import { type Clock, type KubeMetrics, type Log, noMetrics, silentLog, systemClock } from "./ports.ts";
import { WorkQueue } from "./queue.ts";
import type { KubeObject, Resource } from "./resource.ts";

export interface EventDraft {
  readonly regarding: KubeObject;
  readonly type: "Normal" | "Warning";
  /** CamelCase, why: `Placed`. At most 128 characters. */
  readonly reason: string;
  /** CamelCase, what was done: `PlaceShard`. At most 128 characters. */
  readonly action: string;
  /** For people; cut at 1024 characters. No input or result text. */
  readonly note: string;
}

export interface EventRecorderOptions {
  readonly client: KubeClient;
  /** `autoglm.io/operator` */
  readonly controller: string;
  /** Which replica: the pod's name. */
  readonly instance: string;
  readonly log?: Log;
  readonly metrics?: KubeMetrics;
  readonly clock?: Clock;
}

interface EventSeries {
  readonly count: number;
  readonly lastObservedTime: string;
}

interface EventObject extends KubeObject {
  readonly eventTime: string;
  readonly series?: EventSeries;
  readonly type: string;
  readonly reason: string;
  readonly action: string;
  readonly note: string;
  readonly reportingController: string;
  readonly reportingInstance: string;
  readonly regarding: Readonly<Record<string, string>>;
}

interface SeenEvent {
  readonly draft: EventDraft;
  /** How often it happened since the last write. */
  pending: number;
  lastSeenAtMs: number;
  /** Undefined until it has been written once. */
  writtenAtMs?: number;
}

const EVENTS: Resource<EventObject> = {
  group: "events.k8s.io",
  version: "v1",
  plural: "events",
  kind: "Event",
  namespaced: true,
};
const AGGREGATE_MS = 30_000;
const MAX_SEEN = 4096;
const BURST_PER_OBJECT = 25;
const REFILL_MS = 300_000;

export class EventRecorder {
  readonly #options: Required<EventRecorderOptions>;
  readonly #queue: WorkQueue;
  /** By name of the event; the least recently seen comes first. */
  readonly #seen = new Map<string, SeenEvent>();
  /** By uid: how many new events an object may still have, and when that was last worked out. */
  readonly #allowances = new Map<string, { left: number; atMs: number }>();

  constructor(options: EventRecorderOptions) {
    this.#options = { log: silentLog, metrics: noMetrics, clock: systemClock, ...options };
    const { log, metrics, clock } = this.#options;
    this.#queue = new WorkQueue({
      name: "events",
      reconcile: async (name, signal) => this.#write(name, signal),
      drainMs: 2000,
      log,
      metrics,
      clock,
    });
  }

  /** Writes what is recorded until the signal fires, and then for 2 s at most what is under way. */
  async run(signal: AbortSignal): Promise<void> {
    await this.#queue.run(signal);
  }

  record(draft: EventDraft): void {
    const now = this.#options.clock.now();
    const name = eventName(draft, this.#options.controller);
    const seen = this.#seen.get(name);
    if (seen === undefined && !this.#mayAdd(draft.regarding.metadata.uid ?? "", now)) {
      this.#options.metrics.count("autoglm_events_total", { outcome: "dropped" });
      return;
    }
    const event = seen ?? { draft, pending: 0, lastSeenAtMs: now };
    event.pending += 1;
    event.lastSeenAtMs = now;
    this.#seen.delete(name);
    this.#seen.set(name, event);
    this.#forgetOldest();
    this.#queue.addAfter(name, event.writtenAtMs === undefined ? 0 : event.writtenAtMs + AGGREGATE_MS - now);
  }

  async #write(name: string, signal: AbortSignal): Promise<{ readonly requeueAfterMs?: number }> {
    const { client, clock, log, metrics } = this.#options;
    const event = this.#seen.get(name);
    if (event === undefined || event.pending === 0) return {};
    const { pending, lastSeenAtMs } = event;
    const namespace = namespaceOf(event.draft);
    try {
      const isFirst = event.writtenAtMs === undefined;
      if (isFirst && (await this.#create(name, event, signal))) {
        metrics.count("autoglm_events_total", { outcome: "created" });
      } else {
        const stored = await client.get(EVENTS, { namespace, name }, { signal });
        const series: EventSeries = {
          count: (stored.series?.count ?? 1) + pending,
          lastObservedTime: formatMicroTime(lastSeenAtMs),
        };
        await client.mergePatch(EVENTS, { namespace, name }, { series }, { signal });
        metrics.count("autoglm_events_total", { outcome: "aggregated" });
      }
    } catch (error) {
      if (hasErrorCode(error, "NotFound") && event.writtenAtMs !== undefined) {
        // Events expire after an hour: this repetition is a first one again.
        delete event.writtenAtMs;
        return { requeueAfterMs: 0 };
      }
      if (!isAutoglmError(error) || !REFUSED.has(error.code)) throw error;
      log.warn({ event: name, code: error.code, error: error.message }, "event dropped");
      metrics.count("autoglm_events_total", { outcome: "dropped" });
    }
    event.pending -= pending;
    event.writtenAtMs = clock.now();
    return event.pending > 0 ? { requeueAfterMs: AGGREGATE_MS } : {};
  }

  /** False when it is there already, from before a restart. */
  async #create(name: string, event: SeenEvent, signal: AbortSignal): Promise<boolean> {
    const { client, controller, instance } = this.#options;
    const { regarding, type, reason, action, note } = event.draft;
    const observedAt = formatMicroTime(event.lastSeenAtMs);
    const { name: regardingName, uid, resourceVersion } = regarding.metadata;
    const namespace = namespaceOf(event.draft);
    try {
      await client.create<EventObject>(
        EVENTS,
        {
          apiVersion: "events.k8s.io/v1",
          kind: "Event",
          metadata: { name, namespace },
          eventTime: observedAt,
          ...(event.pending > 1 ? { series: { count: event.pending, lastObservedTime: observedAt } } : {}),
          type,
          reason,
          action,
          note: note.slice(0, 1024),
          reportingController: controller,
          reportingInstance: instance,
          regarding: {
            apiVersion: regarding.apiVersion,
            kind: regarding.kind,
            name: regardingName,
            namespace: regarding.metadata.namespace ?? "",
            ...(uid === undefined ? {} : { uid }),
            ...(resourceVersion === undefined ? {} : { resourceVersion }),
          },
        },
        { signal },
      );
      return true;
    } catch (error) {
      if (hasErrorCode(error, "AlreadyExists")) return false;
      throw error;
    }
  }

  #mayAdd(uid: string, now: number): boolean {
    const before = this.#allowances.get(uid) ?? { left: BURST_PER_OBJECT, atMs: now };
    const refilled = Math.min(BURST_PER_OBJECT, before.left + (now - before.atMs) / REFILL_MS);
    const allowed = refilled >= 1;
    this.#allowances.delete(uid);
    this.#allowances.set(uid, { left: allowed ? refilled - 1 : refilled, atMs: now });
    const [oldest] = this.#allowances.keys();
    if (this.#allowances.size > MAX_SEEN && oldest !== undefined) this.#allowances.delete(oldest);
    return allowed;
  }

  #forgetOldest(): void {
    if (this.#seen.size <= MAX_SEEN) return;
    const [oldest] = this.#seen;
    if (oldest === undefined) return;
    this.#seen.delete(oldest[0]);
    if (oldest[1].pending > 0) this.#options.metrics.count("autoglm_events_total", { outcome: "dropped" });
  }
}

/** The namespace goes away, or the API server will never take this event. */
const REFUSED: ReadonlySet<string> = new Set(["NotFound", "Forbidden", "Invalid"]);

/** Events of cluster-scoped objects live in `default`. */
function namespaceOf(draft: EventDraft): string {
  return draft.regarding.metadata.namespace ?? "default";
}

function eventName(draft: EventDraft, controller: string): string {
  const { name, uid } = draft.regarding.metadata;
  const said = [controller, uid, draft.type, draft.reason, draft.action, draft.note];
  const digest = createHash("sha256").update(JSON.stringify(said)).digest("hex").slice(0, 16);
  return `${name.slice(0, 236)}.${digest}`;
}
