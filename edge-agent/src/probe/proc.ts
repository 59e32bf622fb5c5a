import { readFile } from "node:fs/promises";

/** Memory of the machine, or of the container where that is less. */
export interface HostMemory {
  readonly totalBytes: number;
  readonly availableBytes: number;
}

/** From /proc/meminfo and the files of cgroup v2 or v1; undefined where neither says anything (not Linux). */
export function parseHostMemory(files: {
  readonly meminfo: string | undefined;
  readonly cgroupLimit: string | undefined;
  readonly cgroupUsed: string | undefined;
}): HostMemory | undefined {
  const totalBytes = kibibytes(files.meminfo, "MemTotal");
  const availableBytes = kibibytes(files.meminfo, "MemAvailable");
  if (totalBytes === undefined || availableBytes === undefined) return undefined;
  const limit = integer(files.cgroupLimit);
  // "max", and the huge number of cgroup v1, mean no limit.
  if (limit === undefined || limit >= totalBytes) return { totalBytes, availableBytes };
  const left = Math.max(0, limit - (integer(files.cgroupUsed) ?? 0));
  return { totalBytes: limit, availableBytes: Math.min(availableBytes, left) };
}

export async function readHostMemory(): Promise<HostMemory | undefined> {
  const [meminfo, limit2, used2, limit1, used1] = await Promise.all(
    [
      "/proc/meminfo",
      "/sys/fs/cgroup/memory.max",
      "/sys/fs/cgroup/memory.current",
      "/sys/fs/cgroup/memory/memory.limit_in_bytes",
      "/sys/fs/cgroup/memory/memory.usage_in_bytes",
    ].map(readOptional),
  );
  return parseHostMemory({ meminfo, cgroupLimit: limit2 ?? limit1, cgroupUsed: used2 ?? used1 });
}

/** Ids of this process and its children: whose GPU memory is ours. */
export async function ownProcessIds(): Promise<ReadonlySet<number>> {
  const children = (await readOptional(`/proc/self/task/${process.pid}/children`)) ?? "";
  return new Set([process.pid, ...children.split(" ").filter(Boolean).map(Number)]);
}

async function readOptional(path: string): Promise<string | undefined> {
  try {
    return await readFile(path, "utf8");
  } catch {
    return undefined;
  }
}

function kibibytes(meminfo: string | undefined, field: string): number | undefined {
  const match = new RegExp(`^${field}:\\s+(\\d+) kB$`, "m").exec(meminfo ?? "");
  return match ? Number(match[1]) * 1024 : undefined;
}

function integer(text: string | undefined): number | undefined {
  const trimmed = text?.trim() ?? "";
  return /^\d+$/.test(trimmed) ? Number(trimmed) : undefined;
}
