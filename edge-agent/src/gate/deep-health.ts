/**
 * Whether the deep model is worth asking. An item that it could not answer is an edge answer and no harm; a thousand that
 * wait for the same timeout are.
 *
 *     Up ──fails──► Down, for a pause that doubles ──over──► one item tries ──answers──► Up
 *                     ▲                                           │ fails
 *                     └───────────────────────────────────────────┘
 */
const FIRST_PAUSE_MS = 1000;
const LONGEST_PAUSE_MS = 60_000;

export class DeepHealth {
  #pauseMs = 0;
  #downUntilMs = 0;
  #isTrying = false;

  /** Whether an item may be sent now; after a pause that holds for one item until it is known what became of it. */
  link(nowMs: number): "Up" | "Down" {
    if (this.#pauseMs === 0) return "Up";
    return nowMs >= this.#downUntilMs && !this.#isTrying ? "Up" : "Down";
  }

  noteSent(): void {
    if (this.#pauseMs > 0) this.#isTrying = true;
  }

  noteAnswer(): void {
    this.#pauseMs = 0;
    this.#isTrying = false;
  }

  /** Nobody waits for what was sent. */
  noteAbandoned(): void {
    this.#isTrying = false;
  }

  noteFailure(nowMs: number): void {
    // Several that were under way fail together: one failure.
    if (nowMs < this.#downUntilMs) return;
    this.#pauseMs = Math.min(LONGEST_PAUSE_MS, Math.max(FIRST_PAUSE_MS, this.#pauseMs * 2));
    this.#downUntilMs = nowMs + this.#pauseMs;
    this.#isTrying = false;
  }
}
