import { existsSync } from "node:fs";
import { writeFile } from "node:fs/promises";
import path from "node:path";
import type { TaskType } from "@autoglm/api";
import { EXIT, type ExitCode, usageError } from "../exit-codes.ts";
import { drawGateChart } from "../gate/chart.ts";
import { evaluatePairs } from "../gate/eval.ts";
import { replayFile } from "../gate/replay.ts";
import { type GateMode, renderReport } from "../gate/report.ts";
import { type CliIo, say } from "../io.ts";
import { printable } from "../printable.ts";

export interface GateEvalOptions {
  readonly gold: readonly string[];
  readonly edge?: string;
  readonly deep?: string;
  readonly gate?: string;
  readonly type: TaskType;
  readonly mode: readonly GateMode[];
  readonly seeds: number;
  readonly chart?: string;
  readonly output?: "json";
  readonly signal: AbortSignal;
}

const SHARES = [0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9] as const;
/** Drawn where several modes were measured: the first of them that was. */
const CHARTED: readonly GateMode[] = ["Both", "Post", "Pre"];

/** Draws accuracy against escalation for a pair of models, on rows whose answers are known. */
export async function gateEval(io: CliIo, options: GateEvalOptions): Promise<ExitCode> {
  const { gold, type, mode, seeds, chart, output, signal } = options;
  const foldersOf = (file: string) => {
    const beside = (name: string) => path.join(path.dirname(file), name);
    const gate = options.gate ?? beside("gate");
    if (options.gate === undefined && !existsSync(path.join(gate, "model.onnx"))) {
      if (mode.includes("Pre"))
        throw usageError(`${gate} holds no network of a pre-gate`, "name one with --gate");
      return { edge: options.edge ?? beside("edge"), deep: options.deep ?? beside("deep"), gate: undefined };
    }
    return { edge: options.edge ?? beside("edge"), deep: options.deep ?? beside("deep"), gate };
  };
  const report = await evaluatePairs({
    gold,
    foldersOf,
    type,
    modes: mode,
    shares: SHARES,
    seeds,
    signal,
    onProgress: (line) => say(io, line),
  });
  io.stdout.write(output === "json" ? `${JSON.stringify(report, null, 2)}\n` : renderReport(report));
  const charted = CHARTED.find((one) => report.modes[one] !== undefined);
  const summary = charted && report.modes[charted];
  if (chart !== undefined && summary) {
    const title = `Gate ${charted}: ${report.trials} trials, ${report.testRows} test rows`;
    await writeFile(chart, drawGateChart(title, summary));
    say(io, `chart: ${chart}`);
  }
  return EXIT.ok;
}

export interface GateReplayOptions {
  readonly output?: "json";
  readonly signal: AbortSignal;
}

/** Decides everything in a decision log again; the first decision that comes out differently is an error. */
export async function gateReplay(io: CliIo, file: string, options: GateReplayOptions): Promise<ExitCode> {
  if (!existsSync(file)) {
    throw usageError(
      `${file} does not exist`,
      "an agent's decision logs are gate/decisions/*.jsonl in its state folder",
    );
  }
  const report = await replayFile(file);
  const { decisions, outcomes, difference } = report;
  if (options.output === "json") io.stdout.write(`${JSON.stringify(report)}\n`);
  else if (difference === undefined) {
    io.stdout.write(`${decisions} decisions reproduced, ${outcomes} outcomes learned again\n`);
  } else {
    const { line, item, what, recorded, replayed } = difference;
    const of = item === undefined ? "" : ` of item ${item}`;
    const [was, is] = [recorded, replayed].map((value) => printable(JSON.stringify(value) ?? "nothing"));
    io.stdout.write(`line ${line}: the ${what}${of} was ${was}, and replayed is ${is}\n`);
  }
  return difference === undefined ? EXIT.ok : EXIT.error;
}
