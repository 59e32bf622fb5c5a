/**
 * Heartbeats: one every few seconds, and one at once when something changed; changes that follow each other closely
 * share one. Each is complete, so a lost one costs delay only.
 */
import { WIRE_VERSION, type AssignmentReport, type Heartbeat, type ModelReport } from "@autoglm/api";
import type { InferenceEngine } from "./ports.ts";

/** What stays the same while the process lives. */
export type NodeIdentity = Pick<
  Heartbeat,
  "node" | "nodeName" | "agentVersion" | "stateId" | "startedAt" | "location" | "pool"
>;

export interface HeartbeatFacts extends Omit<Heartbeat, "v" | "sentAt" | keyof NodeIdentity> {
  readonly identity: NodeIdentity;
  readonly sentAt: Date;
}

/** The wire's limits. */
const MODELS_AT_MOST = 256;
const ASSIGNMENTS_AT_MOST = 512;

export function composeHeartbeat({ identity, sentAt, ...facts }: HeartbeatFacts): Heartbeat {
  return {
    v: WIRE_VERSION,
    ...identity,
    sentAt: sentAt.toISOString(),
    ...facts,
    models: newestOfEachVariant(facts.models).slice(0, MODELS_AT_MOST),
    assignments: facts.assignments.slice(0, ASSIGNMENTS_AT_MOST),
  };
}

/** A variant whose files were replaced in its AutoGLMModel is on the disk twice for a while. */
function newestOfEachVariant(models: readonly ModelReport[]): ModelReport[] {
  return [...new Map(models.map((report) => [`${report.model}/${report.variant}`, report])).values()];
}

/** What the disk has, with what the engine says of those that are loaded. */
export function mergeModelReports(
  stored: readonly ModelReport[],
  loaded: ReturnType<InferenceEngine["reports"]>,
): ModelReport[] {
  return stored.map((report) => {
    const live = loaded.find(({ model, variant }) => model === report.model && variant === report.variant);
    if (!live || report.state !== "Ready") return report;
    return {
      ...report,
      state: "Loaded",
      memoryBytes: Math.round(live.memoryBytes),
      ...(live.itemMs !== undefined && { itemMs: live.itemMs }),
    };
  });
}

/** What delays a node's results is also said where a task's author looks: at the assignment. */
export function withDelay(report: AssignmentReport, isStoreFull: boolean): AssignmentReport {
  if (!isStoreFull || report.error) return report;
  return { ...report, error: { code: "ResultStoreFull", message: "the result store takes no more results" } };
}

export interface HeartbeatLoopOptions {
  readonly intervalMs: number;
  /** Changes within this time share a heartbeat. */
  readonly coalesceMs: number;
  readonly send: () => Promise<void>;
}

export class HeartbeatLoop {
  readonly #options: HeartbeatLoopOptions;
  #timer: NodeJS.Timeout | undefined;
  #dueAtMs = Infinity;
  #sentAtMs = -Infinity;
  #sending: Promise<void> | undefined;
  #isStopped = false;

  constructor(options: HeartbeatLoopOptions) {
    this.#options = options;
  }

  /** Something changed that the operator wants to know. */
  changed(): void {
    this.#arm(Math.max(performance.now(), this.#sentAtMs + this.#options.coalesceMs));
  }

  async stop(): Promise<void> {
    this.#isStopped = true;
    clearTimeout(this.#timer);
    await this.#sending;
  }

  #arm(atMs: number): void {
    if (this.#isStopped || atMs >= this.#dueAtMs) return;
    this.#dueAtMs = atMs;
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => this.#fire(), Math.max(0, atMs - performance.now()));
  }

  #fire(): void {
    this.#dueAtMs = Infinity;
    if (this.#sending) {
      this.#arm(performance.now() + this.#options.coalesceMs);
      return;
    }
    this.#sentAtMs = performance.now();
    this.#sending = this.#options.send().finally(() => {
      this.#sending = undefined;
    });
    this.#arm(this.#sentAtMs + this.#options.intervalMs);
  }
}
