/**
 * `resilience`: what the agent's inference port does while it is full, when an inference process is killed in mid-run,
 * when that happens again and again, and in a small container.
 */
import { existsSync } from "node:fs";
import { join } from "node:path";
import { monitorEventLoopDelay } from "node:perf_hooks";
import { setTimeout as delay } from "node:timers/promises";
import { availableParallelism } from "node:os";
import type { Figure, Section } from "../figures.ts";
import { cpuMs, memoryOf } from "../proc.ts";
import { readMetric } from "./agent-metrics.ts";
import { AGENT_TOKEN, agentSpec, layOutModels } from "./agent.ts";
import { LoadGenerator } from "./load.ts";
import { checkServer, type RunningServer, startServer } from "./measure.ts";
import { preparePeers } from "./prepared.ts";
import { smallContainerRows } from "./small-container.ts";
import { readWorkload, type Workload } from "./workloads.ts";

export interface ResilienceOptions {
  readonly workDir: string;
  /** Of each load. */
  readonly seconds: number;
  readonly say: (line: string) => void;
}

const DELAY_GOAL = { kind: "under", limit: 10 } as const;
const LOST_GOAL = { kind: "atMost", limit: 1 } as const;
const BACK_GOAL = { kind: "under", limit: 1000 } as const;
const MODEL = "minilm";
const CONCURRENCY = 64;
const KILLS_LIMIT = 6;
const BACK_LIMIT_MS = 30_000;
const POLL_MS = 10;
/** As often as the agent does it. */
const SAMPLE_MS = 20;

export interface Finding {
  readonly row: readonly string[];
  readonly figure?: Figure;
}

export async function measureResilience({ workDir, seconds, say }: ResilienceOptions): Promise<Section> {
  const { models } = await preparePeers();
  const workload = readWorkload(models, "mixed");
  const serveDir = layOutModels(models, join(workDir, "models"));
  const load = await LoadGenerator.start();
  const findings: Finding[] = [];
  try {
    const spec = agentSpec({ serveDir, cores: availableParallelism() });
    const server = await startServer(spec, workDir, say);
    if (server === undefined) throw new Error("the agent's inference port does not open");
    try {
      const failure = await checkServer(server, { load, workload });
      if (failure !== undefined) throw new Error(`the agent answers wrongly: ${failure}`);
      const run = { server, load, workload, seconds };
      say("resilience: event loop under full load");
      findings.push(...(await measureEventLoop(run)));
      say("resilience: an inference process is killed in mid-run");
      findings.push(...(await measureKill(run)));
      say("resilience: it is killed again and again");
      findings.push(...(await measureSetAside(run)));
    } finally {
      await server.process.stop();
    }
    say("resilience: the default models in 512 MiB and one core");
    findings.push(...(await smallContainerRows({ workDir, load, say })));
  } finally {
    await load.stop();
  }
  return {
    title: "Resilience of the inference port",
    notes: [
      `Load: MiniLM fp32 at mixed lengths, ${CONCURRENCY} connections, ${seconds} s. Event loop: the agent's own metric, 99th percentile over the`,
      "load; beside it the same of a process of the benchmark that has nothing to do, which is what the machine itself adds.",
      "Killed: SIGKILL to the process with the most work. Back: until the metric counts as many processes with the model as before.",
    ],
    header: ["what", "measured", "goal"],
    rows: findings.map(({ row }) => row),
    figures: findings.flatMap(({ figure }) => figure ?? []),
  };
}

interface Run {
  readonly server: RunningServer;
  readonly load: LoadGenerator;
  readonly workload: Workload;
  readonly seconds: number;
}

function loadOf({ server: { spec, port }, load, workload }: Run, seconds: number) {
  const { path, bodies } = spec.ask(workload);
  return load.run({ port, path, headers: spec.headers, bodies, concurrency: CONCURRENCY, seconds });
}

async function measureEventLoop(run: Run): Promise<readonly Finding[]> {
  const { healthPort } = run.server;
  const running = loadOf(run, run.seconds);
  // Reading the metric sets it back.
  await readMetric(healthPort, "autoglm_agent_event_loop_delay_p99_seconds");
  const own = monitorEventLoopDelay({ resolution: SAMPLE_MS });
  own.enable();
  const { answered, seconds } = await running;
  const measured = await readMetric(healthPort, "autoglm_agent_event_loop_delay_p99_seconds");
  own.disable();
  const value = (measured ?? Number.NaN) * 1000;
  const idle = Math.max(0, own.percentile(99) / 1e6 - SAMPLE_MS);
  return [
    {
      row: [
        "event-loop delay p99 while all processes are busy",
        `${value.toFixed(1)} ms (a process with nothing to do: ${idle.toFixed(1)} ms; ${(answered / seconds).toFixed(0)} requests/s)`,
        "< 10 ms",
      ],
      figure: { id: "resilience/event-loop-delay-p99", unit: "ms", value, goal: DELAY_GOAL },
    },
  ];
}

const processesOf = ({ healthPort }: RunningServer) =>
  readMetric(healthPort, "autoglm_inference_processes_count", { model: MODEL });

/**
 * Of the children that hold the model, the one that works the most. They are the largest ones: a spare process that is
 * just being started works as well, but has nothing loaded.
 */
async function busiestChild(server: RunningServer, withModel: number): Promise<number> {
  const children = server.process
    .pids()
    .slice(1)
    .toSorted((a, b) => memoryOf(b).rssBytes - memoryOf(a).rssBytes)
    .slice(0, withModel);
  const used = () => new Map(children.map((pid) => [pid, cpuMs([pid])]));
  const before = used();
  await delay(300);
  const [busiest] = [...used()]
    .map(([pid, ms]) => ({ pid, ms: ms - (before.get(pid) ?? 0) }))
    .toSorted((a, b) => b.ms - a.ms);
  if (busiest === undefined) throw new Error("the agent has no inference process");
  return busiest.pid;
}

/** Milliseconds until as many processes as before have the model, or until it is set aside. */
async function untilBack(server: RunningServer, killed: number, before: number): Promise<number> {
  const start = performance.now();
  let isNoticed = false;
  while (performance.now() - start < BACK_LIMIT_MS) {
    // The agent has noticed when the killed process is no longer its child.
    isNoticed ||= !existsSync(`/proc/${killed}`);
    if (isNoticed && ((await processesOf(server)) ?? 0) >= before) return performance.now() - start;
    await delay(POLL_MS);
  }
  return Infinity;
}

async function measureKill(run: Run): Promise<readonly Finding[]> {
  const { server, seconds } = run;
  const running = loadOf(run, seconds);
  await delay((seconds * 1000) / 3);
  const before = (await processesOf(server)) ?? 0;
  const pid = await busiestChild(server, before);
  process.kill(pid, "SIGKILL");
  const backMs = await untilBack(server, pid, before);
  const { answered, failures } = await running;
  const lost = Object.values(failures).reduce((sum, count) => sum + count, 0);
  const how = Object.keys(failures).join(", ");
  return [
    {
      row: [
        `requests lost with the killed process (1 of ${before})`,
        `${lost} of ${answered + lost}${how === "" ? "" : `: ${how}`}`,
        "≤ 1",
      ],
      figure: { id: "resilience/lost-with-a-process", unit: "requests", value: lost, goal: LOST_GOAL },
    },
    {
      row: ["all processes back", `${backMs.toFixed(0)} ms`, "< 1000 ms"],
      figure: { id: "resilience/process-back", unit: "ms", value: backMs, goal: BACK_GOAL },
    },
  ];
}

/** The kill before counts as well: at the third the model gets no further process, and says so. */
async function measureSetAside(run: Run): Promise<readonly Finding[]> {
  const { server, workload } = run;
  const isSetAside = async () =>
    (await readMetric(server.healthPort, "autoglm_inference_set_aside_count", { model: MODEL })) === 1;
  let kills = 1;
  const running = loadOf(run, BACK_LIMIT_MS / 1000);
  // Only between full and full: a process that still loads would be taken for the busiest one.
  const full = (await processesOf(server)) ?? 0;
  while (!(await isSetAside()) && kills < KILLS_LIMIT) {
    const pid = await busiestChild(server, full);
    process.kill(pid, "SIGKILL");
    kills++;
    for (let waited = 0; waited < BACK_LIMIT_MS && !(await isSetAside()); waited += POLL_MS) {
      if (!existsSync(`/proc/${pid}`) && ((await processesOf(server)) ?? 0) >= full) break;
      await delay(POLL_MS);
    }
  }
  const reply = await fetch(`http://127.0.0.1:${server.port}/v2/models/${MODEL}/infer`, {
    method: "POST",
    headers: { authorization: `Bearer ${AGENT_TOKEN}`, "content-type": "application/json" },
    body: workload.bodies[0] ?? "",
  });
  const told = (await reply.text()).slice(0, 160);
  await server.process.stop();
  await running;
  return [
    {
      row: [
        "the model is set aside",
        reply.ok ? `no, after ${kills} kills` : `after ${kills} kills; HTTP ${reply.status} ${told}`,
        "3 kills",
      ],
      figure: {
        id: "resilience/kills-until-set-aside",
        unit: "kills",
        value: kills,
        goal: { kind: "atMost", limit: 3 },
      },
    },
  ];
}
