import { AutoglmError } from "@autoglm/api";
import { chooseVictim } from "./eviction.ts";
import type { ServedModel } from "./served-model.ts";

export interface MemoryLimits {
  readonly budgetBytes: number;
  /** Of each process, whatever its model. */
  readonly processOverheadBytes: number;
}

/**
 * Which models have memory. Each process counts with what its model declares, and with what any process takes there. To
 * make room, idle extra processes go first, then the idle model that was used longest ago, one that no request is open for
 * before others. While nothing is idle, loading waits. Loads take their room one after the other, those for online requests
 * before those for tasks.
 *
 * An online request does not wait for a whole task: a model that works for tasks alone finishes the runs that it is on and
 * gives its room up; its task goes on when it has room again. So that two models don't spend their time loading, each
 * keeps its room for a turn, against online requests as well as against tasks.
 */
export class Residency {
  readonly #models: Map<string, ServedModel>;
  readonly #limits: MemoryLimits;
  /** Loads that wait for room, in order of arrival. */
  readonly #loads: ServedModel[] = [];
  #changed: PromiseWithResolvers<void> | undefined;

  constructor(models: Map<string, ServedModel>, limits: MemoryLimits) {
    this.#models = models;
    this.#limits = limits;
  }

  /** Something became idle or ended: who waits for room looks again. */
  noteChange(): void {
    this.#changed?.resolve();
    this.#changed = undefined;
  }

  /**
   * Reserves memory for one process of the model.
   * @throws AutoglmError `ModelLoadFailed` for a model that can never fit, `Aborted` when nobody wants it any more
   */
  async takeRoom(served: ServedModel): Promise<void> {
    this.#loads.push(served);
    try {
      await this.#waitForRoom(served);
      served.reservedProcesses++;
    } finally {
      this.#loads.splice(this.#loads.indexOf(served), 1);
      for (const model of this.#models.values()) model.turn.isYielding = false;
      this.noteChange();
    }
  }

  /** For one process more of a model that has some: what was freed for a load that waits is not taken from it. */
  hasRoomToSpare(served: ServedModel): boolean {
    return this.#loads.length === 0 && this.#hasRoomFor(served);
  }

  async removeIdleProcesses(served: ServedModel): Promise<void> {
    await Promise.all(served.idleSlots.map((slot) => served.removeProcess(slot)));
    this.#forget(served);
  }

  async #waitForRoom(served: ServedModel): Promise<void> {
    const { budgetBytes, processOverheadBytes } = this.#limits;
    const needed = this.#processBytes(served);
    if (needed > budgetBytes) {
      const runtime = processOverheadBytes > 0 ? `, ${processOverheadBytes} of them for CUDA` : "";
      const message = `model ${served.model.name} needs ${needed} bytes of memory${runtime}, the node has ${budgetBytes} for models; raise AUTOGLM_MEMORY_BUDGET or take a smaller variant`;
      throw new AutoglmError("ModelLoadFailed", message, { retry: "never" });
    }
    while (this.#next !== served || !this.#hasRoomFor(served)) {
      if (served.users === 0 && served.queue.length === 0)
        throw new AutoglmError("Aborted", "nobody waits for the model", { retry: "never" });
      const now = performance.now();
      const victim = this.#next === served ? chooseVictim(this.#askable(served, now)) : undefined;
      const [slot] = victim?.idleSlots ?? [];
      if (victim === undefined || slot === undefined) {
        // One that is between two runs has nothing to finish: no change would say that it is idle.
        if (this.#next === served && this.#onlineWaits && this.#askForRoom(served, now)) continue;
        await this.#untilChange(now);
      } else {
        await victim.removeProcess(slot);
        this.#forget(victim);
      }
    }
  }

  /** Whose turn it is: loads take their room one after the other, those for online requests first. */
  get #next(): ServedModel | undefined {
    return this.#loads.find(({ hasOnlineWork }) => hasOnlineWork) ?? this.#loads[0];
  }

  /** Whom the load may take room from: in its turn a model keeps it for a first run, and from tasks for online requests. */
  #askable(served: ServedModel, now: number): readonly ServedModel[] {
    const isOnline = served.hasOnlineWork;
    return [...this.#models.values()].filter(
      (other) => other.turn.ends <= now || !(other.isAwaited || (!isOnline && other.expectsOnline)),
    );
  }

  /** Online requests have no model yet: this load is for them, or they come after it. */
  get #onlineWaits(): boolean {
    return [...this.#models.values()].some(({ hasOnlineWork, slots }) => hasOnlineWork && slots.size === 0);
  }

  /** One model after the other, until there is room. @returns whether one was asked now */
  #askForRoom(served: ServedModel, now: number): boolean {
    const others = [...this.#models.values()].filter((other) => other !== served && other.slots.size > 0);
    if (others.some(({ turn }) => turn.isYielding)) return false;
    const next = others
      .filter((other) => !other.hasOnlineWork && other.turn.ends <= now)
      .sort((a, b) => a.turn.ends - b.turn.ends)[0];
    if (next === undefined) return false;
    next.turn.isYielding = true;
    return true;
  }

  /** Something became idle, or a turn ends. */
  async #untilChange(now: number): Promise<void> {
    const changed = (this.#changed ??= Promise.withResolvers<void>());
    const end = Math.min(...[...this.#models.values()].map(({ turn }) => turn.nextEnd(now)));
    if (end === Infinity) return changed.promise;
    const timer = setTimeout(() => this.noteChange(), end - now + 1);
    try {
      await changed.promise;
    } finally {
      clearTimeout(timer);
    }
  }

  #hasRoomFor(served: ServedModel): boolean {
    let reserved = this.#processBytes(served);
    for (const other of this.#models.values())
      reserved += this.#processBytes(other) * other.reservedProcesses;
    return reserved <= this.#limits.budgetBytes;
  }

  #processBytes({ model }: ServedModel): number {
    return model.memoryBytes + this.#limits.processOverheadBytes;
  }

  /** A model that was set aside is remembered for that, one that is being loaded for whoever it is loaded for. */
  #forget(served: ServedModel): void {
    const isUnused = served.isIdle && served.reservedProcesses === 0 && served.users === 0;
    if (isUnused && served.setAside === undefined) this.#models.delete(served.model.digest);
  }
}
