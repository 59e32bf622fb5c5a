/**
 * The one writer of status: server-side apply of the whole status on /status, only when it differs.
 *
 * What it differs from is the newest status this process knows: the cached object's, or, while the cache still
 * shows the object that the last write started from, what that write returned. Without this an informer a few
 * milliseconds behind would make every change two writes and move every condition's time twice.
 *
 * The write holds only for that newest object (its resourceVersion goes along): a decision taken on a spec that has
 * changed meanwhile, or on a deleted namesake, is refused by the server and taken again when the event arrives.
 * The uid would not do: on /status the API server ignores it.
 *
 * A status that the server alters (defaults, another manager's field) never equals the one applied; the same draft
 * over the same result is therefore not written again. After a restart the first pass may write once more than
 * needed, which the server recognises as no change: no new resourceVersion, no event to watchers.
 */
import { isDeepStrictEqual } from "node:util";
import { hasErrorCode } from "@autoglm/api";
import type { KubeClient } from "./client.ts";
import { type Condition, type ConditionDraft, mergeConditions } from "./conditions.ts";
import { type Clock, type KubeMetrics, noMetrics, systemClock } from "./ports.ts";
import { type KubeObject, type Resource, resourceName } from "./resource.ts";

export interface ObjectWithStatus extends KubeObject {
  readonly status?: { readonly conditions?: readonly Condition[] | undefined } | undefined;
}

/** A status as a plan states it; the writer adds `observedGeneration` and the conditions' times. */
export type StatusDraft<T extends ObjectWithStatus = ObjectWithStatus> = Omit<
  NonNullable<T["status"]>,
  "conditions" | "observedGeneration"
> & { readonly conditions: readonly ConditionDraft[] };

/**
 * `stale`: the object has changed since it was read, or another one has its name; `gone`: it was deleted. Nothing
 * was written then, and the watch's next event on this key brings it back to the queue: the pass ends without error.
 */
export type StatusWriteOutcome = "written" | "unchanged" | "stale" | "gone";

export interface StatusWriterOptions {
  readonly client: KubeClient;
  readonly metrics?: KubeMetrics;
  readonly clock?: Clock;
}

interface LastWrite {
  readonly basedOn: string | undefined;
  readonly draft: StatusDraft;
  readonly result: unknown;
  readonly resultVersion: string | undefined;
}

/** Past this many objects the oldest are forgotten, which costs one needless write each. */
const REMEMBERED_WRITES = 10_000;

export class StatusWriter {
  readonly #client: KubeClient;
  readonly #metrics: KubeMetrics;
  readonly #clock: Clock;
  readonly #lastWrites = new Map<string, LastWrite>();

  constructor(options: StatusWriterOptions) {
    this.#client = options.client;
    this.#metrics = options.metrics ?? noMetrics;
    this.#clock = options.clock ?? systemClock;
  }

  /**
   * @param object As read from the cache.
   * @param draft Complete: a field that it leaves out is removed.
   */
  async write<T extends ObjectWithStatus>(
    resource: Resource<T>,
    object: T,
    draft: StatusDraft<T>,
    signal?: AbortSignal,
  ): Promise<StatusWriteOutcome> {
    const outcome = await this.#write(resource, object, withoutUndefined(draft), signal);
    this.#metrics.count("autoglm_status_writes_total", { resource: resourceName(resource), outcome });
    return outcome;
  }

  async #write<T extends ObjectWithStatus>(
    resource: Resource<T>,
    object: T,
    draft: StatusDraft,
    signal: AbortSignal | undefined,
  ): Promise<StatusWriteOutcome> {
    const { uid = "", generation, resourceVersion, name, namespace } = object.metadata;
    const last = this.#lastWrites.get(uid);
    const cacheLags = last !== undefined && last.basedOn === resourceVersion;
    const current = cacheLags ? last.result : object.status;
    const currentVersion = cacheLags ? last.resultVersion : resourceVersion;
    const observed = generation === undefined ? {} : { observedGeneration: generation };
    const status = {
      ...draft,
      ...observed,
      conditions: mergeConditions(conditionsOf(current), draft.conditions, {
        nowMs: this.#clock.now(),
        observedGeneration: generation,
      }),
    };
    const alteredByServer =
      last !== undefined &&
      isDeepStrictEqual(last.result, current) &&
      isDeepStrictEqual(last.draft, draft) &&
      observedGenerationOf(current) === generation;
    if (alteredByServer || isDeepStrictEqual(status, current)) return "unchanged";
    try {
      const written = await this.#client.applyStatus<ObjectWithStatus>(
        resource,
        {
          apiVersion: object.apiVersion,
          kind: object.kind,
          metadata: {
            name,
            ...(namespace === undefined ? {} : { namespace }),
            ...(currentVersion === undefined ? {} : { resourceVersion: currentVersion }),
          },
          status,
        },
        { signal },
      );
      const { resourceVersion: resultVersion } = written.metadata;
      this.#remember(uid, { basedOn: resourceVersion, draft, result: written.status, resultVersion });
      return "written";
    } catch (error) {
      if (hasErrorCode(error, "NotFound")) return "gone";
      // Fields are taken by force, so the only conflict left is that of the resourceVersion.
      if (hasErrorCode(error, "Conflict")) return "stale";
      throw error;
    }
  }

  #remember(uid: string, write: LastWrite): void {
    this.#lastWrites.delete(uid);
    this.#lastWrites.set(uid, write);
    const [oldest] = this.#lastWrites.keys();
    if (this.#lastWrites.size > REMEMBERED_WRITES && oldest !== undefined) this.#lastWrites.delete(oldest);
  }
}

/** As JSON will carry it, so that comparing with what the server returned is fair. */
function withoutUndefined(draft: StatusDraft): StatusDraft {
  return JSON.parse(JSON.stringify(draft)) as StatusDraft;
}

function conditionsOf(status: unknown): readonly Condition[] {
  // Written by this class, under the CRD's schema.
  return (status as { conditions?: readonly Condition[] } | undefined)?.conditions ?? [];
}

function observedGenerationOf(status: unknown): unknown {
  return (status as { observedGeneration?: unknown } | undefined)?.observedGeneration;
}
