/** Inferences per second: the graph alone, the pipeline in one script, the agent's engine, and the whole agent. */
import { randomBytes } from "node:crypto";
import { batchesOf, countOutput, inferAll, startEngine } from "./engine-runs.ts";
import { type Figure, pairedRatio, sampleOf, type Section } from "./figures.ts";
import { childrenOf, cpuMs } from "./proc.ts";
import { startRaw, type RawProcess } from "./raw.ts";
import { renderRatio } from "./report.ts";
import type { Site } from "./site.ts";
import type { Subject } from "./subjects.ts";

const SIDES = ["graph", "pipeline", "engine", "agent"] as const;
type Side = (typeof SIDES)[number];

export interface ThroughputOptions {
  readonly subjects: readonly Subject[];
  readonly site: Site;
  readonly rounds: number;
  readonly say: (line: string) => void;
}

export async function measureThroughput({
  subjects,
  site,
  rounds,
  say,
}: ThroughputOptions): Promise<Section> {
  const rows: string[][] = [];
  const figures: Figure[] = [];
  for (const subject of subjects) {
    say(
      `throughput of ${subject.model.name}: ${rounds} rounds of ${subject.texts.length} items on each side`,
    );
    const { rates, cpu, runs } = await measureSubject(subject, site, rounds);
    const { name, variant } = subject.model;
    const layout = `${subject.processes}×${subject.threads}`;
    rows.push([
      `${name} ${variant}`,
      `${subject.unit}/s`,
      layout,
      (subject.texts.length / runs).toFixed(1),
      ...SIDES.map((side) => sampleOf(rates[side]).median.toFixed(0)),
      ...(["pipeline", "engine", "agent"] as const).map((side) => shownRatio(rates[side], rates.graph)),
      ...SIDES.map((side) => sampleOf(cpu[side]).median.toFixed(2)),
      String(rounds),
    ]);
    for (const side of ["engine", "agent"] as const) {
      figures.push({
        id: `throughput/${name}/${side}-to-raw`,
        unit: "×",
        value: pairedRatio(rates[side], rates.graph).median,
      });
      figures.push({
        id: `cpu/${name}/${side}-to-raw`,
        unit: "×",
        value: pairedRatio(cpu[side], cpu.graph).median,
      });
    }
  }
  return {
    title: "Inferences per second, and as a ratio to raw onnxruntime-node",
    notes: [
      "graph: plain Node processes that do nothing but session.run on prepared tensors, with the agent's session options,",
      "  processes × threads as the engine has them, and the very batches that the engine chose. No tokenizing, no scores.",
      "script: the same processes and batches from text to structured result. engine: the agent's engine, from a list of",
      "  texts to results: batching, child processes. agent: create the task → last result read from the ingester:",
      "  placement, file parsing, outbox on disk, NATS, signatures, SQLite, HTTP.",
      "CPU ms: processor time per item (token), of all processes of the side; of the agent: itself and its children, without",
      "  NATS, operator and ingester. It hardly depends on what else runs here, as rates do.",
      "Rounds are interleaved (graph, script, engine, agent, graph, …); a ratio is the median of the rounds' ratios.",
    ],
    header: [
      "model",
      "unit",
      "proc×thr",
      "items/run",
      "graph",
      "script",
      "engine",
      "agent",
      "script÷graph",
      "engine÷graph",
      "agent÷graph",
      "CPU ms: graph",
      "script",
      "engine",
      "agent",
      "n",
    ],
    rows,
    figures,
  };
}

const shownRatio = (ours: readonly number[], theirs: readonly number[]) =>
  renderRatio(pairedRatio(ours, theirs));

interface Measured {
  readonly rates: Readonly<Record<Side, readonly number[]>>;
  /** Processor milliseconds per item or token. */
  readonly cpu: Readonly<Record<Side, readonly number[]>>;
  /** Of one pass. */
  readonly runs: number;
}

async function measureSubject(subject: Subject, site: Site, rounds: number): Promise<Measured> {
  const engine = startEngine();
  const raw: RawProcess[] = [];
  try {
    // Twice: the second process of a small model starts when there is a queue.
    await inferAll(engine, subject);
    const results = await inferAll(engine, subject);
    const batches = batchesOf(results, subject);
    const count = countOutput(results);
    let runs = 0;
    for (let index = 0; index < subject.processes; index++) {
      const baseline = await startRaw();
      raw.push(baseline);
      const share = batches.filter((_, at) => at % subject.processes === index);
      const prepared = await baseline.ask({ kind: "prepare", model: rawModelOf(subject), batches: share });
      runs += prepared.runs ?? 0;
    }
    await runTask(subject, site);
    const sides: Readonly<Record<Side, () => Promise<unknown>>> = {
      graph: () => Promise.all(raw.map((process) => process.ask({ kind: "graph" }))),
      pipeline: () => Promise.all(raw.map((process) => process.ask({ kind: "pipeline" }))),
      engine: () => inferAll(engine, subject),
      agent: () => runTask(subject, site),
    };
    const rates: Record<Side, number[]> = { graph: [], pipeline: [], engine: [], agent: [] };
    const cpu: Record<Side, number[]> = { graph: [], pipeline: [], engine: [], agent: [] };
    for (let round = 0; round < rounds; round++) {
      for (const side of SIDES) {
        const pids = () => (side === "agent" ? site.agentPids() : [process.pid, ...childrenOf(process.pid)]);
        const cpuBefore = cpuMs(pids());
        const start = performance.now();
        await sides[side]();
        rates[side].push((count * 1000) / (performance.now() - start));
        cpu[side].push((cpuMs(pids()) - cpuBefore) / count);
      }
    }
    // A generated text is many runs of the graph.
    return { rates, cpu, runs: subject.unit === "tokens" ? subject.texts.length : runs };
  } finally {
    await Promise.all([engine.close(), ...raw.map((process) => process.stop())]);
  }
}

export const rawModelOf = ({ model: { directory, contextLength }, threads }: Subject) => ({
  directory,
  contextLength,
  threads,
});

async function runTask({ type, model, file, parameters, texts }: Subject, site: Site): Promise<void> {
  const name = `bench-${randomBytes(4).toString("hex")}`;
  const uid = await site.create(name, { type, model: model.name, input: { file }, parameters });
  const results = await site.allResults(uid);
  if (results.length !== texts.length)
    throw new Error(`${name}: ${results.length} results of ${texts.length}`);
}
