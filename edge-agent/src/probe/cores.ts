import { availableParallelism } from "node:os";
import { readFileSync } from "node:fs";

export interface CoreFacts {
  /** Cores that the scheduler may put this process on. */
  readonly affinity: number;
  /** Content of cgroup v2's cpu.max, `max 100000` or `150000 100000`. */
  readonly cpuMax: string | undefined;
  /** Of cgroup v1; -1 means no limit. */
  readonly quotaUs: string | undefined;
  readonly periodUs: string | undefined;
}

/**
 * Whole cores that this process may use: those of the container, not of the machine. A quota of one and a half cores is
 * one: a second thread would be stopped for half of each period, and hold up the run that it works on.
 */
export function countCores({ affinity, cpuMax, quotaUs, periodUs }: CoreFacts): number {
  const [quota = quotaUs, period = periodUs] = cpuMax?.trim().split(/\s+/) ?? [];
  const share = Number(quota) / Number(period);
  if (!Number.isFinite(share) || share <= 0) return affinity;
  return Math.max(1, Math.min(affinity, Math.floor(share)));
}

export function availableCores(): number {
  return countCores({
    affinity: availableParallelism(),
    cpuMax: read("/sys/fs/cgroup/cpu.max"),
    quotaUs: read("/sys/fs/cgroup/cpu/cpu.cfs_quota_us"),
    periodUs: read("/sys/fs/cgroup/cpu/cpu.cfs_period_us"),
  });
}

function read(file: string): string | undefined {
  try {
    return readFileSync(file, "utf8");
  } catch {
    return undefined;
  }
}
