/** A control group with a limit of memory and of processor time, of version 1 or 2, made by hand: only root may. */
import { existsSync, mkdirSync, readFileSync, rmdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";

export interface CgroupLimits {
  readonly memoryBytes: number;
  readonly cores: number;
}

export interface CgroupUse {
  readonly peakBytes: number;
  /** Processes that the kernel ended for want of memory. */
  readonly killed: number;
}

const ROOT = "/sys/fs/cgroup";
const PERIOD_US = 100_000;

export class Cgroup {
  /** One of version 2; of version 1 one for memory and one for the processor. */
  readonly #folders: readonly string[];
  readonly #isUnified: boolean;

  private constructor(folders: readonly string[], isUnified: boolean) {
    this.#folders = folders;
    this.#isUnified = isUnified;
  }

  /** @throws Error that says why there can be none */
  static create(name: string, { memoryBytes, cores }: CgroupLimits): Cgroup {
    const isUnified = existsSync(join(ROOT, "cgroup.controllers"));
    const folders = isUnified ? [join(ROOT, name)] : [join(ROOT, "memory", name), join(ROOT, "cpu", name)];
    const group = new Cgroup(folders, isUnified);
    try {
      if (isUnified) writeFileSync(join(ROOT, "cgroup.subtree_control"), "+memory +cpu");
      for (const folder of folders) mkdirSync(folder, { recursive: true });
      const quota = Math.round(cores * PERIOD_US);
      if (isUnified) {
        group.#write("memory.max", String(memoryBytes));
        if (existsSync(join(folders[0] ?? "", "memory.swap.max"))) group.#write("memory.swap.max", "0");
        group.#write("cpu.max", `${quota} ${PERIOD_US}`);
      } else {
        group.#write("memory.limit_in_bytes", String(memoryBytes));
        group.#write("cpu.cfs_period_us", String(PERIOD_US));
        group.#write("cpu.cfs_quota_us", String(quota));
      }
      return group;
    } catch (error) {
      group.remove();
      throw error;
    }
  }

  /** A command that moves itself into the group and becomes the other one. */
  wrap(
    command: string,
    args: readonly string[],
  ): { readonly command: string; readonly args: readonly string[] } {
    const enter = this.#folders.map((folder) => `echo $$ > ${folder}/cgroup.procs`).join(" && ");
    return { command: "/bin/sh", args: ["-c", `${enter} && exec "$0" "$@"`, command, ...args] };
  }

  use(): CgroupUse {
    const [folder = ""] = this.#folders;
    const read = (file: string) => readFileSync(join(folder, file), "utf8");
    const events = read(this.#isUnified ? "memory.events" : "memory.oom_control");
    return {
      peakBytes: Number(read(this.#isUnified ? "memory.peak" : "memory.max_usage_in_bytes")),
      killed: Number(/^oom_kill (\d+)$/m.exec(events)?.[1] ?? 0),
    };
  }

  /** When nothing runs in it any more. */
  remove(): void {
    for (const folder of this.#folders) if (existsSync(folder)) rmdirSync(folder);
  }

  #write(file: string, value: string): void {
    const isCpu = file.startsWith("cpu.");
    writeFileSync(join((isCpu ? this.#folders.at(-1) : this.#folders[0]) ?? "", file), value);
  }
}
