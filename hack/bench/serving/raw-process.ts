/**
 * The limit: onnxruntime-node with the rows of a workload in its memory, and nothing around it. Rows of one run have one
 * length, so nothing is padded.
 */
import { join } from "node:path";
import { InferenceSession, Tensor } from "onnxruntime-node";
import type { ExecutionProvider } from "../../../edge-agent/src/engine/onnx-session.ts";
import { answerRequests } from "../asked-process.ts";
import type { InferenceRequest } from "./workloads.ts";

export type RawRequest =
  | {
      readonly kind: "load";
      readonly directory: string;
      readonly threads: number;
      readonly executionProvider: ExecutionProvider;
      /** Each with rows of one length. */
      readonly batches: readonly (readonly InferenceRequest[])[];
    }
  | { readonly kind: "run"; readonly seconds: number };

export interface RawAnswer {
  readonly rows: number;
  readonly ms: number;
  readonly cpuMs: number;
}

type Feeds = Record<string, Tensor>;

interface Loaded {
  readonly session: InferenceSession;
  readonly feeds: readonly { readonly tensors: Feeds; readonly rows: number }[];
}
let loaded: Loaded | undefined;

function feedsOf(batch: readonly InferenceRequest[]): Feeds {
  const feeds: Feeds = {};
  for (const [index, { name, datatype, shape }] of (batch[0]?.inputs ?? []).entries()) {
    const values = batch.flatMap(({ inputs }) => inputs[index]?.data ?? []);
    const dims = [batch.length, ...shape.slice(1)];
    feeds[name] =
      datatype === "FP32"
        ? new Tensor("float32", Float32Array.from(values), dims)
        : new Tensor("int64", BigInt64Array.from(values, BigInt), dims);
  }
  return feeds;
}

async function answer(request: RawRequest): Promise<RawAnswer> {
  if (request.kind === "load") {
    const session = await InferenceSession.create(join(request.directory, "model.onnx"), {
      intraOpNumThreads: request.threads,
      interOpNumThreads: 1,
      executionProviders: [request.executionProvider],
    });
    const feeds = request.batches.map((batch) => ({ tensors: feedsOf(batch), rows: batch.length }));
    loaded = { session, feeds };
    for (const { tensors } of feeds.slice(0, 8)) await session.run(tensors);
    return { rows: 0, ms: 0, cpuMs: 0 };
  }
  if (loaded === undefined) throw new Error("nothing is loaded");
  const { session, feeds } = loaded;
  const start = performance.now();
  const cpu = process.cpuUsage();
  let rows = 0;
  for (let turn = 0; performance.now() - start < request.seconds * 1000; turn++) {
    const batch = feeds[turn % feeds.length];
    if (batch === undefined) break;
    await session.run(batch.tensors);
    rows += batch.rows;
  }
  const { user, system } = process.cpuUsage(cpu);
  return { rows, ms: performance.now() - start, cpuMs: (user + system) / 1000 };
}

answerRequests(answer);
