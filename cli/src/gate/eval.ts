/** Gold rows in, the accuracy-against-escalation curve out. */
import path from "node:path";
import type { TaskType } from "@autoglm/api";
import {
  calibrationError,
  evaluateGate,
  fitTemperature,
  initialCalibration,
  calibratedConfidence,
  intervalOf,
  summarizeGate,
  type GateTrial,
  type ScoredAnswer,
} from "@autoglm/core";
import { answerRows, type PairFolders } from "./answers.ts";
import { readGold, splitsOf } from "./gold.ts";
import type { GateMode, GateReport } from "./report.ts";

export interface EvalOptions {
  readonly gold: readonly string[];
  /** Of the folders of one gold file. */
  readonly foldersOf: (gold: string) => PairFolders;
  readonly type: TaskType;
  readonly modes: readonly GateMode[];
  /** Ascending, in (0, 1). */
  readonly shares: readonly number[];
  /** Halves that are drawn of a file whose rows name no split. */
  readonly seeds: number;
  readonly signal: AbortSignal;
  readonly onProgress: (line: string) => void;
}

/** @throws AutoglmError of a gold file or a model */
export async function evaluatePairs(options: EvalOptions): Promise<GateReport> {
  const { gold, foldersOf, type, modes, shares, seeds, signal, onProgress } = options;
  const files: GateReport["gold"][number][] = [];
  const trials: GateTrial[] = [];
  for (const file of gold) {
    const { rows, duplicates } = await readGold(file);
    onProgress(`${file}: both models answer ${rows.length} rows`);
    const answered = await answerRows(rows, foldersOf(file), { type, signal });
    trials.push(...splitsOf(answered, seeds, file));
    files.push({ file: path.relative(process.cwd(), file) || file, rows: rows.length, duplicates });
  }
  const figures = trials.map(calibrationOf);
  return {
    gold: files,
    trials: trials.length,
    testRows: trials.reduce((sum, { test }) => sum + test.length, 0),
    calibration: {
      temperature: intervalOf(figures.map(({ temperature }) => temperature)),
      errorBefore: intervalOf(figures.map(({ before }) => before)),
      errorAfter: intervalOf(figures.map(({ after }) => after)),
    },
    modes: Object.fromEntries(
      modes.map((mode) => [mode, summarizeGate(trials.map((trial) => evaluateGate(trial, mode, shares)))]),
    ),
  };
}

function calibrationOf({ calibration, test }: GateTrial) {
  const temperature = fitTemperature(answersOf(calibration));
  const state = initialCalibration(temperature);
  const raw = answersOf(test);
  const scaled = raw.map(({ score, isRight }) => ({
    score: calibratedConfidence(state, { score, pHard: null }),
    isRight,
  }));
  return { temperature, before: calibrationError(raw), after: calibrationError(scaled) };
}

function answersOf(rows: GateTrial["test"]): ScoredAnswer[] {
  return rows.flatMap(({ score, edgeIsRight }) => (score === null ? [] : [{ score, isRight: edgeIsRight }]));
}
