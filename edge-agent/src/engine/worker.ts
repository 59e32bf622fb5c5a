/**
 * Entry of an inference process: one model, one request at a time. It may block, crash and be killed at any moment; all
 * state that matters is with the agent, and it ends when the agent is gone; in the middle of a run, after that run.
 */
import { readFile } from "node:fs/promises";
import path from "node:path";
import { createPipeline } from "../pipelines/create.ts";
import { PipelineFailure } from "../pipelines/failure.ts";
import type { Pipeline, PipelineItem } from "../pipelines/pipeline.ts";
import { tensorConfigSchema, type TensorConfig } from "../pipelines/tensor-contract.ts";
import { loadOnnxSession } from "./onnx-session.ts";
import { giveWayToAgent } from "./priority.ts";
import { packTensors, unpackTensors } from "./packing.ts";
import type { FailureMessage, FromWorker, ToWorker, WorkerAnswer } from "./protocol.ts";
import { calibrate, samplesFor, warmUp, warmUpShapes, type SampleOf } from "./warm-up.ts";

/** Progress is said at most so often, not once per token. */
const PROGRESS_INTERVAL_MS = 500;
/** Between two runs of a busy model nobody waits so long. */
const CALIBRATION_PAUSE_MS = 50;

let pipeline: Pipeline | undefined;
let sampleOf: SampleOf | undefined;
let lastProgress = 0;
/** Requests that are not answered yet. */
let open = 0;
/** Runs that nobody waits for any more. */
const dropped = new Set<number>();
/** What uses the pipeline: one after the other. */
let turn: Promise<void> = Promise.resolve();
let calibration: NodeJS.Timeout | undefined;
let isCalibrated = false;

process.on("disconnect", () => process.exit(0));
// A terminal and a supervisor signal the whole group, but the agent still drains and ends this process when it is done.
for (const signal of ["SIGINT", "SIGTERM"] as const) process.on(signal, () => undefined);
process.on("message", (message: { readonly id: number } & ToWorker) => {
  if (message.kind === "drop") {
    dropped.add(message.id);
    return;
  }
  open++;
  clearTimeout(calibration);
  if (message.kind === "run" && pipeline?.batching.overlaps === true) void reply(message);
  else turn = turn.then(() => reply(message));
});

async function reply(message: { readonly id: number } & ToWorker): Promise<void> {
  const answered = await answer(message).catch((thrown: unknown): WorkerAnswer => ({
    kind: "failed",
    failure: describeFailure(thrown),
  }));
  open--;
  dropped.delete(message.id);
  say({ id: message.id, ...answered });
  if (isCalibrated) return;
  calibration = setTimeout(() => {
    turn = turn.then(calibrateNow);
  }, CALIBRATION_PAUSE_MS);
}

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

async function answer(message: { readonly id: number } & ToWorker): Promise<WorkerAnswer> {
  switch (message.kind) {
    case "load":
      return load(message);
    case "run":
      return run(message);
    case "runTensors":
      return runTensors(message);
    case "drop":
      throw new Error("a drop is no request");
    default:
      throw new Error(`unknown request ${JSON.stringify(message satisfies never)}`);
  }
}

async function load(message: Extract<ToWorker, { kind: "load" }>): Promise<WorkerAnswer> {
  const readJson = (name: string) => readModelJson(path.join(message.directory, name));
  const config = await readJson("pipeline.json");
  const loaded = await loadOnnxSession(path.join(message.directory, "model.onnx"), message);
  pipeline = await createPipeline(loaded.session, {
    config,
    contextLength: message.contextLength,
    readJson,
    loadSession: async (name) =>
      (await loadOnnxSession(path.join(message.directory, path.basename(name)), message)).session,
  });
  const contract = contractOf(config);
  sampleOf = samplesFor(pipeline, contract);
  const warmed = message.warmed ?? (await warmUp(pipeline, sampleOf));
  if (message.warmed !== undefined) await warmUpShapes(pipeline, sampleOf, message.warmed.largestShapes);
  giveWayToAgent();
  const { taskTypes, labels, batching } = pipeline;
  const { provider, fallbackReason } = loaded;
  const { maxItems, maxLength, overlaps = false } = batching;
  return {
    kind: "loaded",
    serving: {
      ...warmed,
      taskTypes,
      labels,
      maxItems,
      maxLength,
      overlaps,
      contract,
      provider,
      fallbackReason,
    },
  };
}

function contractOf(config: unknown): TensorConfig | undefined {
  const parsed = tensorConfigSchema.safeParse(config);
  return parsed.success ? parsed.data : undefined;
}

async function calibrateNow(): Promise<void> {
  if (pipeline === undefined || sampleOf === undefined || open > 0) return;
  try {
    const costs = await calibrate(pipeline, sampleOf, () => open === 0);
    isCalibrated = costs !== undefined || open === 0;
    if (costs !== undefined) say({ kind: "calibrated", costs });
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

async function run(
  message: { readonly id: number } & Extract<ToWorker, { kind: "run" }>,
): Promise<WorkerAnswer> {
  if (pipeline === undefined) throw new Error("no model is loaded");
  const { id, items, wantsTokens } = message;
  const onToken = wantsTokens
    ? (index: number, text: string) => say({ kind: "token", id, index, text })
    : undefined;
  const isOver = () => dropped.has(id);
  const results = await pipeline.run(items.map(withWellFormedText), {
    onProgress: sayProgress,
    onToken,
    isOver,
  });
  return { kind: "done", results };
}

/** A lone surrogate is no character: the tokenizers expect none, and UTF-8 has none. Offsets stay the same. */
function withWellFormedText(item: PipelineItem): PipelineItem {
  const { text, fields, messages } = item;
  return {
    ...item,
    text: text.toWellFormed(),
    fields:
      fields === undefined
        ? undefined
        : Object.fromEntries(Object.entries(fields).map(([name, value]) => [name, value.toWellFormed()])),
    messages: messages?.map(({ role, content }) => ({ role, content: content.toWellFormed() })),
  };
}

async function runTensors({ packed }: Extract<ToWorker, { kind: "runTensors" }>): Promise<WorkerAnswer> {
  if (pipeline === undefined) throw new Error("no model is loaded");
  const items = unpackTensors(packed).map((tensors) => ({
    type: "tensor" as const,
    text: "",
    tensors,
    parameters: {},
  }));
  const results = await pipeline.run(items, { onProgress: sayProgress });
  const outputs = results.map((result) => ("tensors" in result ? (result.tensors ?? []) : undefined));
  const whole = outputs.filter((tensors) => tensors !== undefined);
  return whole.length === results.length
    ? { kind: "doneTensors", packed: packTensors(whole) }
    : { kind: "done", results };
}

function sayProgress(): void {
  const now = performance.now();
  if (now - lastProgress < PROGRESS_INTERVAL_MS) return;
  lastProgress = now;
  say({ kind: "progress" });
}
