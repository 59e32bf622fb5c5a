/** The default models in a container of 512 MiB and one core: 2,000 requests, each answered. */
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import { freePort } from "../../cluster/processes.ts";
import { quantileOf } from "../figures.ts";
import { layOutModel } from "../subjects.ts";
import { AGENT_TOKEN, agentCommand } from "./agent.ts";
import { Cgroup } from "./cgroup.ts";
import type { LoadGenerator } from "./load.ts";
import type { Finding } from "./resilience.ts";
import { ServerProcess } from "./server-process.ts";

const REQUESTS = 2000;
const CONCURRENCY = 8;
const MEMORY_BYTES = 512 * 1024 * 1024;
/** For models: what the agent's own process needs is left. */
const MODEL_BUDGET = "400Mi";
const MODELS = ["zh-sentiment", "zh-ner", "minilm-l6-v2"] as const;
const LIMIT_MS = 300_000;
const WHAT = `${REQUESTS} requests to ${MODELS.join(", ")} in 512 MiB and one core`;

export interface SmallContainerOptions {
  readonly workDir: string;
  readonly load: LoadGenerator;
  readonly say: (line: string) => void;
}

export async function smallContainerRows({
  workDir,
  load,
  say,
}: SmallContainerOptions): Promise<readonly Finding[]> {
  let group: Cgroup;
  try {
    group = Cgroup.create(`autoglm-bench-${process.pid}`, { memoryBytes: MEMORY_BYTES, cores: 1 });
  } catch (error) {
    const why = error instanceof Error ? error.message : String(error);
    say(`NOT RUN: ${WHAT}: no control group can be made here (root is needed): ${why}`);
    return [
      { row: [WHAT, `NOT RUN: no control group can be made here: ${why.slice(0, 100)}`, "all answered"] },
    ];
  }
  const serveDir = join(workDir, "default-models");
  for (const name of MODELS) layOutModel(serveDir, name);
  const [port, healthPort] = [await freePort(), await freePort()];
  const plain = agentCommand(port, healthPort, { serveDir, cores: 1 });
  const server = ServerProcess.start(
    {
      ...plain,
      ...group.wrap(plain.command, plain.args),
      env: { ...plain.env, AUTOGLM_MEMORY_BUDGET: MODEL_BUDGET },
    },
    join(workDir, "small-container.log"),
  );
  try {
    await untilReady(server, healthPort);
    const answer = await load.run({
      port,
      path: "/v1/infer",
      headers: { authorization: `Bearer ${AGENT_TOKEN}` },
      bodies: bodies(),
      concurrency: CONCURRENCY,
      seconds: LIMIT_MS / 1000,
      keep: REQUESTS,
    });
    const wrong = answer.kept.filter((body) => body.includes('"error"')).length;
    const good = answer.answered - wrong;
    const { peakBytes, killed } = group.use();
    const failures = Object.entries(answer.failures).map(([what, count]) => `${what} × ${count}`);
    const measured = [
      `${good} answered`,
      ...failures,
      ...(wrong > 0 ? [`${wrong} with an error`] : []),
      `${killed} processes out of memory`,
      `peak ${(peakBytes / 1024 / 1024).toFixed(0)} MiB with the page cache`,
      `${(good / answer.seconds).toFixed(0)} requests/s`,
      `p99 ${quantileOf(answer.latenciesMs, 0.99).toFixed(0)} ms`,
    ];
    return [
      {
        row: [WHAT, measured.join(", "), "all answered"],
        figure: {
          id: "resilience/small-container-answered",
          unit: "requests",
          value: good,
          goal: { kind: "atLeast", limit: REQUESTS },
        },
      },
    ];
  } finally {
    await server.stop();
    await delay(200);
    group.remove();
  }
}

async function untilReady(server: ServerProcess, healthPort: number): Promise<void> {
  const start = performance.now();
  while (performance.now() - start < LIMIT_MS) {
    if (server.hasEnded) throw new Error(`the agent does not start: ${server.lastWords()}`);
    const isReady = await fetch(`http://127.0.0.1:${healthPort}/readyz`).then(
      ({ ok }) => ok,
      () => false,
    );
    if (isReady) return;
    await delay(100);
  }
  throw new Error("the agent is not ready in time");
}

/** All different, a third for each model. */
function bodies(): readonly string[] {
  const news = lines("examples/data/news.jsonl").map((line) => (JSON.parse(line) as { text: string }).text);
  const reviews = lines("examples/data/reviews.csv").slice(1);
  const questions = lines("examples/data/questions.txt");
  const texts = { "zh-sentiment": reviews, "zh-ner": news, "minilm-l6-v2": questions };
  return Array.from({ length: REQUESTS }, (_, index) => {
    const model = MODELS[index % MODELS.length] ?? MODELS[0];
    const list = texts[model];
    return JSON.stringify({ model, inputs: `${list[index % list.length]} ${index}` });
  });
}

const lines = (file: string) => readFileSync(file, "utf8").trimEnd().split("\n");
