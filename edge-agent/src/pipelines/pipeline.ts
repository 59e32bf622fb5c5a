import type { ItemOutput, TaskType, TensorDatatype, WorkPrompt, WorkSpec } from "@autoglm/api";
import { PipelineFailure } from "./failure.ts";

/** A tensor of the runtime; `data` is row-major. Outputs may be fed back in as they are. */
export interface Tensor {
  readonly dims: readonly number[];
  readonly data: unknown;
}

/** A tensor that a graph takes or gives; a size that it leaves open is a name. */
export interface GraphTensor {
  readonly name: string;
  /** The runtime's own name of the datatype. */
  readonly type: string;
  readonly shape: readonly (number | string)[];
}

export interface GraphSignature {
  readonly inputs: readonly GraphTensor[];
  readonly outputs: readonly GraphTensor[];
}

/** A loaded graph; the port that keeps the runtime out of the pipelines. */
export interface Session {
  /** What the graph itself says that it takes and gives. */
  readonly signature?: GraphSignature | undefined;
  int64(ids: ArrayLike<number>, dims: readonly number[]): Tensor;
  int32(values: ArrayLike<number>, dims: readonly number[]): Tensor;
  float32(values: Float32Array, dims: readonly number[]): Tensor;
  /** @param type the runtime's own name of the datatype */
  tensor(type: string, data: TensorData, dims: readonly number[]): Tensor;
  /** @param outputs what is fetched of the outputs; all of them when left out */
  run(
    feeds: Readonly<Record<string, Tensor>>,
    outputs?: readonly string[],
  ): Promise<Readonly<Record<string, Tensor>>>;
}

export type Parameters = WorkSpec["parameters"];

/** A tensor on the way between a client and the graph. */
export interface NamedTensor {
  readonly name: string;
  /** As in the Open Inference Protocol. */
  readonly datatype: TensorDatatype;
  readonly shape: readonly number[];
  /** Row-major; the typed array of the datatype, BOOL as Uint8Array and FP16 as Uint16Array of bits. */
  readonly data: TensorData;
}
export type TensorData =
  | Uint8Array
  | Int8Array
  | Int16Array
  | Uint16Array
  | Int32Array
  | Uint32Array
  | BigInt64Array
  | BigUint64Array
  | Float32Array
  | Float64Array;

export interface ChatMessage {
  readonly role: "system" | "user" | "assistant";
  readonly content: string;
}

/** What an image or a sound is, by its content. */
export interface Media {
  readonly type: string;
  readonly bytes: Uint8Array;
}

export interface PipelineItem {
  /** What is asked; one of the pipeline's task types. */
  readonly type: TaskType;
  /** Empty for media and tensors. */
  readonly text: string;
  /** Other named texts of the record: question, context. */
  readonly fields?: Readonly<Record<string, string>> | undefined;
  readonly media?: Media | undefined;
  readonly tensors?: readonly NamedTensor[] | undefined;
  /** A whole conversation in place of `text`. */
  readonly messages?: readonly ChatMessage[] | undefined;
  /** How a generating model is asked. */
  readonly prompt?: WorkPrompt | undefined;
  readonly parameters: Parameters;
}

export type PipelineResult =
  | { readonly output: ItemOutput; readonly tensors?: readonly NamedTensor[] }
  | {
      readonly error: {
        readonly code: "ItemInvalid" | "ItemTooLong" | "AnswerInvalid";
        readonly message: string;
      };
    };

export interface RunHooks {
  /** Called when a long run has come further, so that it is not taken for hung. */
  readonly onProgress: () => void;
  /** Text that item `index` of the run has come to, as it is decoded; only where somebody listens. */
  readonly onToken?: ((index: number, text: string) => void) | undefined;
  /** Nobody waits for the run any more: a long one may end with what it has. */
  readonly isOver?: (() => boolean) | undefined;
}

/** Item in, structured result out: tokenizing, the graph, and what comes after it. */
export interface Pipeline {
  readonly taskTypes: readonly TaskType[];
  /** All that a text classifier can answer; undefined where a task names the labels, or there are none. */
  readonly labels?: readonly string[] | undefined;
  readonly batching: {
    /** Most items of one run; 1 where rows can't share a run. */
    readonly maxItems: number;
    /** Units of an item that cost something; what is beyond is cut off or refused before the graph. */
    readonly maxLength: number;
    /**
     * Calls of `run` may overlap, and what they have in work shares its steps, however long each of it is: up to `maxItems`
     * items are given to the pipeline one by one.
     */
    readonly overlaps?: boolean;
  };
  /** An item to warm up with, of `length` units; where there is none, a text. */
  readonly sample?: ((length: number) => PipelineItem) | undefined;
  /** One result per item, in order; an item that can't be answered has an error. */
  run(items: readonly PipelineItem[], hooks: RunHooks): Promise<readonly PipelineResult[]>;
}

/** What stands in `pipeline.json` beside the graph, checked by the pipeline that it names. */
export interface PipelineFiles {
  readonly config: unknown;
  readonly contextLength: number;
  /** Parses another JSON file of the model. */
  readonly readJson: (name: string) => Promise<unknown>;
  /** Loads another graph of the model, with the options of the first. */
  readonly loadSession: (name: string) => Promise<Session>;
}

export const EMPTY_TEXT: PipelineResult = {
  error: { code: "ItemInvalid", message: "empty text" },
};

/** The floats of an output. @throws PipelineFailure for a graph with other outputs */
export function floatsOf(outputs: Readonly<Record<string, Tensor>>, name: string): Float32Array {
  const data = outputs[name]?.data;
  if (data instanceof Float32Array) return data;
  throw new PipelineFailure("ModelLoadFailed", `the model has no float32 output ${name}`, { final: true });
}

/** Six decimals: what float32 sums of another batch composition still agree on. */
export function roundScore(score: number): number {
  return Math.min(1, Math.max(0, Math.round(score * 1e6) / 1e6));
}
