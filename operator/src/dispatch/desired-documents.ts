/**
 * Writes the desired document of each node: one writer, one message per node, the newest revision wins.
 *
 *     changed ──urgent──▶ at once, while the node's bucket holds a token (20, five more each second)
 *        └─────lazy─────▶ a second after the last write
 *
 * Urgent is what somebody waits for: work that comes or goes. Lazy is what can be told later: how far results are
 * accepted. Changes during a write go into the next one. A write that fails is repeated, with whatever is true by then.
 *
 * Nothing is written before `open`: after a start the table of assignments fills up task by task, and a document that
 * lacks one would stop the work on it.
 */
import { WIRE_VERSION, type Assignment, type DesiredDocument } from "@autoglm/api";
import type { Clock, Log } from "@autoglm/kube";

export interface DocumentBus {
  writeDesired(document: DesiredDocument): Promise<void>;
}

export interface DesiredDocumentsOptions {
  readonly bus: DocumentBus;
  /** Raised when the cluster was restored from a backup; counts before the revision. */
  readonly generation: number;
  readonly clock: Clock;
  readonly log: Log;
  readonly assignmentsOf: (nodeId: string) => readonly Assignment[];
  /** The revision that the node says it has; one behind it would be ignored. */
  readonly heldRevision: (nodeId: string) => number;
  readonly onWritten: (document: DesiredDocument) => void;
}

const BURST = 20;
const REFILL_MS = 200;
const LAZY_MS = 1000;
const RETRY_MS = 1000;
const MAX_ASSIGNMENTS = 512;

interface NodeState {
  revision: number;
  isDirty: boolean;
  isWriting: boolean;
  writtenAtMs: number;
  tokens: number;
  tokensAtMs: number;
  /** When the pending timer fires, and what cancels it. */
  timer?: { readonly atMs: number; readonly cancel: () => void } | undefined;
}

export class DesiredDocuments {
  readonly #options: DesiredDocumentsOptions;
  readonly #nodes = new Map<string, NodeState>();
  #isOpen = false;
  #isStopped = false;

  constructor(options: DesiredDocumentsOptions) {
    this.#options = options;
  }

  get isOpen(): boolean {
    return this.#isOpen;
  }

  /** From here on documents are written; what was changed before goes out now. */
  open(): void {
    this.#isOpen = true;
    for (const [nodeId, state] of this.#nodes) if (state.isDirty) this.#schedule(nodeId, state, true);
  }

  stop(): void {
    this.#isStopped = true;
    for (const state of this.#nodes.values()) state.timer?.cancel();
  }

  /** What an earlier process wrote: later revisions follow on it. */
  seed(document: DesiredDocument): void {
    const state = this.#stateOf(document.node);
    if (document.generation === this.#options.generation) {
      state.revision = Math.max(state.revision, document.revision);
    }
  }

  /** Of the last document; 0: none was written yet. */
  revisionOf(nodeId: string): number {
    return this.#nodes.get(nodeId)?.revision ?? 0;
  }

  change(nodeId: string, isUrgent: boolean): void {
    const state = this.#stateOf(nodeId);
    state.isDirty = true;
    this.#schedule(nodeId, state, isUrgent);
  }

  #stateOf(nodeId: string): NodeState {
    const existing = this.#nodes.get(nodeId);
    if (existing !== undefined) return existing;
    const state: NodeState = {
      revision: 0,
      isDirty: false,
      isWriting: false,
      writtenAtMs: -Infinity,
      tokens: BURST,
      tokensAtMs: this.#options.clock.now(),
    };
    this.#nodes.set(nodeId, state);
    return state;
  }

  #schedule(nodeId: string, state: NodeState, isUrgent: boolean): void {
    if (!this.#isOpen || this.#isStopped || state.isWriting) return;
    const now = this.#options.clock.now();
    const gained = Math.floor((now - state.tokensAtMs) / REFILL_MS);
    state.tokens = Math.min(BURST, state.tokens + gained);
    state.tokensAtMs += gained * REFILL_MS;
    const urgentAt = state.tokens > 0 ? now : state.tokensAtMs + REFILL_MS;
    const atMs = isUrgent ? urgentAt : Math.max(now, state.writtenAtMs + LAZY_MS);
    if (state.timer !== undefined && state.timer.atMs <= atMs) return;
    state.timer?.cancel();
    state.timer = undefined;
    if (atMs <= now) {
      state.tokens = Math.max(0, state.tokens - 1);
      void this.#write(nodeId, state);
      return;
    }
    this.#scheduleAfter(nodeId, state, atMs - now, isUrgent);
  }

  #scheduleAfter(nodeId: string, state: NodeState, delayMs: number, isUrgent: boolean): void {
    const cancel = this.#options.clock.after(delayMs, () => {
      state.timer = undefined;
      this.#schedule(nodeId, state, isUrgent);
    });
    state.timer = { atMs: this.#options.clock.now() + delayMs, cancel };
  }

  /** Owns its errors: never rejects. */
  async #write(nodeId: string, state: NodeState): Promise<void> {
    const { bus, clock, log, generation, assignmentsOf, heldRevision, onWritten } = this.#options;
    if (state.isWriting || this.#isStopped) return;
    state.isWriting = true;
    state.isDirty = false;
    state.revision = Math.max(state.revision + 1, heldRevision(nodeId) + 1, clock.now());
    const assignments = assignmentsOf(nodeId).slice(0, MAX_ASSIGNMENTS);
    const document = {
      v: WIRE_VERSION,
      node: nodeId,
      generation,
      revision: state.revision,
      assignments,
    } as const;
    let isWritten = false;
    try {
      await bus.writeDesired({ ...document, assignments: [...assignments] });
      isWritten = true;
      onWritten({ ...document, assignments: [...assignments] });
    } catch (error) {
      state.isDirty = true;
      log.warn({ node: nodeId, error }, "desired document not written; it is tried again");
    }
    state.isWriting = false;
    state.writtenAtMs = clock.now();
    if (!state.isDirty || this.#isStopped) return;
    if (isWritten) this.#schedule(nodeId, state, true);
    else this.#scheduleAfter(nodeId, state, RETRY_MS, true);
  }
}
