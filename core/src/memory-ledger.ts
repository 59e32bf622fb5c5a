/**
 * Who has reserved how much memory on which node. One writer, no I/O.
 *
 * Invariant: a reservation is granted only if, at that moment, it and all others on the node fit into the node's
 * capacity. Capacity may shrink later because others use the card: then nothing is free until enough is released, and
 * nothing is taken away from those who have it.
 */

export interface Reservation {
  readonly node: string;
  readonly bytes: number;
}

export class MemoryLedger {
  readonly #capacity = new Map<string, number>();
  readonly #reservations = new Map<string, Reservation>();
  readonly #onNode = new Map<string, { bytes: number; readonly holders: Set<string> }>();

  /** An unknown node has no capacity. */
  setCapacity(node: string, bytes: number): void {
    this.#capacity.set(node, Math.max(0, bytes));
  }

  /** Forgets the capacity of every node that is not named; reservations stay. */
  keepNodes(nodes: ReadonlySet<string>): void {
    for (const node of this.#capacity.keys()) if (!nodes.has(node)) this.#capacity.delete(node);
  }

  /** True if `holder` now has the memory; its earlier reservation, if any, is replaced only then. */
  reserve(holder: string, node: string, bytes: number): boolean {
    const own = this.#reservations.get(holder);
    const others = this.reservedOn(node) - (own?.node === node ? own.bytes : 0);
    if (others + bytes > this.capacityOf(node)) return false;
    this.record(holder, { node, bytes });
    return true;
  }

  /** Records what was granted earlier, whatever the capacity says now: the placement exists and runs. */
  record(holder: string, reservation: Reservation): void {
    this.release(holder);
    this.#reservations.set(holder, reservation);
    const sum = this.#onNode.get(reservation.node) ?? { bytes: 0, holders: new Set() };
    sum.bytes += reservation.bytes;
    sum.holders.add(holder);
    this.#onNode.set(reservation.node, sum);
  }

  /** True if there was something to release. */
  release(holder: string): boolean {
    const reservation = this.#reservations.get(holder);
    if (reservation === undefined) return false;
    this.#reservations.delete(holder);
    const sum = this.#onNode.get(reservation.node);
    if (sum === undefined) return true;
    sum.bytes -= reservation.bytes;
    sum.holders.delete(holder);
    if (sum.holders.size === 0) this.#onNode.delete(reservation.node);
    return true;
  }

  reservationOf(holder: string): Reservation | undefined {
    return this.#reservations.get(holder);
  }

  capacityOf(node: string): number {
    return this.#capacity.get(node) ?? 0;
  }

  reservedOn(node: string): number {
    return this.#onNode.get(node)?.bytes ?? 0;
  }

  freeOn(node: string): number {
    return Math.max(0, this.capacityOf(node) - this.reservedOn(node));
  }

  holdersOn(node: string): readonly string[] {
    return [...(this.#onNode.get(node)?.holders ?? [])];
  }
}

/**
 * Bytes that may be reserved on a node: the smallest of all known totals less what others use. Undefined while no total
 * is known: nothing can be promised then.
 */
export function capacityBytes(knownTotals: readonly number[], usedByOthers: number): number | undefined {
  const totals = knownTotals.filter((total) => total > 0);
  return totals.length === 0 ? undefined : Math.max(0, Math.min(...totals) - usedByOthers);
}

/**
 * A measured amount, moved only when it has changed by more than half a step, and then rounded up to a step: a number
 * that trembles neither writes status nor wakes the scheduler. `previous` is what this returned last.
 */
export function steadyBytes(measured: number, previous: number | undefined, step: number): number {
  if (previous !== undefined && measured <= previous && previous - measured < 1.5 * step) return previous;
  return Math.ceil(measured / step) * step;
}
