/**
 * Carries the outbox to the bus, again and again until the ingester has accepted.
 *
 *   pending ──send──► in flight ──stored | duplicate──► confirmed ──accepted (desired document)──► gone from the outbox
 *      ▲                  │ failed, link cut                 │ not accepted for a while
 *      └──────────────────┴──────────────────────────────────┘
 *
 * One loop decides (publish-plan.ts) and is woken by a new chunk, a finished send, a reconnect or the next due time.
 * Up to `window` chunks are in flight; a bucket of bytes paces the drain after an outage, and a large backlog starts
 * at a random moment of the first second, so that a fleet that comes back together does not push at once. A full
 * result store stops all sends until it has room: a refused chunk stays where it is.
 */
import { setTimeout as sleep } from "node:timers/promises";
import {
  AutoglmError,
  assignmentKeyText,
  hasErrorCode,
  type AssignmentKey,
  type ChunkAddress,
} from "@autoglm/api";
import type { Log } from "@autoglm/telemetry";
import type { PendingChunk } from "./contents.ts";
import type { Outbox } from "./outbox.ts";
import { NEVER_SENT, planSends, type SendGroup, type SendState, type SendTiming } from "./publish-plan.ts";

/** The way to the bus. */
export interface ChunkSender {
  /** False: sends would fail anyway. */
  isConnected(): boolean;
  publishChunk(address: ChunkAddress, body: Uint8Array, grant: string): Promise<"stored" | "duplicate">;
}

export interface ListedAssignment {
  readonly priority: number;
  readonly grant: string;
}

export interface PublisherOptions {
  readonly node: string;
  readonly outbox: Outbox;
  readonly sender: ChunkSender;
  /** What the desired document says of the assignment; undefined when it is not listed. */
  readonly listed: (key: AssignmentKey) => ListedAssignment | undefined;
  readonly timing: SendTiming;
  readonly log: Log;
  /** Chunks in flight at once. */
  readonly window?: number;
  readonly drainBytesPerSecond?: number;
  readonly now?: () => number;
  readonly random?: () => number;
  /** `stored`, `duplicate`, or the code of an error. */
  readonly onSent?: (outcome: string) => void;
}

const WINDOW = 256;
const DRAIN_BYTES_PER_SECOND = 16 * 1024 * 1024;
/** A backlog that is no more than what one connection carries anyway needs no random start. */
const SMALL_BACKLOG = 32;
const FULL_PAUSE_MS = { first: 1000, atMost: 30_000 };

interface DueChunk {
  readonly pending: PendingChunk;
  readonly chunk: number;
  readonly bytes: number;
  readonly state: SendState;
}

export class Publisher {
  readonly #options: PublisherOptions;
  readonly #now: () => number;
  readonly #random: () => number;
  readonly #window: number;
  readonly #bytesPerSecond: number;
  /** Per record: a chunk that was moved by compaction is still the same object. */
  readonly #states = new WeakMap<PendingChunk, SendState>();
  #inFlight = 0;
  #bucketBytes: number;
  #bucketFilledAt: number;
  #pausedUntil = -Infinity;
  #fullInARow = 0;
  #wake = Promise.withResolvers<void>();

  constructor(options: PublisherOptions) {
    this.#options = options;
    this.#now = options.now ?? (() => performance.now());
    this.#random = options.random ?? Math.random;
    this.#window = options.window ?? WINDOW;
    this.#bytesPerSecond = options.drainBytesPerSecond ?? DRAIN_BYTES_PER_SECOND;
    this.#bucketBytes = this.#bytesPerSecond;
    this.#bucketFilledAt = this.#now();
  }

  /** The result store refused the last chunk because it is full. */
  get isStoreFull(): boolean {
    return this.#fullInARow > 0;
  }

  /** There is something to send, or the document changed. */
  poke(): void {
    this.#wake.resolve();
  }

  /**
   * The link is back. What failed is due at once; what was confirmed may be gone with the server's disk, and is due
   * as if it had been sent once.
   */
  onReconnect(): void {
    for (const { key, chunks } of this.#options.outbox.keys) {
      const isListed = this.#options.listed(key) !== undefined;
      for (const pending of chunks.values()) {
        const state = this.#states.get(pending);
        if (!state || state.isInFlight) continue;
        const renewed = state.isConfirmed ? { ...state, isConfirmed: isListed, sends: 1 } : NEVER_SENT;
        this.#states.set(pending, renewed);
      }
    }
    this.#pausedUntil =
      this.#now() + (this.#options.outbox.chunks > SMALL_BACKLOG ? this.#random() * 1000 : 0);
    this.poke();
  }

  /** Runs until the signal aborts; sends that are in flight then end by themselves. */
  async run(signal: AbortSignal): Promise<void> {
    signal.addEventListener("abort", () => this.poke(), { once: true });
    while (!signal.aborted) {
      this.#wake = Promise.withResolvers();
      const waitMs = this.#sendWhatIsDue();
      await this.#wakeOrTimeout(waitMs);
    }
  }

  /** One last round while draining: resolves when all pending chunks are confirmed, or the time is over. */
  async drain(timeoutMs: number): Promise<void> {
    const endsAt = this.#now() + timeoutMs;
    while (this.#now() < endsAt && this.#options.sender.isConnected()) {
      const unconfirmed = this.#groups().some(({ chunks }) => chunks.some(({ state }) => !state.isConfirmed));
      if (!unconfirmed) return;
      this.poke();
      await sleep(20);
    }
  }

  /** Sends what may be sent now; returns the milliseconds after which to look again. */
  #sendWhatIsDue(): number {
    const now = this.#now();
    if (!this.#options.sender.isConnected()) return Infinity;
    if (now < this.#pausedUntil) return this.#pausedUntil - now;
    // Planning looks at every pending chunk: not for each single place in the window.
    if (this.#inFlight > this.#window / 2) return Infinity;
    this.#fillBucket(now);
    const { sends, nextAtMs } = planSends({
      groups: this.#groups(),
      nowMs: now,
      // One chunk finds out whether a full store has room again.
      window: Math.max(0, (this.isStoreFull ? 1 : this.#window) - this.#inFlight),
      bytes: this.#bucketBytes,
      timing: this.#options.timing,
    });
    for (const { pending, bytes } of sends) {
      this.#bucketBytes -= bytes;
      void this.#send(pending);
    }
    if (nextAtMs > now) return nextAtMs - now;
    // More is due: the bucket has to fill, or a place in the window to become free (which wakes the loop).
    return this.#bucketBytes <= 0 ? (-this.#bucketBytes / this.#bytesPerSecond) * 1000 + 10 : Infinity;
  }

  #groups(): SendGroup<DueChunk>[] {
    const groups: SendGroup<DueChunk>[] = [];
    for (const contents of this.#options.outbox.keys) {
      if (contents.chunks.size === 0) continue;
      const listed = this.#options.listed(contents.key);
      // Without a grant nobody can tell that the chunk is ours.
      if (!listed && contents.grant === "") continue;
      groups.push({
        isListed: listed !== undefined,
        priority: listed?.priority ?? 0,
        name: assignmentKeyText(contents.key),
        chunks: Array.from(contents.chunks.values(), (pending) => ({
          pending,
          chunk: pending.chunk,
          bytes: pending.place.length,
          state: this.#states.get(pending) ?? NEVER_SENT,
        })),
      });
    }
    return groups;
  }

  async #send(pending: PendingChunk): Promise<void> {
    const { outbox, sender, listed, node } = this.#options;
    const before = this.#states.get(pending) ?? NEVER_SENT;
    this.#states.set(pending, { ...before, isInFlight: true });
    this.#inFlight++;
    let outcome: string;
    try {
      const body = await outbox.read(pending);
      const grant = listed(pending.key)?.grant ?? outbox.find(pending.key)?.grant;
      if (!body || grant === undefined) return;
      const { task, run, epoch, shard } = pending.key;
      outcome = await sender.publishChunk(
        { node, task, run, epoch, shard, chunk: pending.chunk },
        body,
        grant,
      );
      // One that was under way when another was refused says nothing about now.
      if (this.#now() >= this.#pausedUntil) this.#fullInARow = 0;
    } catch (error) {
      outcome = this.#noteFailure(pending, error);
    } finally {
      this.#inFlight--;
      if (this.#inFlight <= this.#window / 2) this.poke();
    }
    const isConfirmed = outcome === "stored" || outcome === "duplicate";
    // A full store is no failure of this chunk: all of them wait together.
    const state =
      outcome === "ResultStoreFull"
        ? before
        : { isInFlight: false, isConfirmed, sends: before.sends + 1, lastSentAt: this.#now() };
    this.#states.set(pending, state);
    this.#options.onSent?.(outcome);
  }

  #noteFailure(pending: PendingChunk, error: unknown): string {
    const { log } = this.#options;
    const code = error instanceof AutoglmError ? error.code : "Internal";
    if (hasErrorCode(error, "ResultStoreFull")) {
      if (this.#fullInARow === 0) log.warn({ error }, "the result store is full; results stay in the outbox");
      const pauseMs = Math.min(FULL_PAUSE_MS.first * 2 ** this.#fullInARow, FULL_PAUSE_MS.atMost);
      // A whole window may come back refused: it counts once.
      if (this.#now() >= this.#pausedUntil) {
        this.#fullInARow++;
        this.#pausedUntil = this.#now() + pauseMs * (0.5 + this.#random() / 2);
      }
    } else if (!hasErrorCode(error, "BusUnavailable")) {
      log.warn(
        { error, assignment: assignmentKeyText(pending.key), chunk: pending.chunk },
        "chunk was not sent",
      );
    }
    return code;
  }

  #fillBucket(now: number): void {
    const filled = this.#bucketBytes + ((now - this.#bucketFilledAt) / 1000) * this.#bytesPerSecond;
    this.#bucketBytes = Math.min(this.#bytesPerSecond, filled);
    this.#bucketFilledAt = now;
  }

  async #wakeOrTimeout(waitMs: number): Promise<void> {
    const timer = Number.isFinite(waitMs) ? setTimeout(() => this.poke(), Math.max(1, waitMs)) : undefined;
    await this.#wake.promise;
    clearTimeout(timer);
  }
}
