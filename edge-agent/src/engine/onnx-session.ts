import { InferenceSession, Tensor as OnnxTensor } from "onnxruntime-node";
import { PipelineFailure } from "../pipelines/failure.ts";
import { fallbackReason } from "./fallback-reason.ts";
import type { GraphSignature, GraphTensor, Session, Tensor, TensorData } from "../pipelines/pipeline.ts";

export type ExecutionProvider = "cpu" | "cuda";

export interface OnnxSessionOptions {
  /** Intra-op threads of this session. */
  readonly threads: number;
  /** Tried in this order; ONNX Runtime falls back to the next for what a provider can't run. */
  readonly executionProviders: readonly ExecutionProvider[];
  /**
   * A waiting thread spins instead of sleeping: the next part of a run begins sooner, and whatever else runs on the device
   * has a core less meanwhile. Default false.
   */
  readonly spinning?: boolean;
}

export interface LoadedSession {
  readonly session: Session;
  readonly provider: ExecutionProvider;
  /** Why the first provider that was asked for is not the one. */
  readonly fallbackReason?: string;
}

/**
 * A graph loaded in this process. Loading and running block the event loop: only for a process that does nothing else.
 * Where a provider can't be had (no driver, no card, libraries that are not installed) the next one is taken.
 * @throws PipelineFailure `ModelLoadFailed` for a file that is no model, or one that this runtime can't run
 */
export async function loadOnnxSession(file: string, options: OnnxSessionOptions): Promise<LoadedSession> {
  const { executionProviders } = options;
  const [first = "cpu"] = executionProviders;
  try {
    return { session: await createSession(file, options, executionProviders), provider: first };
  } catch (cause) {
    const others = executionProviders.slice(1);
    if (others.length === 0)
      throw new PipelineFailure("ModelLoadFailed", "ONNX Runtime can't load the model", { cause });
    const loaded = await loadOnnxSession(file, { ...options, executionProviders: others });
    return { ...loaded, fallbackReason: fallbackReason(first, cause) };
  }
}

/**
 * The fused kernel of bias and GELU is slower on processors than the addition and the GELU that it stands for: without it
 * runs of MiniLM in fp32 take 2 % less, at 8 × 32 tokens as at 2 × 128 and 16 × 16 (onnxruntime 1.30, AVX-512).
 */
const CPU_OPTIMIZATION = { disable_specified_optimizers: "BiasGeluFusion" };

async function createSession(
  file: string,
  { threads, spinning = false }: OnnxSessionOptions,
  executionProviders: readonly ExecutionProvider[],
): Promise<Session> {
  const session = await InferenceSession.create(file, {
    intraOpNumThreads: threads,
    interOpNumThreads: 1,
    executionProviders: [...executionProviders],
    graphOptimizationLevel: "all",
    logSeverityLevel: 3,
    extra: {
      session: { intra_op: { allow_spinning: spinning ? "1" : "0" } },
      ...(executionProviders.every((name) => name === "cpu") && { optimization: CPU_OPTIMIZATION }),
    },
  });
  return new OnnxSession(session);
}

/** Sequences and maps are no tensors: no pipeline knows them. */
function graphTensorOf(metadata: InferenceSession.ValueMetadata): readonly GraphTensor[] {
  return metadata.isTensor ? [{ name: metadata.name, type: metadata.type, shape: metadata.shape }] : [];
}

class OnnxSession implements Session {
  readonly signature: GraphSignature;
  readonly #session: InferenceSession;

  constructor(session: InferenceSession) {
    this.#session = session;
    this.signature = {
      inputs: session.inputMetadata.flatMap(graphTensorOf),
      outputs: session.outputMetadata.flatMap(graphTensorOf),
    };
  }

  int64(ids: ArrayLike<number>, dims: readonly number[]): Tensor {
    const wide = new BigInt64Array(ids.length);
    // Low halves of the elements: four times faster than a BigInt each. Ids are not negative.
    const halves = new Int32Array(wide.buffer);
    for (let index = 0; index < ids.length; index++) halves[2 * index] = ids[index] ?? 0;
    return new OnnxTensor("int64", wide, dims);
  }

  int32(values: ArrayLike<number>, dims: readonly number[]): Tensor {
    return new OnnxTensor("int32", Int32Array.from(values), dims);
  }

  float32(values: Float32Array, dims: readonly number[]): Tensor {
    return new OnnxTensor("float32", values, dims);
  }

  tensor(type: string, data: TensorData, dims: readonly number[]): Tensor {
    if (type === "float16") return halfTensor(data, dims);
    // The runtime's types are narrower than its constructor, which checks the array against the type.
    return new OnnxTensor(type as "float32", data as Float32Array, dims);
  }

  async run(
    feeds: Readonly<Record<string, Tensor>>,
    outputs?: readonly string[],
  ): Promise<Readonly<Record<string, Tensor>>> {
    try {
      // Every tensor of the port was made above or came out of a run.
      const given = feeds as Record<string, OnnxTensor>;
      return await (outputs === undefined ? this.#session.run(given) : this.#session.run(given, outputs));
    } catch (cause) {
      throw new PipelineFailure("InferenceFailed", "ONNX Runtime can't run the model on this input", {
        cause,
      });
    }
  }
}

/**
 * The class puts half-precision floats into a Float16Array, which the runtime's native part does not know ("not enough
 * space: expected 6, got 0", onnxruntime-node 1.30.0 on Node.js 24): it reads the bits of a Uint16Array well.
 */
function halfTensor(bits: TensorData, dims: readonly number[]): Tensor {
  const tensor = new OnnxTensor("uint16", bits as Uint16Array, dims);
  return Object.defineProperty(tensor, "type", { value: "float16" });
}
