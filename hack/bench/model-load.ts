/** Time until a model answers: the engine's load beside session creation and first run in a fresh Node process. */
import { setTimeout as delay } from "node:timers/promises";
import { startEngine } from "./engine-runs.ts";
import { type Figure, pairedRatio, sampleOf, type Section } from "./figures.ts";
import { childrenOf, cpuMs } from "./proc.ts";
import type { Feeds } from "./raw-process.ts";
import { startRaw } from "./raw.ts";
import type { Subject } from "./subjects.ts";
import { rawModelOf } from "./throughput.ts";

const GOAL = { kind: "atMost", limit: 1.5 } as const;

export interface ModelLoadOptions {
  readonly subjects: readonly Subject[];
  readonly rounds: number;
  readonly say: (line: string) => void;
}

export async function measureModelLoad({ subjects, rounds, say }: ModelLoadOptions): Promise<Section> {
  const rows: string[][] = [];
  const figures: Figure[] = [];
  for (const subject of subjects) {
    const { name, variant } = subject.model;
    say(`model load of ${name}: ${rounds} fresh processes on each side`);
    const feeds = await firstFeeds(subject);
    const raw: number[] = [];
    const ours: number[] = [];
    for (let round = 0; round < rounds; round++) {
      raw.push(await rawLoad(subject, feeds));
      ours.push(await engineLoad(subject));
    }
    const ratio = pairedRatio(ours, raw);
    const shown = [sampleOf(raw), sampleOf(ours)].map(({ median }) => median.toFixed(0));
    rows.push([
      `${name} ${variant}`,
      ...shown,
      ratio.median.toFixed(2),
      `${ratio.least.toFixed(2)}–${ratio.most.toFixed(2)}`,
      String(rounds),
    ]);
    figures.push({ id: `load/${name}/to-raw`, unit: "×", value: ratio.median, goal: GOAL });
  }
  return {
    title: "Model load, and as a ratio to raw session creation",
    notes: [
      "raw: InferenceSession.create and the first run of a real batch, in a fresh Node process with the same options;",
      "  start of Node and import of the package are not counted. agent: the engine's load with its spare process waiting:",
      "  create, vocabulary or tokenizer, every shape run once (a decoder: one). Files are in the page cache.",
    ],
    header: ["model", "raw ms", "agent ms", "agent÷raw", "spread", "n"],
    rows,
    figures,
  };
}

async function firstFeeds(subject: Subject): Promise<Feeds> {
  const process = await startRaw();
  try {
    const batches = [
      [
        {
          type: subject.type,
          text: subject.texts[0] ?? "",
          parameters: { ...subject.parameters, maxNewTokens: 1 },
        },
      ],
    ];
    return (await process.ask({ kind: "prepare", model: rawModelOf(subject), batches })).feeds ?? {};
  } finally {
    await process.stop();
  }
}

async function rawLoad(subject: Subject, feeds: Feeds): Promise<number> {
  const process = await startRaw();
  try {
    return (await process.ask({ kind: "create", model: rawModelOf(subject), feeds })).ms;
  } finally {
    await process.stop();
  }
}

async function engineLoad({ model }: Subject): Promise<number> {
  const engine = startEngine();
  try {
    await untilChildrenRest();
    return (await engine.load(model, new AbortController().signal)).loadMs;
  } finally {
    await engine.close();
  }
}

const REST_MS = 200;
const REST_LIMIT_MS = 20_000;

/** The engine's spare process has started when it no longer uses the processor. */
async function untilChildrenRest(): Promise<void> {
  const deadline = performance.now() + REST_LIMIT_MS;
  const used = () => cpuMs(childrenOf(process.pid));
  for (let before = -1, now = used(); now !== before || now === 0; now = used()) {
    if (performance.now() > deadline) throw new Error("the engine's spare process does not come to rest");
    before = now;
    await delay(REST_MS);
  }
}
