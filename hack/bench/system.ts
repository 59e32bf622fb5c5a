/** `system`: a whole installation as `make up` starts it: throughput, latency from apply to result, model load, memory. */
import { execFile } from "node:child_process";
import { rmSync } from "node:fs";
import { join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import { promisify } from "node:util";
import { down } from "../up/installation.ts";
import type { Section } from "./figures.ts";
import { measureLatency } from "./latency.ts";
import { memorySection, readMemory } from "./memory.ts";
import { measureModelLoad } from "./model-load.ts";
import { Site } from "./site.ts";
import { readSubjects } from "./subjects.ts";
import { measureThroughput } from "./throughput.ts";

export interface SystemOptions {
  readonly outDir: string;
  readonly rounds: number;
  /** Of each kind, for the latency. */
  readonly tasks: number;
  readonly say: (line: string) => void;
}

/** Heartbeats, first collections of garbage: after this a process is as idle as it gets. */
const SETTLE_MS = 10_000;

export const siteDirOf = (outDir: string): string => join(outDir, "site");

export async function measureSystem({
  outDir,
  rounds,
  tasks,
  say,
}: SystemOptions): Promise<readonly Section[]> {
  const siteDir = siteDirOf(outDir);
  const dataRoot = join(outDir, "data");
  const modelsDir = join(outDir, "models");
  const sections: Section[] = [];
  try {
    const site = await Site.start(siteDir, dataRoot, say);
    const subjects = await readSubjects({ modelsDir, dataRoot });
    say("memory: idle, then after the examples");
    await delay(SETTLE_MS);
    const idle = readMemory(siteDir);
    await runExamples(site);
    await delay(SETTLE_MS);
    const memory = memorySection(idle, readMemory(siteDir));
    sections.push(await measureThroughput({ subjects, site, rounds, say }));
    const [first] = subjects;
    if (first !== undefined)
      sections.push(await measureLatency({ subject: first, site, rounds: tasks, say }));
    sections.push(await measureModelLoad({ subjects, rounds: 2 * rounds + 1, say }), memory);
    await site.client.close();
    return sections;
  } finally {
    await down(siteDir);
    for (const folder of [dataRoot, modelsDir]) rmSync(folder, { recursive: true, force: true });
  }
}

async function runExamples({ kubectl }: Site): Promise<void> {
  const run = promisify(execFile);
  await run(kubectl, ["apply", "-f", "examples/"]);
  await run(kubectl, ["wait", "--for=condition=Complete", "autoglmtask", "--all", "--timeout=120s"]);
}
