import { readFile } from "node:fs/promises";

/**
 * Proportional set size of a process in bytes: its own pages, and its part of those that it shares with others. The
 * resident size where the kernel does not tell; 0 for a process that is gone or a system without /proc.
 */
export async function processMemoryBytes(pid: number): Promise<number> {
  return (
    (await readKilobytes(`/proc/${pid}/smaps_rollup`, /^Pss:\s+(\d+) kB$/m)) ??
    (await readKilobytes(`/proc/${pid}/status`, /^VmRSS:\s+(\d+) kB$/m)) ??
    0
  );
}

async function readKilobytes(file: string, line: RegExp): Promise<number | undefined> {
  try {
    const kilobytes = line.exec(await readFile(file, "utf8"))?.[1];
    return kilobytes === undefined ? undefined : Number(kilobytes) * 1024;
  } catch {
    return undefined;
  }
}
