/**
 * Tells the operator how far each task is: at once for a first result and for completion, else at most once in
 * `intervalMs` per task, and always the newest state, never a queue of old ones.
 *
 *     idle ──touch──▶ publishing ──▶ resting (until intervalMs after the publish began) ──▶ idle
 *                         ▲             │ touched meanwhile: when the rest is over, if urgent at once
 *                         └─────────────┘
 *
 * A publish that fails is not repeated here: the republish on reconnect or every 30 s
 * takes it up. The bus keeps one ledger per task, so publishing again costs nothing but the message.
 */
import type { Ledger } from "@autoglm/api";

export interface LedgerPublisherOptions {
  /** Newest ledger of a task; undefined for a task that is gone. */
  readonly read: (task: string) => Ledger | undefined;
  readonly publish: (ledger: Ledger) => Promise<void>;
  readonly onError: (error: unknown) => void;
  /** Default 250 ms. */
  readonly intervalMs?: number;
  /** Milliseconds since the epoch. */
  readonly now: () => number;
}

interface Activity {
  readonly startedAt: number;
  touched: "no" | "yes" | "urgent";
  /** While it is on its way. */
  publishing: Promise<void> | undefined;
  timer: NodeJS.Timeout | undefined;
}

export class LedgerPublisher {
  readonly #options: Required<LedgerPublisherOptions>;
  readonly #active = new Map<string, Activity>();
  /** What `storeFull` said last, per task, and under which revision: a flip needs a higher one. */
  readonly #published = new Map<string, { readonly revision: number; readonly storeFull: boolean }>();
  readonly #startedAt: number;
  #isStopped = false;

  constructor(options: LedgerPublisherOptions) {
    this.#options = { intervalMs: 250, ...options };
    this.#startedAt = options.now();
  }

  /** Something about the task changed. `urgent` does not wait for the interval. */
  touch(task: string, urgent: boolean): void {
    if (this.#isStopped) return;
    const activity = this.#active.get(task);
    if (activity === undefined) {
      this.#begin(task);
      return;
    }
    if (urgent) activity.touched = "urgent";
    else if (activity.touched === "no") activity.touched = "yes";
    if (urgent && activity.publishing === undefined) this.#begin(task);
  }

  /** The task is gone: nothing more is said about it once this resolves. */
  async forget(task: string): Promise<void> {
    const activity = this.#active.get(task);
    clearTimeout(activity?.timer);
    this.#active.delete(task);
    this.#published.delete(task);
    await activity?.publishing;
  }

  stop(): void {
    this.#isStopped = true;
    for (const { timer } of this.#active.values()) clearTimeout(timer);
    this.#active.clear();
  }

  #begin(task: string): void {
    clearTimeout(this.#active.get(task)?.timer);
    const activity: Activity = {
      startedAt: this.#options.now(),
      touched: "no",
      publishing: undefined,
      timer: undefined,
    };
    this.#active.set(task, activity);
    activity.publishing = this.#publish(task).then(() => this.#rest(task, activity));
  }

  async #publish(task: string): Promise<void> {
    try {
      const ledger = this.#options.read(task);
      if (ledger !== undefined) await this.#options.publish(this.#numbered(ledger));
    } catch (error) {
      this.#options.onError(error);
    }
  }

  #rest(task: string, activity: Activity): void {
    // Forgotten, or begun anew, while it was on its way.
    if (this.#active.get(task) !== activity) return;
    if (activity.touched === "urgent") {
      this.#begin(task);
      return;
    }
    activity.publishing = undefined;
    const { intervalMs, now } = this.#options;
    activity.timer = setTimeout(
      () => {
        if (activity.touched === "yes") this.#begin(task);
        else this.#active.delete(task);
      },
      Math.max(0, activity.startedAt + intervalMs - now()),
    );
  }

  #numbered(ledger: Ledger): Ledger {
    const last = this.#published.get(ledger.task);
    const isFlipped = last !== undefined && last.storeFull !== ledger.storeFull;
    const least = last === undefined ? this.#startedAt : last.revision + (isFlipped ? 1 : 0);
    const revision = Math.max(ledger.revision, least);
    this.#published.set(ledger.task, { revision, storeFull: ledger.storeFull });
    return { ...ledger, revision };
  }
}
