/**
 * Runs the servers against each other: all are up from the beginning, and in each round every server has a cell of some
 * seconds at every workload and concurrency, one after the other; each round begins with another server.
 */
import { mkdirSync } from "node:fs";
import { join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import { quantileOf, sampleOf } from "../figures.ts";
import { freePort } from "../../cluster/processes.ts";
import type { LoadGenerator } from "./load.ts";
import type { LoadRequest } from "./load-process.ts";
import type { ServerSpec } from "./peers.ts";
import { ServerProcess } from "./server-process.ts";
import { problemWithAnswers, type Workload } from "./workloads.ts";

export const CONCURRENCIES = [1, 16, 64] as const;
export type Concurrency = (typeof CONCURRENCIES)[number];

/** Of one round. */
export interface Cell {
  readonly perSecond: number;
  /** Ascending. */
  readonly latenciesMs: Float64Array;
  /** Processor time of all processes of the server. */
  readonly cpuMsPerRequest: number;
  readonly answered: number;
  readonly failures: Readonly<Record<string, number>>;
}

export const medianRate = (rounds: readonly Pick<Cell, "perSecond">[]): number =>
  sampleOf(rounds.map(({ perSecond }) => perSecond)).median;

/** Of all requests of all rounds: a median of the rounds would leave out what happens in fewer than half of them. */
export function pooledMs(cells: readonly Pick<Cell, "latenciesMs">[], share: number): number {
  return quantileOf(Float64Array.from(cells.flatMap(({ latenciesMs }) => [...latenciesMs])).sort(), share);
}

export type Cells = Readonly<Record<Concurrency, Cell[]>>;
export const noCells = (): Cells => ({ 1: [], 16: [], 64: [] });

/** What a server did with a workload: the cells of its rounds, or why there are none. */
export type Outcome = { readonly cells: Cells } | { readonly failure: string };

export interface RunningServer {
  readonly spec: ServerSpec;
  readonly process: ServerProcess;
  readonly port: number;
  readonly healthPort: number;
}

const START_LIMIT_MS = 60_000;
const CHECK_CONCURRENCY = 8;
/** The most that is measured, and long enough that what grows with the load (a second process of the agent) has grown. */
const WARM_UP_CONCURRENCY = 64;
const WARM_UP_SECONDS = 2;
/** The last answers of the cell before are on their way then. */
const PAUSE_MS = 60;

/** Undefined: it does not run here, and `say` has told why. */
export async function startServer(
  spec: ServerSpec,
  workDir: string,
  say: (line: string) => void,
): Promise<RunningServer | undefined> {
  mkdirSync(workDir, { recursive: true });
  const [port, healthPort, third] = [await freePort(), await freePort(), await freePort()];
  const server = ServerProcess.start(spec.start(port, [healthPort, third]), join(workDir, `${spec.id}.log`));
  const startedAt = performance.now();
  while (performance.now() - startedAt < START_LIMIT_MS && !server.hasEnded) {
    if (await isOpen(port)) return { spec, process: server, port, healthPort };
    await delay(200);
  }
  await server.stop();
  say(`${spec.title} does not start: ${server.lastWords()}`);
  return undefined;
}

async function isOpen(port: number): Promise<boolean> {
  try {
    // Any answer will do: each has another path for its health.
    await (await fetch(`http://127.0.0.1:${port}/`, { signal: AbortSignal.timeout(2000) })).text();
    return true;
  } catch {
    return false;
  }
}

export interface LoadOptions {
  readonly load: LoadGenerator;
  readonly workload: Workload;
}

/** First the answers are checked, several at once so that batches come about; then it is warmed up. */
export async function checkServer(
  { spec, port }: RunningServer,
  { load, workload }: LoadOptions,
): Promise<string | undefined> {
  const { path, bodies } = spec.ask(workload);
  const request = { port, path, headers: spec.headers, bodies };
  const keep = workload.expected.length;
  // Loading may take its time, and is not what is checked.
  await load.run({ ...request, concurrency: 1, seconds: START_LIMIT_MS / 1000, keep: 1 });
  const checked = await load.run({
    ...request,
    concurrency: CHECK_CONCURRENCY,
    seconds: START_LIMIT_MS / 1000,
    keep,
  });
  const failures = Object.entries(checked.failures).map(([what, count]) => `${what} × ${count}`);
  if (failures.length > 0) return `${failures.join(", ")} of ${keep} requests`;
  const problem = problemWithAnswers(workload, checked.kept);
  if (problem !== undefined) return problem;
  await load.run({ ...request, concurrency: WARM_UP_CONCURRENCY, seconds: WARM_UP_SECONDS });
  return undefined;
}

export async function measureCell(
  { spec, port, process: server }: RunningServer,
  { load, workload }: LoadOptions,
  how: Pick<LoadRequest, "concurrency" | "seconds" | "arrivals">,
): Promise<Cell> {
  const { path, bodies } = spec.ask(workload);
  await delay(PAUSE_MS);
  const cpuBefore = server.cpuMs();
  const answer = await load.run({ port, path, headers: spec.headers, bodies, ...how });
  const { answered, latenciesMs, failures } = answer;
  return {
    perSecond: answered / answer.seconds,
    latenciesMs,
    cpuMsPerRequest: (server.cpuMs() - cpuBefore) / answered,
    answered,
    failures,
  };
}
