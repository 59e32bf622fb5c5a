/** One server with all its processes: start, wait, pause, measure, end. */
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { closeSync, openSync, readFileSync } from "node:fs";
import { setTimeout as delay } from "node:timers/promises";
import { childrenOf, cpuMs, memoryOf } from "../proc.ts";

export interface ServerCommand {
  readonly command: string;
  readonly args: readonly string[];
  readonly cwd: string;
  readonly env: Readonly<Record<string, string>>;
}

const END_MS = 5000;

export class ServerProcess {
  readonly #child: ChildProcess;
  readonly #logFile: string;

  private constructor(child: ChildProcess, logFile: string) {
    this.#child = child;
    this.#logFile = logFile;
  }

  /** In a process group of its own, so that all of it can be ended. */
  static start({ command, args, cwd, env }: ServerCommand, logFile: string): ServerProcess {
    const log = openSync(logFile, "w");
    const child = spawn(command, args, {
      cwd,
      env: { ...process.env, ...env },
      detached: true,
      stdio: ["ignore", log, log],
    });
    closeSync(log);
    // A command that does not exist: seen as one that has ended.
    child.on("error", () => undefined);
    return new ServerProcess(child, logFile);
  }

  get hasEnded(): boolean {
    return this.#child.exitCode !== null || this.#child.signalCode !== null || this.#child.pid === undefined;
  }

  get pid(): number {
    return this.#child.pid ?? 0;
  }

  /** The last of what it printed. */
  lastWords(): string {
    return readFileSync(this.#logFile, "utf8").trimEnd().split("\n").slice(-3).join(" | ").slice(-400);
  }

  pids(): readonly number[] {
    const all: number[] = [];
    const waiting = [this.pid];
    for (let pid = waiting.pop(); pid !== undefined; pid = waiting.pop()) {
      try {
        const children = childrenOf(pid);
        all.push(pid);
        waiting.push(...children);
      } catch {
        // It has ended since.
      }
    }
    return all;
  }

  cpuMs(): number {
    return cpuMs(this.pids());
  }

  pssBytes(): number {
    return this.pids().reduce((sum, pid) => sum + memoryOf(pid).pssBytes, 0);
  }

  pause(): void {
    this.#signal("SIGSTOP");
  }

  resume(): void {
    this.#signal("SIGCONT");
  }

  async stop(): Promise<void> {
    if (this.#child.pid === undefined) return;
    const exit = this.hasEnded ? Promise.resolve() : once(this.#child, "exit");
    this.resume();
    this.#signal("SIGTERM");
    await Promise.race([exit, delay(END_MS)]);
    // What the first process left behind, or all of them.
    this.#signal("SIGKILL");
    await exit;
  }

  #signal(signal: NodeJS.Signals): void {
    try {
      process.kill(-this.pid, signal);
    } catch {
      // Nothing of the group is left.
    }
  }
}
