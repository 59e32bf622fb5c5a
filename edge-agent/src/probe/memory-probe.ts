/**
 * The memory that models can have on this node, and the tier that follows:
 *
 *   the largest card that nvidia-smi knows  →  the declared budget of RAM  →  half of the machine's RAM
 *
 * One card, not the sum: a model runs on one. A node without a card says "ram", so that the operator can tell the two
 * apart. Where nothing is known there is no tier.
 */
import type { Heartbeat, Tier } from "@autoglm/api";
import { tierOfMib } from "@autoglm/core";
import { execa } from "execa";
import {
  GPU_QUERY,
  parseGpuProcesses,
  parseGpus,
  parseMigInstances,
  PROCESS_QUERY,
  type GpuProcess,
  type GpuView,
} from "./nvidia-smi.ts";
import { ownProcessIds, readHostMemory, type HostMemory } from "./proc.ts";

export interface MemoryReading {
  readonly memory: Heartbeat["memory"];
  readonly probedTier?: Tier;
}

/** Facts to read memory from; what could not be read is absent. */
export interface MemoryFacts {
  readonly gpus: readonly GpuView[];
  readonly gpuProcesses: readonly GpuProcess[];
  readonly ownProcessIds: ReadonlySet<number>;
  readonly declaredBudgetBytes: number | undefined;
  readonly host: HostMemory | undefined;
  /** What the engine says that its processes use. */
  readonly engineBytes: number;
}

const MIB = 1024 * 1024;
/** Without a declared budget: the other half belongs to what the machine is there for. */
const SHARE_OF_HOST = 0.5;
const SMI_TIMEOUT_MS = 5000;

export function judgeMemory(facts: MemoryFacts): MemoryReading {
  const card = facts.gpus.toSorted((a, b) => b.totalBytes - a.totalBytes || (a.uuid < b.uuid ? -1 : 1))[0];
  if (card) return withTier(cardMemory(card, facts));
  if (facts.declaredBudgetBytes !== undefined) {
    return withTier({
      kind: "ram",
      totalBytes: facts.declaredBudgetBytes,
      usedByOthersBytes: 0,
      usedByUsBytes: facts.engineBytes,
    });
  }
  const totalBytes = Math.floor((facts.host?.totalBytes ?? 0) * SHARE_OF_HOST);
  // What neither we use nor is available is missing from our share as far as the other half can't give it.
  const reachable = (facts.host?.availableBytes ?? 0) + facts.engineBytes;
  return withTier({
    kind: "ram",
    totalBytes,
    usedByOthersBytes: Math.max(0, totalBytes - reachable),
    usedByUsBytes: facts.engineBytes,
  });
}

function cardMemory(card: GpuView, facts: MemoryFacts): Heartbeat["memory"] {
  const known = facts.gpuProcesses.filter(
    ({ gpuUuid, pid }) => gpuUuid === card.uuid && facts.ownProcessIds.has(pid),
  );
  // In a container the ids are those of the host, or none are listed: then the engine's own figure has to do.
  const usedByUsBytes =
    known.length > 0
      ? known.reduce((sum, { usedBytes }) => sum + usedBytes, 0)
      : Math.min(facts.engineBytes, card.usedBytes);
  return {
    kind: "gpu",
    totalBytes: card.totalBytes,
    usedByOthersBytes: Math.max(0, card.usedBytes - usedByUsBytes),
    usedByUsBytes,
    device: card.name.slice(0, 256),
  };
}

function withTier(memory: Heartbeat["memory"]): MemoryReading {
  const probedTier = tierOfMib(memory.totalBytes / MIB);
  return { memory, ...(probedTier && { probedTier }) };
}

export interface MemoryProbeOptions {
  readonly declaredBudgetBytes: number | undefined;
  readonly engineBytes: () => number;
}

interface Cards {
  readonly gpus: readonly GpuView[];
  readonly gpuProcesses: readonly GpuProcess[];
}

/**
 * Reads the facts anew each time. A machine without nvidia-smi is not asked again; one where it fails for a moment
 * keeps the cards that it had, because losing its tier would move its work.
 */
export class MemoryProbe {
  readonly #options: MemoryProbeOptions;
  #isSmiMissing = false;
  #cards: Cards = { gpus: [], gpuProcesses: [] };

  constructor(options: MemoryProbeOptions) {
    this.#options = options;
  }

  async read(): Promise<MemoryReading> {
    if (!this.#isSmiMissing) this.#cards = (await this.#readCards()) ?? this.#cards;
    return judgeMemory({
      ...this.#cards,
      ownProcessIds: await ownProcessIds(),
      declaredBudgetBytes: this.#options.declaredBudgetBytes,
      host: await readHostMemory(),
      engineBytes: this.#options.engineBytes(),
    });
  }

  async #readCards(): Promise<Cards | undefined> {
    const csv = await this.#smi(GPU_QUERY, "--format=csv,noheader,nounits");
    if (csv === undefined) return undefined;
    const { gpus, hasMig } = parseGpus(csv);
    const processes = (await this.#smi(PROCESS_QUERY, "--format=csv,noheader,nounits")) ?? "";
    const instances = hasMig ? parseMigInstances((await this.#smi("-q", "-x")) ?? "") : [];
    return { gpus: [...gpus, ...instances], gpuProcesses: parseGpuProcesses(processes) };
  }

  async #smi(...parameters: string[]): Promise<string | undefined> {
    const result = await execa("nvidia-smi", parameters, { reject: false, timeout: SMI_TIMEOUT_MS });
    if (result.code === "ENOENT") this.#isSmiMissing = true;
    return result.failed ? undefined : result.stdout;
  }
}
