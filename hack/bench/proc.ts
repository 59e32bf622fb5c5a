/** What Linux tells about a process. */
import { readdirSync, readFileSync } from "node:fs";

/** Of a kernel built as nearly all are: /proc counts processor time in hundredths of a second. */
const TICK_MS = 10;

export interface Memory {
  /** Proportional set size: own pages, and its part of those that it shares. */
  readonly pssBytes: number;
  readonly rssBytes: number;
}

export function memoryOf(pid: number): Memory {
  const text = readFileSync(`/proc/${pid}/smaps_rollup`, "utf8");
  const bytes = (field: string) => 1024 * Number(new RegExp(`^${field}:\\s+(\\d+) kB$`, "m").exec(text)?.[1]);
  return { pssBytes: bytes("Pss"), rssBytes: bytes("Rss") };
}

export function childrenOf(pid: number): readonly number[] {
  return readdirSync(`/proc/${pid}/task`).flatMap((task) =>
    readFileSync(`/proc/${pid}/task/${task}/children`, "utf8").split(" ").filter(Boolean).map(Number),
  );
}

/** Processor time so far of these processes, user and system. */
export function cpuMs(pids: readonly number[]): number {
  let ticks = 0;
  for (const pid of pids) {
    const stat = readFileSync(`/proc/${pid}/stat`, "utf8");
    // After the name in parentheses: utime and stime are the 12th and 13th fields.
    const fields = stat.slice(stat.lastIndexOf(")") + 2).split(" ");
    ticks += Number(fields[11]) + Number(fields[12]);
  }
  return ticks * TICK_MS;
}
