/**
 * `cuda`: the agent with the CUDA execution provider beside itself on the processor of the same machine, with raw
 * onnxruntime on the same card as the limit; and the sample decoder on both. Needs a card, its driver, the CUDA libraries
 * and the provider of onnxruntime-node (docs/runbooks/gpu.md).
 */
import { availableParallelism } from "node:os";
import { join } from "node:path";
import { type Figure, pairedRatio, sampleOf, type Section } from "../figures.ts";
import { type GenerationBench, LONG, SHORT, startDecoder } from "../generation.ts";
import { renderRatio } from "../report.ts";
import { readMetric } from "./agent-metrics.ts";
import { agentSpec, layOutModels } from "./agent.ts";
import { LoadGenerator } from "./load.ts";
import {
  type Cell,
  type Cells,
  checkServer,
  CONCURRENCIES,
  measureCell,
  medianRate,
  noCells,
  pooledMs,
  type RunningServer,
  startServer,
} from "./measure.ts";
import type { ServerSpec } from "./peers.ts";
import { type RawRate, RawRuns } from "./raw.ts";
import { readWorkload, type Workload, WORKLOADS } from "./workloads.ts";

export interface CudaServingBench {
  readonly workDir: string;
  /** As `peers/prepare.py` makes it. */
  readonly models: string;
  readonly rounds: number;
  readonly cellSeconds: number;
  readonly say: (line: string) => void;
}

export interface CudaDecoderBench {
  /** The sample decoder. */
  readonly decoder: Pick<GenerationBench, "directory" | "contextLength">;
  /** The same model as `models import --provider cuda` makes it; undefined: not measured. */
  readonly cudaDecoder: string | undefined;
  readonly rounds: number;
  readonly say: (line: string) => void;
}

/** Rows of one run on the card: what a request brings alone, what the agent's first budget gives, and many. */
const RAW_ROWS: Readonly<Record<Workload["id"], readonly number[]>> = {
  tiny: [1, 32],
  minilm: [1, 8, 64],
  mixed: [1],
};
const STREAMS = 8;
const NEW_TOKENS = 64;

export async function measureCudaServing(bench: CudaServingBench): Promise<Section> {
  const { workDir, models, say } = bench;
  const cores = availableParallelism();
  const serveDir = layOutModels(models, join(workDir, "models"));
  const load = await LoadGenerator.start();
  await using stack = new AsyncDisposableStack();
  stack.defer(() => load.stop());
  const start = async (spec: ServerSpec) => {
    const server = await startServer(spec, workDir, say);
    if (server === undefined) throw new Error(`${spec.title} does not start`);
    stack.defer(() => server.process.stop());
    return server;
  };
  const onCard = await start(agentSpec({ serveDir, cores, executionProviders: "cuda,cpu" }));
  const onProcessor = await start(agentSpec({ serveDir, cores }));
  const measured: Measured[] = [];
  for (const id of WORKLOADS)
    measured.push(
      await measureWorkload(readWorkload(models, id), { ...bench, load, cores, onCard, onProcessor }),
    );
  return servingSection(measured, bench, cores);
}

interface Measured {
  readonly id: Workload["id"];
  readonly onCard: Cells;
  readonly onProcessor: Cells;
  readonly raw: readonly RawOnCard[];
}

interface RawOnCard {
  readonly title: string;
  readonly rates: RawRate[];
}

interface Run extends CudaServingBench {
  readonly load: LoadGenerator;
  readonly cores: number;
  readonly onCard: RunningServer;
  readonly onProcessor: RunningServer;
}

async function measureWorkload(workload: Workload, run: Run): Promise<Measured> {
  const { onCard, onProcessor, load, models, rounds, cellSeconds, say } = run;
  for (const server of [onCard, onProcessor]) {
    const failure = await checkServer(server, { load, workload });
    if (failure !== undefined) throw new Error(`${workload.id}: ${server.spec.title} fails: ${failure}`);
  }
  const { model } = workload;
  const fallback = await readMetric(onCard.healthPort, "autoglm_inference_provider_fallback_count", {
    model,
  });
  if (fallback !== 0)
    throw new Error(`CUDA can't be had, see the agent's log: ${onCard.process.lastWords()}`);
  const measured = { id: workload.id, onCard: noCells(), onProcessor: noCells() };
  await using stack = new AsyncDisposableStack();
  const raw: (RawOnCard & { readonly runs: RawRuns })[] = [];
  for (const rows of RAW_ROWS[workload.id]) {
    const layout = { title: `raw, ${rows} a run`, processes: 1, threads: run.cores, rows } as const;
    const runs = await RawRuns.start(join(models, model), workload, { ...layout, executionProvider: "cuda" });
    stack.defer(() => runs.stop());
    raw.push({ title: layout.title, rates: [], runs });
  }
  for (let round = 0; round < rounds; round++) {
    say(`${workload.id}: round ${round + 1} of ${rounds}`);
    for (const concurrency of CONCURRENCIES)
      for (const place of ["onCard", "onProcessor"] as const)
        measured[place][concurrency].push(
          await measureCell(run[place], { load, workload }, { concurrency, seconds: cellSeconds }),
        );
    for (const { runs, rates } of raw) rates.push(await runs.run(cellSeconds));
  }
  return { ...measured, raw };
}

function servingSection(
  measured: readonly Measured[],
  { rounds, cellSeconds }: CudaServingBench,
  cores: number,
): Section {
  const rows: (readonly string[])[] = [];
  const figures: Figure[] = [];
  for (const { id, onCard, onProcessor, raw } of measured) {
    for (const concurrency of CONCURRENCIES) {
      const both = [onCard[concurrency], onProcessor[concurrency]] as const;
      const [ours, theirs] = both;
      const rate = pairedRatio(ours.map(perSecond), theirs.map(perSecond));
      const p99 = pooledMs(ours, 0.99) / pooledMs(theirs, 0.99);
      const name = `cuda/${id}/c${concurrency}`;
      figures.push({ id: `${name}/rps-to-processor`, unit: "×", value: rate.median });
      figures.push({ id: `${name}/p99-to-processor`, unit: "×", value: p99 });
      rows.push([id, String(concurrency), ...both.map(shownCells), renderRatio(rate)]);
    }
    for (const { title, rates } of raw) rows.push([id, title, medianRate(rates).toFixed(0), "", ""]);
  }
  return {
    title: "CUDA: the agent on the card beside the agent on the processor",
    notes: [
      `requests/s, median of ${rounds} rounds of ${cellSeconds} s (p50 / p99 ms of all requests), the same requests and checks. Ratios are the`,
      `medians of the rounds' ratios (least–most). Processor: ${cores} processes with a thread each. Raw: rows/s of onnxruntime-node alone on the card.`,
    ],
    header: ["workload", "conc. or raw", "CUDA", "processor", "CUDA ÷ processor"],
    rows,
    figures,
  };
}

const perSecond = ({ perSecond: rate }: { readonly perSecond: number }) => rate;
const shownCells = (cells: readonly Cell[]) =>
  `${medianRate(cells).toFixed(0)} (${pooledMs(cells, 0.5).toFixed(2)} / ${pooledMs(cells, 0.99).toFixed(2)})`;

export async function measureCudaDecoders({
  decoder,
  cudaDecoder,
  rounds,
  say,
}: CudaDecoderBench): Promise<Section> {
  const threads = availableParallelism();
  await using stack = new AsyncDisposableStack();
  const start = async (folder: string, provider: "cuda" | "cpu") =>
    stack.use(await startDecoder({ ...decoder, directory: folder }, threads, [provider]));
  const baseline = await start(decoder.directory, "cpu");
  const others = new Map([["made for the processor", await start(decoder.directory, "cuda")]]);
  if (cudaDecoder !== undefined) others.set("made for CUDA", await start(cudaDecoder, "cuda"));
  const rows: (readonly string[])[] = [];
  const figures: Figure[] = [];
  const parameters = { maxNewTokens: NEW_TOKENS, repetitionPenalty: 1 };
  for (const [what, prompt] of Object.entries({ short: SHORT, long: LONG }))
    for (const streams of [1, STREAMS]) {
      const texts = Array.from({ length: streams }, (_, index) => `${index}. ${prompt}`);
      const rates = new Map([baseline, ...others.values()].map((child) => [child, [] as number[]]));
      for (let round = 0; round < rounds; round++) {
        say(`decoder: ${streams} streams, ${what} prompts, round ${round + 1} of ${rounds}`);
        for (const [child, all] of rates) {
          const { tokens, ms } = await child.ask({ kind: "batch", texts, parameters });
          all.push((1000 * tokens) / ms);
        }
      }
      const theirs = rates.get(baseline) ?? [];
      for (const [graph, child] of others) {
        const ours = rates.get(child) ?? [];
        const ratio = pairedRatio(ours, theirs);
        const id = `cuda/decoder/${graph.replaceAll(" ", "-")}/${what}-${streams}/rate-to-processor`;
        figures.push({ id, unit: "×", value: ratio.median });
        rows.push([
          `${streams}, ${what}`,
          graph,
          ...[ours, theirs].map((all) => sampleOf(all).median.toFixed(1)),
          renderRatio(ratio),
        ]);
      }
    }
  return {
    title: "CUDA: decoders",
    notes: [
      `tokens/s in total, prompt included in the time, greedy, ${NEW_TOKENS} new tokens; short prompts have about 45 tokens, long ones about 500.`,
      "Processor: the sample decoder on all cores. Made for CUDA: what `models import --provider cuda` gives, by --cuda-decoder.",
    ],
    header: ["streams, prompt", "graph", "CUDA", "processor", "CUDA ÷ processor"],
    rows,
    figures,
  };
}
