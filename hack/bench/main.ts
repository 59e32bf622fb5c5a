/**
 * node hack/bench/main.ts [system] [serving] [resilience] [generation] [cuda] [--quick] [--check] [--rounds 5] [--tasks 30]
 *                         [--models FOLDER] [--cuda-decoder FOLDER]
 *
 * `make bench`: every figure beside its baseline, measured in one run on one machine; without a name, all parts but cuda,
 * which needs a card. --models: what `peers/prepare.py` made, for a machine where it can't run; --cuda-decoder: what
 * `models import --provider cuda` made of the sample decoder. Writes
 * `.autoglm-bench/report.json`. Exit code 0 whatever the figures are; with --check, 1 when one misses its goal or its range.
 */
import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { arch, cpus, loadavg, release, totalmem } from "node:os";
import { join, resolve } from "node:path";
import { parseArgs } from "node:util";
import { down } from "../up/installation.ts";
import { judge, rangesSchema, type Section } from "./figures.ts";
import { measureGeneration } from "./generation.ts";
import { renderJudgements, renderSection } from "./report.ts";
import { measureCudaDecoders, measureCudaServing } from "./serving/cuda.ts";
import { preparePeers } from "./serving/prepared.ts";
import { measureResilience } from "./serving/resilience.ts";
import { measureServing } from "./serving/serving.ts";
import { layOutModel } from "./subjects.ts";
import { measureSystem, siteDirOf } from "./system.ts";

const OUT_DIR = resolve(".autoglm-bench");

const say = (line: string) => void process.stderr.write(`[bench] ${line}\n`);

interface Options {
  readonly isQuick: boolean;
  readonly rounds: number;
  readonly tasks: number;
  readonly models: string | undefined;
  readonly cudaDecoder: string | undefined;
}

/** Sections are printed as they come: what is measured by then survives whatever ends the run. */
const PARTS: Readonly<Record<string, (options: Options) => AsyncIterable<Section>>> = {
  async *system({ rounds, tasks }) {
    yield* await measureSystem({ outDir: OUT_DIR, rounds, tasks, say });
  },
  async *serving({ isQuick, rounds }) {
    yield* await measureServing({
      workDir: join(OUT_DIR, "serving"),
      rounds,
      cellSeconds: isQuick ? 1.2 : 2.5,
      say,
    });
  },
  async *resilience({ isQuick }) {
    yield await measureResilience({
      workDir: join(OUT_DIR, "resilience"),
      seconds: isQuick ? 6 : 15,
      say,
    });
  },
  async *generation({ isQuick }) {
    const { directory, contextLength } = layOutModel(join(OUT_DIR, "decoder"), "smollm2-135m-instruct").model;
    const bench = { directory, contextLength, rounds: isQuick ? 2 : 5, tokens: isQuick ? 16 : 32, say };
    yield await measureGeneration({ ...bench, requests: isQuick ? 300 : 10_000 });
  },
  async *cuda({ isQuick, rounds, models, cudaDecoder }) {
    const cellSeconds = isQuick ? 1.2 : 2.5;
    const folder = models ?? (await preparePeers()).models;
    yield await measureCudaServing({
      workDir: join(OUT_DIR, "cuda"),
      models: folder,
      rounds,
      cellSeconds,
      say,
    });
    const { model } = layOutModel(join(OUT_DIR, "decoder"), "smollm2-135m-instruct");
    yield await measureCudaDecoders({ decoder: model, cudaDecoder, rounds, say });
  },
};
/** Measured when they are named. */
const ASKED_FOR: readonly string[] = ["cuda"];

async function main(): Promise<number> {
  const { values, positionals } = parseArgs({
    allowPositionals: true,
    options: {
      quick: { type: "boolean", default: false },
      check: { type: "boolean", default: false },
      rounds: { type: "string" },
      tasks: { type: "string" },
      models: { type: "string" },
      "cuda-decoder": { type: "string" },
    },
  });
  const unknown = positionals.find((name) => !Object.hasOwn(PARTS, name));
  if (unknown !== undefined)
    throw new Error(`there is no part ${unknown}; there are ${Object.keys(PARTS).join(", ")}`);
  const options: Options = {
    isQuick: values.quick,
    rounds: Number(values.rounds ?? (values.quick ? 2 : 5)),
    tasks: Number(values.tasks ?? (values.quick ? 8 : 30)),
    models: values.models,
    cudaDecoder: values["cuda-decoder"],
  };
  const ranges = rangesSchema.parse(
    JSON.parse(readFileSync(join(import.meta.dirname, "ranges.json"), "utf8")),
  );
  const startedAt = new Date();
  const loadBefore = loadavg()[0] ?? 0;
  // What a killed run left behind.
  await down(siteDirOf(OUT_DIR));
  mkdirSync(OUT_DIR, { recursive: true });
  const sections: Section[] = [];
  for (const [name, measure] of Object.entries(PARTS)) {
    if (positionals.length > 0 ? !positionals.includes(name) : ASKED_FOR.includes(name)) continue;
    for await (const section of measure(options)) {
      sections.push(section);
      console.log(`\n${renderSection(section)}`);
    }
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
  const where = `${machine.cores} × ${machine.cpu}, ${machine.memoryGiB} GiB, Node ${machine.node}, load ${loadBefore.toFixed(1)} before the run`;
  const minutes = ((Date.now() - startedAt.getTime()) / 60_000).toFixed(1);
  console.log(`\n${renderJudgements(judgements, ranges)}\n\n${where}\n${minutes} minutes; report: ${file}`);
  const isBad = judgements.some(
    ({ goal, range }) => goal === "missed" || range === "below" || range === "above",
  );
  return values.check && isBad ? 1 : 0;
}

// Ctrl-C: the finally of a part must run, or an installation stays behind.
const interrupted = new Promise<never>((_, reject) => {
  process.once("SIGINT", () => reject(new Error("interrupted")));
});
try {
  process.exitCode = await Promise.race([main(), interrupted]);
} catch (error) {
  say(error instanceof Error ? error.message : String(error));
  await down(siteDirOf(OUT_DIR));
  process.exit(1);
}
