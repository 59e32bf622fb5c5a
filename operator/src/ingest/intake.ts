/**
 * Takes batches of chunks: checks who wrote them, commits what is good, tells readers and the operator. A batch is
 * done (and may be acknowledged) when this returns: everything in it is on disk, or was refused for good.
 *
 * While the volume is full the batch waits here and nothing is acknowledged, so that the stream, and behind it
 * the outboxes, hold what the store can't.
 */
import { setTimeout as delay } from "node:timers/promises";
import { AutoglmError, hasErrorCode, isAutoglmError } from "@autoglm/api";
import { type ReceivedChunk, verifyChunk } from "@autoglm/bus";
import type { Log } from "@autoglm/telemetry";
import type { CommitOutcome, ResultStore, TaskProgress, VerifiedChunk } from "../results/store.ts";
import type { IngestMetrics } from "./metrics.ts";

const FULL_RETRY_MS = 1000;
/** A node that floods us with nonsense must not flood the log too. */
const REFUSAL_LOG_MS = 1000;

export interface IntakeOptions {
  readonly store: ResultStore;
  readonly grantPublicKey: string;
  /** After each commit. */
  readonly onProgress: (tasks: readonly TaskProgress[]) => void;
  /** When the store begins and ceases to be full. */
  readonly onFullChange: () => void;
  readonly log: Log;
  readonly metrics: IngestMetrics;
  readonly signal: AbortSignal;
}

export class Intake {
  readonly #options: IntakeOptions;
  #isFull = false;
  #refusedSinceLog = 0;
  #refusalLoggedAt = -Infinity;

  constructor(options: IntakeOptions) {
    this.#options = options;
  }

  /** True while results are refused because the volume is full. */
  get isFull(): boolean {
    return this.#isFull;
  }

  /** @throws AutoglmError `Aborted` when the signal fires while the store is full; `Internal` when it is broken */
  async take(batch: readonly ReceivedChunk[]): Promise<void> {
    const chunks = batch.flatMap((received) => this.#verified(received) ?? []);
    if (chunks.length === 0) return;
    const { metrics, onProgress } = this.#options;
    const { stored, dropped, tasks } = await this.#commit(chunks);
    metrics.count("autoglm_ingest_results_total", { outcome: "stored" }, stored);
    metrics.count("autoglm_ingest_results_total", { outcome: "dropped" }, dropped);
    onProgress(tasks);
  }

  async #commit(chunks: readonly VerifiedChunk[]): Promise<CommitOutcome> {
    const { store, metrics, signal, log } = this.#options;
    for (;;) {
      const startedAt = performance.now();
      try {
        const outcome = store.commit(chunks);
        metrics.observe("autoglm_ingest_commit_seconds", {}, (performance.now() - startedAt) / 1000);
        this.#setFull(false);
        return outcome;
      } catch (error) {
        if (!hasErrorCode(error, "ResultStoreFull")) throw error;
        if (!this.#isFull)
          log.error({ error }, "the result store is full: intake stops until there is space");
        this.#setFull(true);
      }
      await delay(FULL_RETRY_MS, undefined, { signal }).catch((cause: unknown) => {
        throw new AutoglmError("Aborted", "stopped while the result store was full", { cause });
      });
    }
  }

  #setFull(isFull: boolean): void {
    if (this.#isFull === isFull) return;
    this.#isFull = isFull;
    if (!isFull) this.#options.log.info({}, "the result store has space again: intake goes on");
    this.#options.onFullChange();
  }

  /** undefined for a chunk that is thrown away: it would be as wrong the next time. */
  #verified(received: ReceivedChunk): VerifiedChunk | undefined {
    try {
      const { grant, chunk } = verifyChunk(this.#options.grantPublicKey, received);
      return { task: { uid: grant.task, namespace: grant.namespace, name: grant.name }, chunk };
    } catch (error) {
      if (!isAutoglmError(error)) throw error;
      this.#refuse(received.subject, error);
      return undefined;
    }
  }

  #refuse(subject: string, { code, message }: AutoglmError): void {
    this.#options.metrics.count("autoglm_ingest_refused_chunks_total", { code });
    this.#refusedSinceLog += 1;
    const now = performance.now();
    if (now - this.#refusalLoggedAt < REFUSAL_LOG_MS) return;
    // The cause is left out: a JSON parser quotes what it could not read.
    this.#options.log.warn(
      { subject, code, reason: message, refused: this.#refusedSinceLog },
      "refused chunks; this is the last of them",
    );
    this.#refusalLoggedAt = now;
    this.#refusedSinceLog = 0;
  }
}
