/**
 * node hack/bench/generation.ts --directory FOLDER [--rounds 5] [--requests 10000] [--tokens 32]
 *
 * Generation with the sample decoder: one stream beside a plain onnxruntime-node loop over the same graph, eight streams in
 * the layouts that two cores allow, time to the first token, and the memory of a process after many short requests.
 */
import { join } from "node:path";
import { parseArgs } from "node:util";
import type { ExecutionProvider } from "../../edge-agent/src/engine/onnx-session.ts";
import { AskedProcess } from "./asked-process.ts";
import { pairedRatio, sampleOf, type Figure, type Section } from "./figures.ts";
import type { GenerationAnswer, GenerationRequest } from "./generation-process.ts";
import { renderSection } from "./report.ts";

export interface GenerationBench {
  /** Holds model.onnx, pipeline.json and the tokenizer's files. */
  readonly directory: string;
  readonly contextLength: number;
  readonly rounds: number;
  /** Tokens of an answer. */
  readonly tokens: number;
  /** Short requests, after which memory has to be what it was. */
  readonly requests: number;
  readonly say: (line: string) => void;
}

/** Ours may take this much of the plain loop's time: 0.95 of its tokens per second. */
const ONE_STREAM_GOAL = { kind: "atMost", limit: 1 / 0.95 } as const;
/** Of resident memory over all short requests: what a collection of garbage more or less makes. */
const STREAMS_GOAL = { kind: "atLeast", limit: 1 } as const;
const GROWTH_GOAL = { kind: "under", limit: 1.05 } as const;
const STREAMS = 8;
export const SHORT = "Write a long story about a lighthouse keeper and the sea.";
export const LONG = `${SHORT} ${"The keeper walks up the stairs, lights the lamp and looks at the waves. ".repeat(28)}`;
const MEGABYTE = 1_000_000;

export type GenerationProcess = AskedProcess<GenerationRequest, GenerationAnswer> & AsyncDisposable;

export async function startDecoder(
  { directory, contextLength }: Pick<GenerationBench, "directory" | "contextLength">,
  threads: number,
  executionProviders: readonly ExecutionProvider[] = ["cpu"],
): Promise<GenerationProcess> {
  const program = join(import.meta.dirname, "generation-process.ts");
  const started = await AskedProcess.start<GenerationRequest, GenerationAnswer>(program);
  await started.ask({ kind: "load", directory, contextLength, threads, executionProviders });
  return Object.assign(started, { [Symbol.asyncDispose]: () => started.stop() });
}

export async function measureGeneration(bench: GenerationBench): Promise<Section> {
  const rows: string[][] = [];
  const figures: Figure[] = [];
  const add = (name: string, unit: string, values: readonly number[]) => {
    const { median, least, most } = sampleOf(values);
    rows.push([name, `${median.toFixed(1)} ${unit}`, `${least.toFixed(1)} to ${most.toFixed(1)}`]);
  };
  await measureOneStream(bench, add, figures);
  await measureStreams(bench, add, figures);
  await measureMemory(bench, add, figures);
  return {
    title: "Generation: tokens per second, first token, memory",
    notes: [
      `${bench.tokens} new tokens, greedy; short prompts have about 45 tokens, long ones about 500.`,
      "The plain loop takes the largest logit and passes present to past: no tokenizer, no text, no scores.",
      "Time ratios are ours to the plain loop's, as medians over rounds of both.",
    ],
    header: ["what", "median", "range"],
    rows,
    figures,
  };
}

type Add = (name: string, unit: string, values: readonly number[]) => void;

async function measureOneStream(bench: GenerationBench, add: Add, figures: Figure[]): Promise<void> {
  await using child = await startDecoder(bench, 2);
  for (const [length, text] of Object.entries({ short: SHORT, long: LONG })) {
    bench.say(`generation: one stream, ${length} prompt`);
    const own: GenerationAnswer[] = [];
    const bare: GenerationAnswer[] = [];
    for (let round = 0; round < bench.rounds; round++) {
      const answer = await child.ask({ kind: "sequence", texts: [text], parameters: parametersOf(bench) });
      own.push(answer);
      bare.push(await child.ask({ kind: "bare", text, tokens: answer.tokens }));
    }
    const decodeMs = (answers: readonly GenerationAnswer[]) => answers.map(({ ms, firstMs }) => ms - firstMs);
    add(`one stream, ${length} prompt: tokens/s after the first`, "", own.map(rateAfterFirst));
    add("  plain loop", "", bare.map(rateAfterFirst));
    add(
      `first token, ${length} prompt`,
      "ms",
      own.map(({ firstMs }) => firstMs),
    );
    add(
      "  plain loop",
      "ms",
      bare.map(({ firstMs }) => firstMs),
    );
    figures.push({
      id: `generation/one-stream-${length}-time-to-bare`,
      unit: "×",
      value: pairedRatio(decodeMs(own), decodeMs(bare)).median,
      goal: ONE_STREAM_GOAL,
    });
  }
}

/** Layouts of two cores: who takes the streams, and how many of them at a time. */
const LAYOUTS = [
  { id: "one-process-batch-8", processes: 1, threads: 2, kind: "batch" },
  { id: "two-processes-batch-4", processes: 2, threads: 1, kind: "batch" },
  { id: "two-processes-one-by-one", processes: 2, threads: 1, kind: "sequence" },
  { id: "one-process-one-by-one", processes: 1, threads: 2, kind: "sequence" },
] as const;

/** What the engine does with a decoder of this size (edge-agent/src/engine/model-loader.ts). */
const SHIPPED = "one-process-batch-8";

async function measureStreams(bench: GenerationBench, add: Add, figures: Figure[]): Promise<void> {
  const rates = new Map<string, number[]>();
  for (let round = 0; round < bench.rounds; round++) {
    for (const layout of LAYOUTS) {
      bench.say(`generation: ${STREAMS} streams, ${layout.id}, round ${round + 1}`);
      await using stack = new AsyncDisposableStack();
      const children: GenerationProcess[] = [];
      for (let index = 0; index < layout.processes; index++)
        children.push(stack.use(await startDecoder(bench, layout.threads)));
      const texts = Array.from({ length: STREAMS / layout.processes }, (_, index) => `${index}. ${SHORT}`);
      const request = { kind: layout.kind, texts, parameters: parametersOf(bench) };
      const start = performance.now();
      const answers = await Promise.all(children.map((child) => child.ask(request)));
      const seconds = (performance.now() - start) / 1000;
      const rate = answers.reduce((sum, { tokens }) => sum + tokens, 0) / seconds;
      rates.set(layout.id, [...(rates.get(layout.id) ?? []), rate]);
    }
  }
  for (const [id, values] of rates) {
    add(`${STREAMS} streams, ${id}: tokens/s in total`, "", values);
    figures.push({ id: `generation/streams-${id}`, unit: "tokens/s", value: sampleOf(values).median });
  }
  const ratesOf = (id: (typeof LAYOUTS)[number]["id"]) => rates.get(id) ?? [];
  figures.push({
    id: "generation/streams-shipped-to-single-stream-children",
    unit: "×",
    value: pairedRatio(ratesOf(SHIPPED), ratesOf("two-processes-one-by-one")).median,
    goal: STREAMS_GOAL,
  });
}

async function measureMemory(bench: GenerationBench, add: Add, figures: Figure[]): Promise<void> {
  await using child = await startDecoder(bench, 2);
  const parameters = { ...parametersOf(bench), maxNewTokens: 2 };
  const block = Math.ceil(bench.requests / 20);
  const resident: number[] = [];
  for (let done = 0; done < bench.requests; done += block) {
    bench.say(`generation: memory, ${done} of ${bench.requests} requests`);
    const texts = Array.from(
      { length: Math.min(block, bench.requests - done) },
      (_, index) => `Hi ${done + index}`,
    );
    resident.push((await child.ask({ kind: "batch", texts, parameters })).rssBytes / MEGABYTE);
  }
  add(`resident memory over ${bench.requests} short requests`, "MB", resident);
  // The first blocks fill arenas and compile code.
  const quarter = Math.floor(resident.length / 4);
  const first = sampleOf(resident.slice(quarter, 2 * quarter + 1)).median;
  const last = sampleOf(resident.slice(-quarter - 1)).median;
  figures.push({
    id: "generation/memory-growth",
    unit: "×",
    value: last / first,
    goal: GROWTH_GOAL,
  });
}

const parametersOf = ({ tokens }: GenerationBench) => ({ maxNewTokens: tokens, repetitionPenalty: 1 });

const rateAfterFirst = ({ tokens, ms, firstMs }: GenerationAnswer) => (1000 * (tokens - 1)) / (ms - firstMs);

async function main(): Promise<void> {
  const { values } = parseArgs({
    options: {
      directory: { type: "string" },
      rounds: { type: "string", default: "5" },
      requests: { type: "string", default: "10000" },
      tokens: { type: "string", default: "32" },
    },
  });
  if (values.directory === undefined) throw new Error("--directory: the folder of a decoder's files");
  const section = await measureGeneration({
    directory: values.directory,
    contextLength: 2048,
    rounds: Number(values.rounds),
    tokens: Number(values.tokens),
    requests: Number(values.requests),
    say: (line) => void process.stderr.write(`[bench] ${line}\n`),
  });
  const figures = section.figures.map(({ id, value, unit }) => `${id} ${value.toFixed(3)} ${unit}`);
  process.stdout.write(`${renderSection(section)}\n\n${figures.join("\n")}\n`);
}

if (import.meta.main) await main();
