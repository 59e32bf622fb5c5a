/**
 * Who waits for a place, who has one, and how much memory is left: the one place where memory is given out.
 *
 * `offer` answers at once. While nothing was freed since the last full pass, memory can only have become less, so a task
 * that waits goes on waiting and only a new one is looked at; otherwise the whole queue is gone through in order, each
 * task after those before it. What is offered is reserved in the same moment and stays offered until the task's
 * status says where it is (`settle`) or the task no longer wants it (`release`): a pass that runs again, on a stale cache
 * or after a write of unknown outcome, gets the same answer.
 */
import { isDeepStrictEqual } from "node:util";
import {
  compareQueueEntries,
  hintFor,
  MemoryLedger,
  scheduleQueue,
  type NodeView,
  type Placed,
  type PlacementRequest,
  type QueueEntry,
  type Unplaced,
} from "@autoglm/core";
import { parseQuantityBytes } from "@autoglm/api";

/** A node before anything is reserved on it. */
export type NodeDraft = Omit<NodeView, "freeBytes" | "assignments">;

export type Offer =
  | Placed
  | (Unplaced & {
      readonly hint: string;
      /** 1 is next. */
      readonly queuePosition: number;
    });

export interface PlacementBoardOptions {
  readonly readNodes: () => readonly NodeDraft[];
  /** These tasks have something new to find here. */
  readonly wake: (keys: readonly string[]) => void;
  /** What is reserved on this node has changed. */
  readonly onReserved: (node: string) => void;
}

/** Past this many the tasks behind a newcomer learn their new position when something moves. */
const MAX_WOKEN_BY_NEWCOMER = 50;

export class PlacementBoard {
  readonly #options: PlacementBoardOptions;
  readonly #ledger = new MemoryLedger();
  readonly #waiting = new Map<string, QueueEntry>();
  readonly #outcomes = new Map<string, Unplaced>();
  readonly #offered = new Map<string, { readonly request: PlacementRequest; readonly placed: Placed }>();
  #drafts: readonly NodeDraft[] = [];
  #needsFullPass = true;
  #isStale = false;

  constructor(options: PlacementBoardOptions) {
    this.#options = options;
  }

  /** Nodes may have changed: the next offer looks at them again, if `nodesChanged` does not come first. */
  markStale(): void {
    this.#isStale = true;
  }

  /** Looks at the nodes: their capacity, their labels, whether they are ready. */
  nodesChanged(): void {
    this.#isStale = false;
    const drafts = [...this.#options.readNodes()].sort((a, b) => (a.name < b.name ? -1 : 1));
    if (isDeepStrictEqual(drafts, this.#drafts)) return;
    this.#drafts = drafts;
    for (const { name, capacityBytes } of drafts) this.#ledger.setCapacity(name, capacityBytes);
    this.#ledger.keepNodes(new Set(drafts.map(({ name }) => name)));
    this.#freed();
  }

  /** The task no longer looks for a place; what it has reserved stays. */
  stopSeeking(key: string): void {
    this.#offered.delete(key);
    this.#leaveQueue(key);
  }

  /** The task's status says that it is there: counts, whatever capacity says now. An offer elsewhere is newer. */
  settle(key: string, node: string, bytes: number): void {
    if (this.#offered.has(key)) return;
    const existing = this.#ledger.reservationOf(key);
    if (existing?.node === node && existing.bytes === bytes) return;
    this.#ledger.record(key, { node, bytes });
    this.#options.onReserved(node);
    if (existing === undefined) return;
    this.#options.onReserved(existing.node);
    this.#freed();
  }

  /** The task has no place and wants none now. */
  release(key: string): void {
    this.#offered.delete(key);
    const wasWaiting = this.#leaveQueue(key);
    const reservation = this.#ledger.reservationOf(key);
    if (reservation !== undefined) {
      this.#ledger.release(key);
      this.#options.onReserved(reservation.node);
      this.#freed();
    } else if (wasWaiting) {
      this.#options.wake([...this.#waiting.keys()].slice(0, MAX_WOKEN_BY_NEWCOMER));
    }
  }

  offer(entry: QueueEntry): Offer {
    if (this.#isStale) this.nodesChanged();
    const { key, request } = entry;
    const earlier = this.#offered.get(key);
    if (earlier !== undefined) {
      if (isDeepStrictEqual(earlier.request, request)) return earlier.placed;
      this.release(key);
    }
    const known = this.#waiting.get(key);
    this.#waiting.set(key, entry);
    if (this.#needsFullPass) this.#pass([...this.#waiting.values()]);
    else if (!isDeepStrictEqual(known, entry)) this.#pass([entry]);
    const placed = this.#offered.get(key)?.placed;
    if (placed !== undefined) return placed;
    return this.#explain(entry, known === undefined);
  }

  holds(key: string): boolean {
    return this.#ledger.reservationOf(key) !== undefined;
  }

  reservedOn(node: string): number {
    return this.#ledger.reservedOn(node);
  }

  holdersOn(node: string): readonly string[] {
    return this.#ledger.holdersOn(node);
  }

  /** Nodes with what is free on them now. */
  nodes(): readonly NodeView[] {
    return this.#drafts.map((draft) => ({
      ...draft,
      freeBytes: this.#ledger.freeOn(draft.name),
      assignments: this.#ledger.holdersOn(draft.name).length,
    }));
  }

  #pass(entries: readonly QueueEntry[]): void {
    this.#needsFullPass = false;
    const placedKeys: string[] = [];
    const requests = new Map(entries.map((entry) => [entry.key, entry.request]));
    for (const [key, outcome] of scheduleQueue(entries, this.nodes())) {
      const request = requests.get(key);
      if (!outcome.isPlaced) {
        this.#outcomes.set(key, outcome);
      } else if (
        request !== undefined &&
        this.#ledger.reserve(key, outcome.node.name, outcome.candidate.bytes)
      ) {
        this.#offered.set(key, { request, placed: outcome });
        this.#options.onReserved(outcome.node.name);
        this.#leaveQueue(key);
        placedKeys.push(key);
      }
    }
    if (placedKeys.length > 0 && entries.length > 1) this.#options.wake(placedKeys);
  }

  #explain(entry: QueueEntry, isNew: boolean): Offer {
    const { key, request } = entry;
    const nodes = this.nodes();
    const outcome = this.#outcomes.get(key) ?? {
      isPlaced: false,
      reason: "NoNodes",
      counts: {},
      message: "no node is enrolled",
    };
    const order = [...this.#waiting.values()].sort(compareQueueEntries);
    const index = order.findIndex((one) => one.key === key);
    if (isNew)
      this.#options.wake(order.slice(index + 1, index + 1 + MAX_WOKEN_BY_NEWCOMER).map((one) => one.key));
    const leastBytes = Math.min(
      ...request.candidates.map(({ variant }) => parseQuantityBytes(variant.memory)),
    );
    const hint = hintFor({ request, outcome, nodes, leastBytes });
    return { ...outcome, hint, queuePosition: index + 1 };
  }

  #leaveQueue(key: string): boolean {
    this.#outcomes.delete(key);
    return this.#waiting.delete(key);
  }

  #freed(): void {
    this.#needsFullPass = true;
    this.#options.wake([...this.#waiting.keys()]);
  }
}
