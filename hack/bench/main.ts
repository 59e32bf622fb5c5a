/**
 * node hack/bench/main.ts [--check] [--rounds 5] [--tasks 30]
 *
 * `make bench`: every figure beside its baseline, measured in one run on one machine. Writes
 * `.autoglm-bench/report.json`. Exit code 0 whatever the figures are; with --check, 1 when one misses its goal or its range.
 */
import { execFile } from "node:child_process";
import { mkdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { arch, cpus, loadavg, release, totalmem } from "node:os";
import { join, resolve } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import { parseArgs, promisify } from "node:util";
import { down } from "../up/installation.ts";
import { judge, rangesSchema, type Section } from "./figures.ts";
import { measureLatency } from "./latency.ts";
import { memorySection, readMemory } from "./memory.ts";
import { measureModelLoad } from "./model-load.ts";
import { renderJudgements, renderSection } from "./report.ts";
import { Site } from "./site.ts";
import { readSubjects } from "./subjects.ts";
import { measureThroughput } from "./throughput.ts";

const OUT_DIR = resolve(".autoglm-bench");
const SITE_DIR = join(OUT_DIR, "site");
const DATA_ROOT = join(OUT_DIR, "data");
/** Heartbeats, first collections of garbage: after this a process is as idle as it gets. */
const SETTLE_MS = 10_000;

const say = (line: string) => void process.stderr.write(`[bench] ${line}\n`);

async function main(): Promise<number> {
  const { values } = parseArgs({
    options: {
      check: { type: "boolean", default: false },
      rounds: { type: "string", default: "5" },
      tasks: { type: "string", default: "30" },
    },
  });
  const rounds = Number(values.rounds);
  const ranges = rangesSchema.parse(
    JSON.parse(readFileSync(join(import.meta.dirname, "ranges.json"), "utf8")),
  );
  const startedAt = new Date();
  const loadBefore = loadavg()[0] ?? 0;
  // What a killed run left behind.
  await down(SITE_DIR);
  mkdirSync(OUT_DIR, { recursive: true });
  const sections: Section[] = [];
  try {
    const site = await Site.start(SITE_DIR, DATA_ROOT, say);
    const subjects = await readSubjects({ modelsDir: join(OUT_DIR, "models"), dataRoot: DATA_ROOT });
    say("memory: idle, then after the examples");
    await delay(SETTLE_MS);
    const idle = readMemory(SITE_DIR);
    await runExamples(site);
    await delay(SETTLE_MS);
    const memory = memorySection(idle, readMemory(SITE_DIR));
    sections.push(await measureThroughput({ subjects, site, rounds, say }));
    const [first] = subjects;
    if (first !== undefined)
      sections.push(await measureLatency({ subject: first, site, rounds: Number(values.tasks), say }));
    sections.push(await measureModelLoad({ subjects, rounds: 2 * rounds + 1, say }), memory);
    await site.client.close();
  } finally {
    await down(SITE_DIR);
    for (const folder of [DATA_ROOT, join(OUT_DIR, "models")])
      rmSync(folder, { recursive: true, force: true });
  }

  const judgements = sections.flatMap(({ figures }) => figures.map((figure) => judge(figure, ranges)));
  const cores = cpus();
  const machine = {
    cpu: cores[0]?.model.trim() ?? "unknown",
    cores: cores.length,
    memoryGiB: Math.round(totalmem() / 1024 ** 3),
    system: `${process.platform} ${release()} ${arch()}`,
    node: process.version,
    /** Average of one minute: what else ran here shows in it, and so does the benchmark itself at the end. */
    loadAverage: { before: loadBefore, after: loadavg()[0] ?? 0 },
  };
  const file = join(OUT_DIR, "report.json");
  writeFileSync(file, `${JSON.stringify({ startedAt, machine, sections, judgements }, null, 2)}\n`);
  const shown = sections.map(renderSection);
  const where = `${machine.cores} × ${machine.cpu}, ${machine.memoryGiB} GiB, Node ${machine.node}, load ${loadBefore.toFixed(1)} before the run`;
  console.log(
    `\n${shown.join("\n\n")}\n\n${renderJudgements(judgements, ranges)}\n\n${where}\nreport: ${file}`,
  );
  const isBad = judgements.some(
    ({ goal, range }) => goal === "missed" || range === "below" || range === "above",
  );
  return values.check && isBad ? 1 : 0;
}

async function runExamples({ kubectl }: Site): Promise<void> {
  const run = promisify(execFile);
  await run(kubectl, ["apply", "-f", "examples/"]);
  await run(kubectl, ["wait", "--for=condition=Complete", "autoglmtask", "--all", "--timeout=120s"]);
}

// Ctrl-C: the finally of main must run, or an installation stays behind.
const interrupted = new Promise<never>((_, reject) => {
  process.once("SIGINT", () => reject(new Error("interrupted")));
});
try {
  process.exitCode = await Promise.race([main(), interrupted]);
} catch (error) {
  say(error instanceof Error ? error.message : String(error));
  await down(SITE_DIR);
  process.exit(1);
}
