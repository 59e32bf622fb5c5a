/**
 * The baseline: onnxruntime-node in a plain Node process, with the session options of the agent.
 *
 *     create   session creation and its first run, in a process that has done nothing else
 *     prepare  takes batches of texts; notes what the agent's pipeline feeds the graph for them
 *     graph    the noted runs again, nothing but `session.run`: no tokenizing, no scores, no scheduler
 *     pipeline the same batches from text to result, still without engine and agent
 */
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { InferenceSession, Tensor as OnnxTensor } from "onnxruntime-node";
import { loadOnnxSession } from "../../edge-agent/src/engine/onnx-session.ts";
import { createPipeline } from "../../edge-agent/src/pipelines/create.ts";
import type {
  Pipeline,
  PipelineItem,
  Session,
  Tensor,
  TensorData,
} from "../../edge-agent/src/pipelines/pipeline.ts";
import { answerRequests } from "./asked-process.ts";

export interface RawModel {
  readonly directory: string;
  readonly contextLength: number;
  readonly threads: number;
}

/** As a tensor of the runtime is made; a tensor itself does not survive the way between processes. */
export type Feeds = Readonly<
  Record<
    string,
    { readonly type: string; readonly data: OnnxTensor.DataType; readonly dims: readonly number[] }
  >
>;

export type RawRequest =
  | { readonly kind: "create"; readonly model: RawModel; readonly feeds: Feeds }
  | {
      readonly kind: "prepare";
      readonly model: RawModel;
      readonly batches: readonly (readonly PipelineItem[])[];
    }
  | { readonly kind: "graph" | "pipeline" };

export interface RawAnswer {
  readonly ms: number;
  /** Of the first run, after `prepare`. */
  readonly feeds?: Feeds;
  /** `session.run` calls of one pass, after `prepare`. */
  readonly runs?: number;
}

/** Feeds of one run; `carried` names the outputs of the run before that go in again: the cache of a decoder. */
interface Step {
  readonly feeds: Readonly<Record<string, OnnxTensor>>;
  readonly carried: Readonly<Record<string, string>>;
}

/** Passes through to the session and notes what it was given. */
class NotingSession implements Session {
  readonly steps: Step[] = [];
  readonly #session: Session;
  #last: Readonly<Record<string, Tensor>> = {};

  constructor(session: Session) {
    this.#session = session;
  }

  int64(ids: ArrayLike<number>, dims: readonly number[]): Tensor {
    return this.#session.int64(ids, dims);
  }

  int32(values: ArrayLike<number>, dims: readonly number[]): Tensor {
    return this.#session.int32(values, dims);
  }

  float32(values: Float32Array, dims: readonly number[]): Tensor {
    return this.#session.float32(values, dims);
  }

  tensor(type: string, data: TensorData, dims: readonly number[]): Tensor {
    return this.#session.tensor(type, data, dims);
  }

  async run(
    feeds: Readonly<Record<string, Tensor>>,
    outputs?: readonly string[],
  ): Promise<Readonly<Record<string, Tensor>>> {
    const nameOf = new Map(Object.entries(this.#last).map(([name, tensor]) => [tensor, name]));
    const given: Record<string, OnnxTensor> = {};
    const carried: Record<string, string> = {};
    for (const [name, tensor] of Object.entries(feeds)) {
      const output = nameOf.get(tensor);
      // Every tensor of the port is one of the runtime's.
      if (output === undefined) given[name] = tensor as OnnxTensor;
      else carried[name] = output;
    }
    this.steps.push({ feeds: given, carried });
    this.#last = await this.#session.run(feeds, outputs);
    return this.#last;
  }
}

/** The agent's options (edge-agent/src/engine/onnx-session.ts), said again so that the baseline stands alone. */
function createSession({ directory, threads }: RawModel): Promise<InferenceSession> {
  return InferenceSession.create(join(directory, "model.onnx"), {
    intraOpNumThreads: threads,
    interOpNumThreads: 1,
    executionProviders: ["cpu"],
    graphOptimizationLevel: "all",
    logSeverityLevel: 3,
    extra: { session: { intra_op: { allow_spinning: "0" } } },
  });
}

const NO_HOOKS = { onProgress: () => undefined };

interface Prepared {
  readonly session: InferenceSession;
  readonly steps: readonly Step[];
  readonly pipeline: Pipeline;
  readonly batches: readonly (readonly PipelineItem[])[];
}
let prepared: Prepared | undefined;

async function prepare(model: RawModel, batches: readonly (readonly PipelineItem[])[]): Promise<RawAnswer> {
  const readJson = async (name: string): Promise<unknown> =>
    JSON.parse(await readFile(join(model.directory, name), "utf8"));
  const config = await readJson("pipeline.json");
  const loadSession = async (name: string) => {
    const options = { threads: model.threads, executionProviders: ["cpu"] } as const;
    return (await loadOnnxSession(join(model.directory, name), options)).session;
  };
  const files = { config, contextLength: model.contextLength, readJson, loadSession };
  const own = await loadSession("model.onnx");
  const noting = new NotingSession(own);
  const recorder = await createPipeline(noting, files);
  for (const batch of batches) await recorder.run(batch, NO_HOOKS);
  const { steps } = noting;
  prepared = {
    session: await createSession(model),
    steps,
    pipeline: await createPipeline(own, files),
    batches,
  };
  return { ms: 0, runs: steps.length, feeds: feedsOf(steps[0]) };
}

function feedsOf(step: Step | undefined): Feeds {
  const entries = Object.entries(step?.feeds ?? {}).map(([name, { type, data, dims }]) => [
    name,
    { type, data, dims },
  ]);
  return Object.fromEntries(entries);
}

async function runGraph({ session, steps }: Prepared): Promise<void> {
  let last: InferenceSession.ReturnType | undefined;
  for (const { feeds, carried } of steps) {
    const all: Record<string, OnnxTensor> = { ...feeds };
    for (const [name, output] of Object.entries(carried)) {
      const tensor = last?.[output];
      if (tensor !== undefined) all[name] = tensor;
    }
    last = await session.run(all);
  }
}

async function runPipeline({ pipeline, batches }: Prepared): Promise<void> {
  for (const batch of batches) await pipeline.run(batch, NO_HOOKS);
}

async function create(model: RawModel, feeds: Feeds): Promise<void> {
  const session = await createSession(model);
  const tensors = Object.entries(feeds).map(([name, { type, data, dims }]) => [
    name,
    // One overload per type; the pair comes from one tensor.
    new OnnxTensor(type as "float32", data as Float32Array, dims),
  ]);
  await session.run(Object.fromEntries(tensors));
}

async function answer(request: RawRequest): Promise<RawAnswer> {
  if (request.kind === "prepare") return prepare(request.model, request.batches);
  const start = performance.now();
  if (request.kind === "create") await create(request.model, request.feeds);
  else if (prepared === undefined) throw new Error("nothing is prepared");
  else await (request.kind === "graph" ? runGraph(prepared) : runPipeline(prepared));
  return { ms: performance.now() - start };
}

answerRequests(answer);
