import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import {
  findProcess,
  isAlive,
  killProcess,
  listProcesses,
  type ProcessRecord,
  restartProcess,
  startProcess,
  stopAll,
  stopProcess,
} from "./processes.ts";

let stateDir: string;

beforeEach(() => {
  stateDir = mkdtempSync(join(tmpdir(), "autoglm-processes-"));
});
afterEach(async () => {
  await stopAll(stateDir, 100);
  rmSync(stateDir, { recursive: true });
});

const start = async (name: string, script: string, logged?: string): Promise<ProcessRecord> =>
  startProcess({
    name,
    command: process.execPath,
    args: ["-e", script],
    stateDir,
    ...(logged === undefined ? {} : { readyWhen: async () => log(name).includes(logged) }),
  });
const log = (name: string): string => readFileSync(join(stateDir, "logs", `${name}.log`), "utf8");
const forEver = "setInterval(() => {}, 1000); console.log('up')";

describe("background processes", () => {
  it("are started once, listed in order, and stopped with nothing left", async () => {
    const first = await start("first", forEver, "up");
    await start("second", forEver, "up");
    expect((await start("first", forEver)).pid).toBe(first.pid);
    expect(listProcesses(stateDir).map((one) => one.name)).toEqual(["first", "second"]);
    await stopAll(stateDir);
    expect(isAlive(first)).toBe(false);
    expect(listProcesses(stateDir)).toEqual([]);
  });

  it("are killed when they do not listen, with the children they leave behind", async () => {
    const stubborn = `
      const { spawn } = require("node:child_process");
      const child = spawn(process.execPath, ["-e", "setInterval(() => {}, 1000)"]);
      process.on("SIGTERM", () => {});
      console.log("child " + child.pid + ".");
      setInterval(() => {}, 1000);`;
    const parent = await start("stubborn", stubborn, ".");
    const child = Number(/child (\d+)/.exec(log("stubborn"))?.[1]);
    expect(() => process.kill(child, 0)).not.toThrow();
    await stopProcess(stateDir, "stubborn", 50);
    expect(isAlive(parent)).toBe(false);
    await expect.poll(() => isRunning(child)).toBe(false);
  });

  it("start again as they were after a kill -9", async () => {
    const first = await start("victim", forEver, "up");
    await killProcess(stateDir, "victim");
    expect(isAlive(first)).toBe(false);
    const second = await restartProcess(stateDir, "victim");
    expect(second.pid).not.toBe(first.pid);
    expect(isAlive(second)).toBe(true);
  });

  it("are not confused with a process that has their pid by now", async () => {
    const record = { ...(await start("bystander", forEver, "up")), startedAt: "another time" };
    writeFileSync(join(stateDir, "processes", "bystander.json"), JSON.stringify(record));
    const bystander = record.pid;
    expect(findProcess(stateDir, "bystander")).toEqual(record);
    expect(isAlive(record)).toBe(false);
    await stopProcess(stateDir, "bystander", 50);
    expect(isRunning(bystander)).toBe(true);
    process.kill(bystander, "SIGKILL");
  });

  it("show the end of their log when they do not get ready", async () => {
    const broken = start("broken", "console.error('no such option'); process.exit(1)", "never");
    await expect(broken).rejects.toThrow(/broken ended before it was ready[^]*no such option/);
  });
});

/** False for a zombie too. */
function isRunning(pid: number): boolean {
  try {
    return !/\) [ZX] /.test(readFileSync(`/proc/${pid}/stat`, "utf8"));
  } catch {
    return false;
  }
}
