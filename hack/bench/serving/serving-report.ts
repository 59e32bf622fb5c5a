/** What the rounds of `serving` amount to. Pure. */
import { type Figure, type Goal, pairedRatio, quantileOf, sampleOf, type Section } from "../figures.ts";
import { renderRatio } from "../report.ts";
import { type Cell, type Concurrency, CONCURRENCIES, medianRate, type Outcome, pooledMs } from "./measure.ts";
import type { ServerSpec } from "./peers.ts";
import { RAW_BATCH, type RawRate } from "./raw.ts";
import type { Workload, WorkloadId } from "./workloads.ts";

type ReportedServer = Pick<ServerSpec, "id" | "title" | "layout" | "isOurs">;

export interface Measured {
  readonly workload: Pick<Workload, "id" | "title">;
  readonly servers: readonly ReportedServer[];
  readonly outcomes: ReadonlyMap<string, Outcome>;
  readonly raw: readonly { readonly title: string; readonly rates: readonly RawRate[] }[];
  /** Load average at the beginning of each round. */
  readonly loads: readonly number[];
  /** Requests that arrive at random, as many for both. */
  readonly arrivals?: RandomArrivals | undefined;
}

export interface RandomArrivals {
  readonly perSecond: number;
  readonly peer: ReportedServer;
  readonly ours: readonly Cell[];
  readonly theirs: readonly Cell[];
}

export interface ServingRun {
  readonly measured: readonly Measured[];
  /** Bytes by server, after everything. */
  readonly memory: ReadonlyMap<string, number>;
  readonly absent: readonly ReportedServer[];
  readonly ceiling: { readonly perSecond: number; readonly loadCpuMs: number };
  readonly cores: number;
  readonly rounds: number;
  readonly cellSeconds: number;
}

type Comparison = "rps-to-best-peer" | "p99-to-best-peer" | "rps-to-raw";
const GOALS: Readonly<Partial<Record<`${WorkloadId}/c${Concurrency}/${Comparison}`, Goal>>> = {
  "tiny/c16/rps-to-best-peer": { kind: "atLeast", limit: 1.5 },
  "tiny/c64/rps-to-best-peer": { kind: "atLeast", limit: 1.5 },
  "minilm/c64/rps-to-best-peer": { kind: "atLeast", limit: 1.2 },
  "minilm/c64/rps-to-raw": { kind: "atLeast", limit: 0.9 },
  "mixed/c64/rps-to-best-peer": { kind: "atLeast", limit: 1.4 },
  "mixed/c64/p99-to-best-peer": { kind: "atMost", limit: 0.3 },
};

const rates = (cells: readonly Cell[]) => cells.map(({ perSecond }) => perSecond);
const median = (values: readonly number[]) => sampleOf(values).median;
const cellsOf = (outcome: Outcome | undefined, concurrency: Concurrency): readonly Cell[] =>
  outcome !== undefined && "cells" in outcome ? outcome.cells[concurrency] : [];

/** Of those that answered every check, the one with the most requests per second over the rounds. */
export function bestPeer(
  { servers, outcomes }: Pick<Measured, "servers" | "outcomes">,
  concurrency: Concurrency,
): ReportedServer | undefined {
  let best: { readonly server: ReportedServer; readonly rate: number } | undefined;
  for (const server of servers) {
    const cells = cellsOf(outcomes.get(server.id), concurrency);
    if (server.isOurs || cells.length === 0) continue;
    const rate = median(rates(cells));
    if (best === undefined || rate > best.rate) best = { server, rate };
  }
  return best?.server;
}

/** By median of the rounds. */
function bestRaw({ raw }: Measured): Measured["raw"][number] | undefined {
  return raw.toSorted((a, b) => medianRate(b.rates) - medianRate(a.rates))[0];
}

interface Compared {
  readonly figures: readonly Figure[];
  readonly row: readonly string[];
}

/** The agent as it comes is compared everywhere, the one with a hint for latency at one client. */
function compareAll(measured: Measured, concurrency: Concurrency): readonly Compared[] {
  const agents = measured.servers.filter(({ isOurs }) => isOurs);
  return (concurrency === 1 ? agents : agents.slice(0, 1)).flatMap(
    (ours, index) => compare(measured, concurrency, { ours, hasGoals: index === 0 }) ?? [],
  );
}

function compare(
  measured: Measured,
  concurrency: Concurrency,
  { ours, hasGoals }: { readonly ours: ReportedServer; readonly hasGoals: boolean },
): Compared | undefined {
  const { outcomes, workload } = measured;
  const peer = bestPeer(measured, concurrency);
  const raw = bestRaw(measured);
  if (peer === undefined || raw === undefined) return undefined;
  const own = cellsOf(outcomes.get(ours.id), concurrency);
  const theirs = cellsOf(outcomes.get(peer.id), concurrency);
  if (own.length === 0) return undefined;
  const ratio = (value: (cell: Cell) => number) => pairedRatio(own.map(value), theirs.map(value));
  const rps = ratio(({ perSecond }) => perSecond);
  const times = (share: number) => ({
    ...ratio(({ latenciesMs }) => quantileOf(latenciesMs, share)),
    median: pooledMs(own, share) / pooledMs(theirs, share),
  });
  const p50 = times(0.5);
  const p99 = times(0.99);
  const cpu = ratio(({ cpuMsPerRequest }) => cpuMsPerRequest);
  const toRaw = pairedRatio(
    rates(own),
    raw.rates.map(({ perSecond }) => perSecond),
  );
  const id = `${workload.id}/c${concurrency}` as const;
  const prefix = hasGoals ? id : `${id}/${ours.id}`;
  const figure = (comparison: Comparison, value: number): Figure => {
    const goal = hasGoals ? GOALS[`${id}/${comparison}`] : undefined;
    return {
      id: `serving/${prefix}/${comparison}`,
      unit: "×",
      value,
      ...(goal !== undefined && { goal }),
    };
  };
  return {
    figures: [
      figure("rps-to-best-peer", rps.median),
      figure("p99-to-best-peer", p99.median),
      figure("rps-to-raw", toRaw.median),
      { id: `serving/${prefix}/cpu-to-best-peer`, unit: "×", value: cpu.median },
    ],
    row: [
      hasGoals ? workload.id : `${workload.id}, ${ours.id}`,
      String(concurrency),
      peer.title,
      ...[rps, p50, p99, cpu, toRaw].map(renderRatio),
    ],
  };
}

export function servingSections(run: ServingRun): readonly Section[] {
  return [
    summarySection(run),
    arrivalsSection(run),
    ...run.measured.map((measured) => workloadSection(measured, run)),
  ];
}

/** In a closed loop a slow server is asked less; here both are asked the same. */
function arrivalsSection({ measured, rounds, cellSeconds }: ServingRun): Section {
  const compared = measured.flatMap(({ workload, arrivals }) =>
    arrivals === undefined ? [] : [{ workload, ...arrivals }],
  );
  const times = (cells: readonly Cell[]) =>
    [0.5, 0.99, 0.999].map((share) => shownMs(pooledMs(cells, share))).join(" / ");
  const ratio = ({ ours, theirs }: RandomArrivals, share: number) =>
    pooledMs(ours, share) / pooledMs(theirs, share);
  return {
    title: "Serving requests that arrive at random",
    notes: [
      `${rounds} rounds of ${2 * cellSeconds} s: Poisson arrivals over 64 connections, 90 % of what the best peer answers at 64 in a closed loop, the same`,
      "times for both. Latency from the arrival, waiting for a connection included: p50 / p99 / p99.9 ms of all requests of all rounds.",
    ],
    header: ["workload", "arrivals/s", "best peer", "its ms", "ours, ms", "p50 ÷", "p99 ÷", "errors"],
    rows: compared.map((one) => [
      one.workload.id,
      one.perSecond.toFixed(0),
      one.peer.title,
      times(one.theirs),
      times(one.ours),
      ...[0.5, 0.99].map((share) => ratio(one, share).toFixed(2)),
      String([...one.ours, ...one.theirs].reduce((sum, { failures }) => sum + countOf(failures), 0)),
    ]),
    figures: compared.map((one) => ({
      id: `serving/${one.workload.id}/arrivals/p99-to-best-peer`,
      unit: "×",
      value: ratio(one, 0.99),
    })),
  };
}

function summarySection({ measured, ceiling, cores, rounds, cellSeconds, absent }: ServingRun): Section {
  const compared = measured.flatMap((one) =>
    CONCURRENCIES.flatMap((concurrency) => compareAll(one, concurrency)),
  );
  const failed = measured.flatMap(({ workload, servers, outcomes }) =>
    servers.flatMap(({ id, title }) => {
      const outcome = outcomes.get(id);
      return outcome !== undefined && "failure" in outcome
        ? [`fails at ${workload.id}: ${title}: ${outcome.failure}`]
        : [];
    }),
  );
  return {
    title: "Serving over HTTP: this agent ÷ the best peer, and ÷ raw onnxruntime",
    notes: [
      `${rounds} rounds of ${cellSeconds} s a cell, interleaved; a ratio is the median of the rounds' ratios (least–most), for p50 and p99 the ratio`,
      "of the percentiles of all requests of all rounds (least–most of the rounds' ratios). Best peer: most requests per second at that",
      "workload and concurrency. Above 1 is better for req/s, below 1 for times and processor time.",
      `The same ONNX file, the same request bodies and ${cores} threads of onnxruntime in all for each; the agent checks a bearer`,
      "token and the request against the model's contract, and counts; the peers do none of the three beyond what is built in.",
      `Load: one process, closed loop, on the same cores; at most ${ceiling.perSecond.toFixed(0)} requests/s (64 connections, a server that only`,
      `echoes), ${(ceiling.loadCpuMs * 1000).toFixed(1)} µs of processor time each.`,
      ...failed,
      ...absent.map(({ title }) => `not measured, it does not start here: ${title}`),
      "Not measured: Triton, TF Serving, text-embeddings-inference (not on PyPI), anything on a GPU.",
    ],
    header: ["workload", "conc.", "best peer", "req/s", "p50", "p99", "CPU", "req/s ÷ raw"],
    rows: compared.map(({ row }) => row),
    figures: compared.flatMap(({ figures }) => figures),
  };
}

function workloadSection(measured: Measured, { memory }: ServingRun): Section {
  const { workload, servers, outcomes, raw, loads } = measured;
  const rows = servers.map(({ id, title, layout }) => {
    const outcome = outcomes.get(id);
    const pss = memory.get(id);
    const megabytes = pss === undefined ? "" : (pss / 1e6).toFixed(0);
    if (outcome === undefined || "failure" in outcome)
      return [title, layout, ...CONCURRENCIES.map(() => "fails"), "", megabytes, ""];
    const all = CONCURRENCIES.map((concurrency) => outcome.cells[concurrency]);
    const middle = (cells: readonly Cell[], value: (cell: Cell) => number) => median(cells.map(value));
    const errors = all.flat().reduce((sum, { failures }) => sum + countOf(failures), 0);
    return [
      title,
      layout,
      ...all.map((cells) => {
        const rate = middle(cells, ({ perSecond }) => perSecond);
        const times = [pooledMs(cells, 0.5), pooledMs(cells, 0.99)];
        return `${rate.toFixed(0)} (${times.map(shownMs).join(" / ")})`;
      }),
      middle(outcome.cells[16], ({ cpuMsPerRequest }) => cpuMsPerRequest).toFixed(3),
      megabytes,
      String(errors),
    ];
  });
  const limits = raw.map(({ title, rates: all }) => [
    `raw onnxruntime-node, ${RAW_BATCH[workload.id]} a run`,
    title,
    "",
    "",
    medianRate(all).toFixed(0),
    median(all.map(({ cpuMsPerRow }) => cpuMsPerRow)).toFixed(3),
    "",
    "",
  ]);
  return {
    title: `Serving ${workload.title}`,
    notes: [
      "requests/s, median of the rounds (p50 / p99 ms of all requests of all rounds). CPU: processor milliseconds a request of all processes of the server, at 16.",
      "PSS: MB of all its processes after all workloads. Raw: rows/s in plain processes, no HTTP, no queue.",
      `Load average at the beginning of the rounds: ${loads.map((load) => load.toFixed(1)).join(", ")}.`,
    ],
    header: ["server", "proc×thr", "1", "16", "64", "CPU ms", "PSS", "errors"],
    rows: [...rows, ...limits],
    figures: [],
    measurements: servers.map(({ id }) => measurementOf(workload.id, id, outcomes.get(id))),
  };
}

/** Without the thousands of latencies of each cell. */
function measurementOf(workload: WorkloadId, server: string, outcome: Outcome | undefined): object {
  if (outcome === undefined || "failure" in outcome) return { workload, server, ...outcome };
  const cells = CONCURRENCIES.flatMap((concurrency) =>
    outcome.cells[concurrency].map(({ latenciesMs, ...cell }) => ({
      concurrency,
      ...cell,
      p50Ms: quantileOf(latenciesMs, 0.5),
      p99Ms: quantileOf(latenciesMs, 0.99),
    })),
  );
  return { workload, server, cells };
}

const countOf = (failures: Readonly<Record<string, number>>) =>
  Object.values(failures).reduce((sum, count) => sum + count, 0);
const shownMs = (ms: number) => (ms < 10 ? ms.toFixed(2) : ms.toFixed(0));
