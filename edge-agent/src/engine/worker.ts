/**
 * Entry of an inference process: one model, one request at a time. It may block, crash and be killed at any moment; all
 * state that matters is with the agent, and it ends when the agent is gone; in the middle of a run, after that run.
 */
import { readFile } from "node:fs/promises";
import path from "node:path";
import { createPipeline } from "../pipelines/create.ts";
import { PipelineFailure } from "../pipelines/failure.ts";
import type { Pipeline } from "../pipelines/pipeline.ts";
import { loadOnnxSession } from "./onnx-session.ts";
import type { FailureMessage, FromWorker, ToWorker } from "./protocol.ts";
import { calibrate, warmUp } from "./warm-up.ts";

/** Progress is said at most so often, not once per token. */
const PROGRESS_INTERVAL_MS = 500;
/** Between two runs of a busy model nobody waits so long. */
const CALIBRATION_PAUSE_MS = 50;

let pipeline: Pipeline | undefined;
let lastProgress = 0;
/** Requests that are not answered yet. */
let open = 0;
/** What uses the pipeline: one after the other. */
let turn: Promise<void> = Promise.resolve();
let calibration: NodeJS.Timeout | undefined;
let isCalibrated = false;

process.on("disconnect", () => process.exit(0));
// A terminal and a supervisor signal the whole group, but the agent still drains and ends this process when it is done.
for (const signal of ["SIGINT", "SIGTERM"] as const) process.on(signal, () => undefined);
process.on("message", (message: ToWorker) => {
  open++;
  clearTimeout(calibration);
  turn = turn.then(async () => {
    const reply = await answer(message).catch((thrown: unknown): FromWorker => ({
      kind: "failed",
      failure: describeFailure(thrown),
    }));
    open--;
    say(reply);
    if (isCalibrated) return;
    calibration = setTimeout(() => {
      turn = turn.then(calibrateNow);
    }, CALIBRATION_PAUSE_MS);
  });
});

function say(message: FromWorker): void {
  process.send?.(message);
}

/** What a bug says may quote the input: only its name goes out, and where it was thrown. */
function describeFailure(thrown: unknown): FailureMessage {
  if (thrown instanceof PipelineFailure)
    return { code: thrown.code, message: thrown.message, final: thrown.final };
  const name = thrown instanceof Error ? thrown.name : typeof thrown;
  return { code: "Internal", message: `the pipeline failed with ${name}${placeOf(thrown)}`, final: false };
}

/** The innermost frame of the stack; what stands before the frames is the message. */
function placeOf(thrown: unknown): string {
  if (!(thrown instanceof Error) || thrown.stack === undefined) return "";
  const frames = thrown.stack.slice(thrown.stack.indexOf(thrown.message) + thrown.message.length);
  const lines = frames.split("\n").map((frame) => ` ${frame.trim()}`);
  return lines.find((frame) => frame.startsWith(" at ")) ?? "";
}

async function answer(message: ToWorker): Promise<FromWorker> {
  return message.kind === "load" ? load(message) : run(message);
}

async function load(message: Extract<ToWorker, { kind: "load" }>): Promise<FromWorker> {
  const readJson = (name: string) => readModelJson(path.join(message.directory, name));
  const config = await readJson("pipeline.json");
  const session = await loadOnnxSession(path.join(message.directory, "model.onnx"), message);
  pipeline = await createPipeline(session, {
    config,
    contextLength: message.contextLength,
    readJson,
  });
  return { kind: "loaded", serving: await warmUp(pipeline) };
}

async function calibrateNow(): Promise<void> {
  if (pipeline === undefined || open > 0) return;
  try {
    const budget = await calibrate(pipeline, () => open === 0);
    isCalibrated = budget !== undefined || open === 0;
    if (budget !== undefined) say({ kind: "calibrated", budget });
  } catch {
    // The first budget serves; a model that can't run shows it with the first real item.
    isCalibrated = true;
  }
}

async function readModelJson(file: string): Promise<unknown> {
  try {
    return JSON.parse(await readFile(file, "utf8"));
  } catch (cause) {
    throw new PipelineFailure(
      "ModelLoadFailed",
      `${path.basename(file)} of the model is missing or no JSON`,
      {
        cause,
      },
    );
  }
}

async function run({ items }: Extract<ToWorker, { kind: "run" }>): Promise<FromWorker> {
  if (pipeline === undefined) throw new Error("no model is loaded");
  // A lone surrogate is no character: the tokenizers expect none, and UTF-8 has none. Offsets stay the same.
  const wellFormed = items.map(({ text, parameters }) => ({
    text: text.toWellFormed(),
    parameters,
  }));
  return { kind: "done", results: await pipeline.run(wellFormed, sayProgress) };
}

function sayProgress(): void {
  const now = performance.now();
  if (now - lastProgress < PROGRESS_INTERVAL_MS) return;
  lastProgress = now;
  say({ kind: "progress" });
}
