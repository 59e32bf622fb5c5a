/**
 * The agent at work: level-triggered, like the document that it follows. Whatever happens (a poke, a reconnect, the
 * end of a try, time) leads to the same pass: gather facts, plan (plan.ts), apply. Dropping all memory changes
 * nothing but latency.
 *
 *   poke, reconnect, every 30 s ──► fetch document ──┐
 *   a try ended, a retry is due ─────────────────────┼──► plan ──► start, stop, accept, forget
 *                                                    │
 *   AssignmentWork ──chunks──► Outbox ──► Publisher ─┴─► bus          heartbeats tell the rest
 *
 * The link may be gone at any time and for days: only fetching and publishing care.
 */
import {
  assignmentKeyText,
  assertNever,
  type Assignment,
  type AssignmentKey,
  type Heartbeat,
  type WorkModel,
  type WorkSpec,
} from "@autoglm/api";
import type { Log, Metrics } from "@autoglm/telemetry";
import type { ModelStore } from "../models/model-store.ts";
import type { AgentOptions } from "../options.ts";
import type { Outbox } from "../outbox/outbox.ts";
import { Publisher } from "../outbox/publisher.ts";
import type { MemoryProbe } from "../probe/memory-probe.ts";
import type { SiteStore } from "../site/site-store.ts";
import type { DesiredState } from "./desired.ts";
import {
  composeHeartbeat,
  HeartbeatLoop,
  mergeModelReports,
  withDelay,
  type NodeIdentity,
} from "./heartbeat.ts";
import type { AGENT_METRICS } from "./metrics.ts";
import { planAssignments, type AgentAction } from "./plan.ts";
import type { AgentLink, InferenceEngine } from "./ports.ts";
import { Resync } from "./resync.ts";
import type { SpecCache } from "./spec-cache.ts";
import { AssignmentWork } from "./work.ts";
import type { WorkModelParts } from "./work-models.ts";

export interface RuntimeDependencies {
  readonly options: AgentOptions;
  readonly identity: NodeIdentity;
  readonly link: AgentLink;
  readonly engine: InferenceEngine;
  readonly outbox: Outbox;
  readonly models: ModelStore;
  readonly site: SiteStore;
  readonly gate: WorkModelParts["gate"];
  readonly specs: SpecCache;
  /** Names of the keys for endpoints that are here now. */
  readonly endpointKeys: () => Promise<readonly string[]>;
  readonly desired: DesiredState;
  readonly probe: MemoryProbe;
  /** Memory for models when the process began. */
  readonly budgetBytes: number;
  readonly log: Log;
  readonly metrics: Metrics<typeof AGENT_METRICS>;
}

const HEARTBEAT_COALESCE_MS = 100;
const REPUBLISH_AT_MOST_MS = 60_000;
const RETRY_SEND_MS = { first: 500, atMost: 10_000 };
const ACTIONS_PER_PASS = 256;
const UNLISTED_KEYS = 1000;
/** Timers beyond 24.8 days fire at once; looking in between costs nothing. */
const RECHECK_AT_MOST_MS = 3_600_000;

export class AgentRuntime {
  readonly #dependencies: RuntimeDependencies;
  readonly #work = new Map<string, AssignmentWork>();
  /** Tries that were told to stop and still have the assignment's numbering in their hands. */
  readonly #stopping = new Map<string, Promise<void>>();
  /** Of the desired document. */
  #listedByKey: ReadonlyMap<string, Assignment> = new Map();
  readonly #publisher: Publisher;
  readonly #heartbeats: HeartbeatLoop;
  readonly #resync: Resync;
  readonly #stop = new AbortController();
  #recheck: NodeJS.Timeout | undefined;
  #isDraining = false;
  #tidying: Promise<void> = Promise.resolve();

  constructor(dependencies: RuntimeDependencies) {
    this.#dependencies = dependencies;
    const { options, outbox, link, identity, log, metrics, desired } = dependencies;
    this.#publisher = new Publisher({
      node: identity.node,
      outbox,
      sender: link,
      listed: (key) => this.#listed(key),
      timing: {
        republishAfterMs: options.republishMs,
        republishAtMostMs: Math.max(REPUBLISH_AT_MOST_MS, options.republishMs),
        retryAfterMs: RETRY_SEND_MS.first,
        retryAtMostMs: RETRY_SEND_MS.atMost,
      },
      log,
      onSent: (outcome) => metrics.count("autoglm_bus_chunks_sent_total", { outcome }),
    });
    this.#heartbeats = new HeartbeatLoop({
      intervalMs: options.heartbeatMs,
      coalesceMs: Math.min(HEARTBEAT_COALESCE_MS, options.heartbeatMs),
      send: () => this.#sendHeartbeat(),
    });
    this.#resync = new Resync({
      intervalMs: options.resyncMs,
      isConnected: () => link.isConnected(),
      fetch: async () => {
        const document = await link.fetchDesired();
        if (document && desired.offer(document)) this.reconcile();
      },
      log,
    });
  }

  /** Begins with what the disk knows; the link may come later. */
  start(): void {
    this.reconcile();
    void this.#publisher.run(this.#stop.signal);
    void this.#resync.run(this.#stop.signal);
    this.#heartbeats.changed();
  }

  get workCount(): number {
    return this.#work.size;
  }

  onPoke(): void {
    this.#resync.now();
  }

  onConnected(): void {
    this.#publisher.onReconnect();
    this.#resync.now();
    this.#heartbeats.changed();
    // What waits for the bus need not wait longer.
    for (const work of this.#work.values()) work.retryNow();
    this.reconcile();
  }

  /** A download went on, or a model became ready. */
  onModelsChanged(): void {
    this.#heartbeats.changed();
  }

  /** A chunk of the assignment is damaged: its items are computed again. */
  onDamage(key: AssignmentKey): void {
    const { log, metrics } = this.#dependencies;
    metrics.count("autoglm_outbox_damaged_records_total");
    log.error(
      { assignment: assignmentKeyText(key) },
      "a chunk in the outbox is damaged; computing its items again",
    );
    this.#stopWork(key);
    this.reconcile();
  }

  /** One pass: facts, plan, actions. */
  reconcile(): void {
    const { desired, outbox, budgetBytes, options } = this.#dependencies;
    const nowMs = Date.now();
    const assignments = desired.document?.assignments;
    this.#listedByKey = new Map(
      assignments?.map((assignment) => [assignmentKeyText(assignment), assignment]),
    );
    for (const assignment of assignments ?? []) this.#noteListed(assignment);
    const plan = planAssignments({
      nowMs,
      isDraining: this.#isDraining,
      desired: assignments,
      work: Array.from(this.#work.values(), (work) => work.view()),
      kept: Array.from(outbox.keys, (contents) => ({
        key: contents.key,
        acceptedThrough: contents.acceptedThrough,
        ...(contents.unlistedAt !== undefined && { unlistedAtMs: contents.unlistedAt }),
        pendingChunks: contents.chunks.size,
        pendingBytes: [...contents.chunks.values()].reduce((sum, { place }) => sum + place.length, 0),
      })),
      budgetBytes,
      limits: {
        unlistedRetentionMs: options.unlistedRetentionMs,
        unlistedBytes: options.outboxLimitBytes / 4,
        unlistedKeys: UNLISTED_KEYS,
        actionsPerPass: ACTIONS_PER_PASS,
      },
    });
    for (const action of plan.actions) this.#apply(action, nowMs);
    if (plan.actions.length > 0) {
      this.#publisher.poke();
      if (plan.actions.some(({ kind }) => kind !== "accept")) this.#heartbeats.changed();
    }
    clearTimeout(this.#recheck);
    if (!Number.isFinite(plan.recheckAtMs) || this.#stop.signal.aborted) return;
    const waitMs = Math.min(Math.max(plan.recheckAtMs - Date.now(), 0), RECHECK_AT_MOST_MS);
    this.#recheck = setTimeout(() => this.reconcile(), waitMs);
  }

  /**
   * Stops taking work, seals what is computed, tries for `drainMs` to send it, says good-bye. What could not be sent is
   * on the disk for the next start.
   */
  async drain(): Promise<void> {
    const { outbox, options, engine, desired } = this.#dependencies;
    this.#isDraining = true;
    const works = [...this.#work.values()];
    await Promise.all([
      this.#sendHeartbeat(),
      ...works.map((work) => work.stop({ keepsUnsealed: true })),
      ...this.#stopping.values(),
    ]);
    await outbox.flush();
    await this.#publisher.drain(options.drainMs);
    await this.#sendHeartbeat();
    this.#stop.abort();
    clearTimeout(this.#recheck);
    await this.#heartbeats.stop();
    await Promise.all([engine.close(), desired.flush(), this.#tidying]);
  }

  #listed(key: AssignmentKey): Assignment | undefined {
    return this.#listedByKey.get(assignmentKeyText(key));
  }

  #noteListed(assignment: Assignment): void {
    const { outbox } = this.#dependencies;
    this.#work.get(assignmentKeyText(assignment))?.update(assignment);
    // Known from before, perhaps unlisted in between or granted anew.
    if (outbox.find(assignment)) outbox.open(assignment, assignment.grant);
  }

  #apply(action: AgentAction, nowMs: number): void {
    const { outbox, log, metrics } = this.#dependencies;
    switch (action.kind) {
      case "accept":
        outbox.accept(action.key, action.through);
        return;
      case "start":
        this.#startWork(action.assignment);
        return;
      case "stop":
        log.info({ assignment: assignmentKeyText(action.key), reason: action.reason }, "stopping");
        this.#stopWork(action.key);
        return;
      case "unlist":
        outbox.markUnlisted(action.key, nowMs);
        return;
      case "forget":
        if (action.abandonedChunks > 0) {
          const { reason, abandonedChunks } = action;
          metrics.count("autoglm_outbox_abandoned_chunks_total", { reason }, abandonedChunks);
          log.warn(
            { assignment: assignmentKeyText(action.key), reason, abandonedChunks },
            "gave up results of a withdrawn assignment",
          );
        }
        outbox.forget(action.key);
        return;
      default:
        assertNever(action);
    }
  }

  #startWork(assignment: Assignment): void {
    const text = assignmentKeyText(assignment);
    const existing = this.#work.get(text);
    if (existing) {
      existing.start();
      return;
    }
    const { options, identity, outbox, models, site, gate, specs, engine, log, metrics } = this.#dependencies;
    const work = new AssignmentWork(
      {
        node: identity.node,
        dataRoot: options.dataRoot,
        remote: {
          allowedHosts: options.inputHosts,
          objectStore: options.objectStore,
          maxBytes: options.inputLimitBytes,
        },
        sealIntervalMs: options.sealIntervalMs,
        outbox,
        models,
        site,
        gate,
        specs,
        engine,
        log,
        now: Date.now,
        random: Math.random,
        onSealed: (count) => {
          metrics.count("autoglm_agent_results_sealed_total", {}, count);
          this.#publisher.poke();
        },
        onSpec: () => this.#tidy(),
        onChange: () => this.#heartbeats.changed(),
        onEnd: () => this.reconcile(),
      },
      assignment,
    );
    this.#work.set(text, work);
    work.start(this.#stopping.get(text));
  }

  #stopWork(key: AssignmentKey): void {
    const text = assignmentKeyText(key);
    const work = this.#work.get(text);
    if (!work) return;
    this.#work.delete(text);
    const stopped = Promise.all([this.#stopping.get(text), work.stop({ keepsUnsealed: false })]).then(() => {
      if (this.#stopping.get(text) === stopped) this.#stopping.delete(text);
      this.#tidy();
    });
    this.#stopping.set(text, stopped);
  }

  /** Deletes specifications and models that no assignment wants, once it is known of all what they want. */
  #tidy(): void {
    this.#tidying = this.#tidying.then(async () => {
      const { desired, models, specs, log } = this.#dependencies;
      const files = new Set<string>();
      const documents = new Set<string>();
      let isComplete = true;
      for (const { spec: digest, ...key } of desired.document?.assignments ?? []) {
        documents.add(digest);
        const spec = this.#work.get(assignmentKeyText(key))?.spec;
        if (!spec) isComplete = false;
        for (const model of spec === undefined ? [] : modelsOf(spec)) {
          for (const { sha256 } of model.runtime === "onnx" ? model.files : []) files.add(sha256);
        }
        for (const part of spec && "parts" in spec.input ? spec.input.parts : []) documents.add(part);
      }
      if (!isComplete) {
        // One that was preempted wants its model still, and is not there to say so.
        models.addWanted(files);
        return;
      }
      models.setWanted(files);
      try {
        await specs.keepOnly(documents);
        await models.collect();
      } catch (error) {
        log.warn({ error }, "can't delete what is not wanted any more");
      }
    });
  }

  async #sendHeartbeat(): Promise<void> {
    const { link, log } = this.#dependencies;
    if (!link.isConnected()) return;
    try {
      link.publishHeartbeat(await this.#composeHeartbeat());
    } catch (error) {
      log.warn({ error }, "the heartbeat was not sent");
    }
  }

  async #composeHeartbeat(): Promise<Heartbeat> {
    const { identity, desired, outbox, models, engine, probe, endpointKeys } = this.#dependencies;
    const { memory, probedTier } = await probe.read();
    const keys = await endpointKeys();
    const { generation = 0, revision = 0 } = desired.document ?? {};
    return composeHeartbeat({
      identity,
      sentAt: new Date(),
      memory,
      ...(probedTier && { probedTier }),
      ...(keys.length > 0 && { endpointKeys: [...keys] }),
      document: { generation, revision },
      outbox: {
        chunks: outbox.chunks,
        bytes: outbox.bytes,
        limitBytes: outbox.limitBytes,
        full: outbox.isFull,
      },
      models: mergeModelReports(await models.reports(), engine.reports()),
      assignments: Array.from(this.#work.values(), (work) =>
        withDelay(work.report(), this.#publisher.isStoreFull),
      ),
      draining: this.#isDraining,
    });
  }
}

/** The task's model, and the one behind its gate. */
function modelsOf({ model, gating }: WorkSpec): readonly WorkModel[] {
  return gating === undefined ? [model] : [model, gating.deep];
}
