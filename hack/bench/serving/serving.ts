/** `serving`: the agent's HTTP inference against the servers that one would take otherwise, and against raw onnxruntime. */
import { availableParallelism, loadavg } from "node:os";
import { join } from "node:path";
import type { Section } from "../figures.ts";
import { agentSpec, layOutModels } from "./agent.ts";
import { LoadGenerator, measureCeiling } from "./load.ts";
import {
  type Cell,
  checkServer,
  CONCURRENCIES,
  measureCell,
  medianRate,
  noCells,
  type Outcome,
  type RunningServer,
  startServer,
} from "./measure.ts";
import { peersOf, type ServerSpec } from "./peers.ts";
import { preparePeers } from "./prepared.ts";
import { rawLayouts, type RawRate, RawRuns } from "./raw.ts";
import { bestPeer, type Measured, servingSections } from "./serving-report.ts";
import { readWorkload, type Workload, WORKLOADS } from "./workloads.ts";

/** Of what the best peer answers at so many connections. */
const ARRIVALS_SHARE = 0.9;
const ARRIVALS_CONNECTIONS = 64;

export interface ServingOptions {
  readonly workDir: string;
  readonly rounds: number;
  readonly cellSeconds: number;
  readonly say: (line: string) => void;
}

export async function measureServing({
  workDir,
  rounds,
  cellSeconds,
  say,
}: ServingOptions): Promise<readonly Section[]> {
  const prepared = await preparePeers();
  const cores = availableParallelism();
  const serveDir = layOutModels(prepared.models, join(workDir, "models"));
  const workloads = WORKLOADS.map((id) => readWorkload(prepared.models, id));
  const agents = [
    agentSpec({ serveDir, cores }),
    // For one client at a time.
    agentSpec({ serveDir, cores, performanceHint: "latency" }),
  ];
  const specs = [...agents, ...peersOf({ prepared, cores, workDir })];
  const load = await LoadGenerator.start();
  const running: RunningServer[] = [];
  try {
    const ceiling = await measureCeiling(load, workloads[0]?.bodies ?? [], cellSeconds);
    const absent: ServerSpec[] = [];
    for (const spec of specs) {
      const server = await startServer(spec, workDir, say);
      if (server === undefined) absent.push(spec);
      else running.push(server);
      if (spec.pollsWhenIdle === true) server?.process.pause();
    }
    say(`${running.length} servers are up`);
    const measured: Measured[] = [];
    for (const workload of workloads)
      measured.push(
        await measureWorkload(workload, {
          running,
          load,
          rounds,
          cellSeconds,
          cores,
          models: prepared.models,
          say,
        }),
      );
    const memory = new Map(running.map(({ spec, process }) => [spec.id, process.pssBytes()]));
    return servingSections({ measured, memory, absent, ceiling, cores, rounds, cellSeconds });
  } finally {
    await load.stop();
    await Promise.all(running.map(({ process }) => process.stop()));
  }
}

interface WorkloadRun extends Omit<ServingOptions, "workDir"> {
  readonly running: readonly RunningServer[];
  readonly load: LoadGenerator;
  readonly cores: number;
  readonly models: string;
}

async function measureWorkload(workload: Workload, run: WorkloadRun): Promise<Measured> {
  const { load, rounds, cellSeconds, say } = run;
  const servers = run.running.filter(({ spec }) => spec.workloads.includes(workload.id));
  const outcomes = new Map<string, Outcome>();
  for (const server of servers) {
    const failure = await awake(server, () => checkServer(server, { load, workload }));
    outcomes.set(server.spec.id, failure === undefined ? { cells: noCells() } : { failure });
    if (failure !== undefined) say(`${workload.id}: ${server.spec.title} fails: ${failure}`);
  }
  const raw: { readonly title: string; readonly rates: RawRate[]; readonly runs: RawRuns }[] = [];
  const loads: number[] = [];
  try {
    for (const layout of rawLayouts(run.cores)) {
      const runs = await RawRuns.start(join(run.models, workload.model), workload, layout);
      raw.push({ title: layout.title, rates: [], runs });
    }
    for (let round = 0; round < rounds; round++) {
      const load1 = loadavg()[0] ?? 0;
      loads.push(load1);
      say(`${workload.id}: round ${round + 1} of ${rounds}, load average ${load1.toFixed(1)}`);
      for (const concurrency of CONCURRENCIES) {
        const turn = (round * CONCURRENCIES.length + concurrency) % servers.length;
        for (const server of [...servers.slice(turn), ...servers.slice(0, turn)]) {
          const outcome = outcomes.get(server.spec.id);
          if (outcome === undefined || "failure" in outcome) continue;
          const cell = await awake(server, () =>
            measureCell(server, { load, workload }, { concurrency, seconds: cellSeconds }),
          );
          outcome.cells[concurrency].push(cell);
        }
      }
      for (const { runs, rates } of raw) rates.push(await runs.run(cellSeconds));
    }
  } finally {
    await Promise.all(raw.map(({ runs }) => runs.stop()));
  }
  const measured: Measured = {
    workload,
    servers: servers.map(({ spec }) => spec),
    outcomes,
    raw: raw.map(({ title, rates }) => ({ title, rates })),
    loads,
  };
  return { ...measured, arrivals: await measureArrivals(measured, workload, run) };
}

/** The agent and the best peer under one load: what the peer can just take, at random. */
async function measureArrivals(
  measured: Measured,
  workload: Workload,
  { running, load, rounds, cellSeconds, say }: WorkloadRun,
): Promise<Measured["arrivals"]> {
  // A timer is as coarse as an answer of the tiny model takes.
  if (workload.model === "tiny") return undefined;
  const peer = bestPeer(measured, ARRIVALS_CONNECTIONS);
  const outcome = peer && measured.outcomes.get(peer.id);
  if (peer === undefined || outcome === undefined || "failure" in outcome) return undefined;
  const perSecond = ARRIVALS_SHARE * medianRate(outcome.cells[ARRIVALS_CONNECTIONS]);
  say(`${workload.id}: ${rounds} rounds of ${perSecond.toFixed(0)} arrivals a second`);
  const cells = new Map<string, Cell[]>();
  const ours = measured.servers.find(({ isOurs }) => isOurs);
  const both = running.filter(({ spec }) => spec.id === ours?.id || spec.id === peer.id);
  for (let round = 0; round < rounds; round++)
    for (const server of round % 2 === 0 ? both : both.toReversed()) {
      const how = {
        concurrency: ARRIVALS_CONNECTIONS,
        seconds: 2 * cellSeconds,
        arrivals: { perSecond, seed: round },
      };
      const cell = await awake(server, () => measureCell(server, { load, workload }, how));
      cells.set(server.spec.id, [...(cells.get(server.spec.id) ?? []), cell]);
    }
  return { perSecond, peer, ours: cells.get(ours?.id ?? "") ?? [], theirs: cells.get(peer.id) ?? [] };
}

async function awake<T>({ spec, process }: RunningServer, act: () => Promise<T>): Promise<T> {
  if (spec.pollsWhenIdle !== true) return act();
  process.resume();
  try {
    return await act();
  } finally {
    process.pause();
  }
}
