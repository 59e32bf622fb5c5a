import { PipelineFailure } from "./failure.ts";
import type { NamedTensor, Pipeline, PipelineItem, PipelineResult, Session, TensorData } from "./pipeline.ts";
import {
  isPadded,
  problemWithTensors,
  sizeOfTensors,
  type TensorConfig,
  type TensorSize,
  type TensorSpec,
} from "./tensor-contract.ts";
import { DATATYPES, copyTensorData, elementCount, newTensorData } from "./tensor-data.ts";

interface Entry {
  /** In the run. */
  readonly index: number;
  readonly tensors: readonly NamedTensor[];
  readonly size: TensorSize;
}

/** How a tensor of a batch lies in memory: rows × outer blocks, each of `length` × `inner` elements. */
interface Layout {
  readonly outer: number;
  readonly inner: number;
  readonly isPadded: boolean;
}

/**
 * Any graph with declared inputs and outputs (tensor-contract.ts). Requests with the same sizes on the axes that are
 * neither batch nor padded share a run: rows are stacked, filled up along the padded axis, and cut out of the outputs again.
 */
export class TensorPipeline implements Pipeline {
  readonly taskTypes = ["tensor"] as const;
  readonly batching: Pipeline["batching"];
  readonly #session: Session;
  readonly #config: TensorConfig;

  constructor(session: Session, config: TensorConfig) {
    this.#session = session;
    this.#config = config;
    const maxItems = config.batchAxis === null ? 1 : config.maxBatch;
    this.batching = { maxItems, maxLength: config.paddedAxis === null ? 1 : config.maxLength };
  }

  async run(items: readonly PipelineItem[]): Promise<readonly PipelineResult[]> {
    const results: PipelineResult[] = [];
    const groups = new Map<string, Entry[]>();
    for (const [index, { tensors = [] }] of items.entries()) {
      const message = problemWithTensors(this.#config, tensors);
      if (message !== undefined) {
        results[index] = { error: { code: "ItemInvalid", message } };
        continue;
      }
      const key = this.#config.batchAxis === null ? String(index) : this.#freeSizes(tensors);
      const group = groups.get(key);
      const entry = { index, tensors, size: sizeOfTensors(this.#config, tensors) };
      if (group === undefined) groups.set(key, [entry]);
      else group.push(entry);
    }
    for (const group of groups.values()) {
      for (const [position, tensors] of (await this.#runGroup(group)).entries()) {
        const index = group[position]?.index ?? 0;
        results[index] = { output: { type: "tensor", outputs: [], scoreSource: "none" }, tensors };
      }
    }
    return results;
  }

  /** Sizes that have to be equal in a run. */
  #freeSizes(tensors: readonly NamedTensor[]): string {
    const { inputs, paddedAxis } = this.#config;
    let key = "";
    for (let index = 0; index < inputs.length; index++) {
      const expected = inputs[index]?.shape ?? [];
      for (let axis = 1; axis < expected.length; axis++)
        if (expected[axis] === -1 && axis !== paddedAxis) key += `${tensors[index]?.shape[axis]},`;
    }
    return key;
  }

  async #runGroup(group: readonly Entry[]): Promise<readonly (readonly NamedTensor[])[]> {
    let rows = 0;
    let longest = 1;
    for (const { size } of group) {
      rows += size.rows;
      longest = Math.max(longest, size.length);
    }
    const feeds: Record<string, ReturnType<Session["tensor"]>> = {};
    for (const [index, spec] of this.#config.inputs.entries()) {
      const { data, shape } = this.#stack(group, index, rows, longest);
      feeds[spec.name] = this.#session.tensor(DATATYPES[spec.datatype].onnx, data, shape);
    }
    const outputs = await this.#session.run(feeds);
    const cut: NamedTensor[][] = group.map(() => []);
    for (const spec of this.#config.outputs) {
      const tensor = outputs[spec.name];
      const data = tensor === undefined ? undefined : bitsOf(tensor.data);
      if (tensor === undefined || !(data instanceof DATATYPES[spec.datatype].array))
        throw new PipelineFailure(
          "ModelLoadFailed",
          `the model has no ${spec.datatype} output ${spec.name}`,
          {
            final: true,
          },
        );
      this.#unstack(group, spec, { dims: tensor.dims, data }, longest).forEach((part, position) =>
        cut[position]?.push(part),
      );
    }
    return cut;
  }

  /** One input of all requests of a run. */
  #stack(group: readonly Entry[], input: number, rows: number, longest: number) {
    const spec = this.#config.inputs[input];
    const first = group[0]?.tensors[input];
    if (spec === undefined || first === undefined) throw new Error("no such input");
    if (group.length === 1) return first;
    const shape = first.shape.with(0, rows);
    const { outer, inner, isPadded: padded } = this.#layout(spec, first.shape);
    if (padded && this.#config.paddedAxis !== null) shape[this.#config.paddedAxis] = longest;
    const data = newTensorData(spec.datatype, elementCount(shape));
    const needsPadding = padded && group.some(({ size }) => size.length !== longest);
    if (needsPadding) fill(data, spec.padValue);
    let row = 0;
    for (const { tensors, size } of group) {
      const source = tensors[input]?.data;
      if (source === undefined) continue;
      if (!needsPadding || size.length === longest) copyTensorData(data, source, (row * data.length) / rows);
      else
        for (let block = 0; block < size.rows * outer; block++) {
          const part = source.subarray(block * size.length * inner, (block + 1) * size.length * inner);
          copyTensorData(data, part, (row * outer + block) * longest * inner);
        }
      row += size.rows;
    }
    return { data, shape };
  }

  /** One output, cut up for the requests of a run. */
  #unstack(
    group: readonly Entry[],
    spec: TensorSpec,
    { dims, data }: { readonly dims: readonly number[]; readonly data: TensorData },
    longest: number,
  ): readonly NamedTensor[] {
    const { name, datatype } = spec;
    if (this.#config.batchAxis === null) return [{ name, datatype, shape: dims, data }];
    const { outer, inner, isPadded: padded } = this.#layout(spec, dims);
    const perRow = data.length / (dims[0] ?? 1);
    let row = 0;
    return group.map(({ size }) => {
      const shape = dims.with(0, size.rows);
      const whole = data.subarray(row * perRow, (row + size.rows) * perRow);
      row += size.rows;
      // An output whose size is not that of the inputs has nothing to do with their padding.
      if (!padded || size.length === longest || dims[this.#config.paddedAxis ?? 0] !== longest)
        return { name, datatype, shape, data: whole };
      shape[this.#config.paddedAxis ?? 0] = size.length;
      const part = newTensorData(datatype, elementCount(shape));
      for (let block = 0; block < size.rows * outer; block++) {
        const from = block * longest * inner;
        copyTensorData(part, whole.subarray(from, from + size.length * inner), block * size.length * inner);
      }
      return { name, datatype, shape, data: part };
    });
  }

  #layout(spec: TensorSpec, shape: readonly number[]): Layout {
    const { paddedAxis } = this.#config;
    if (!isPadded(spec.shape, paddedAxis)) return { outer: 1, inner: 1, isPadded: false };
    return {
      outer: elementCount(shape.slice(1, paddedAxis)),
      inner: elementCount(shape.slice(paddedAxis + 1)),
      isPadded: true,
    };
  }
}

/** The runtime gives half-precision floats in an array of their own; on the way they are bits. */
function bitsOf(data: unknown): unknown {
  return data instanceof Float16Array ? new Uint16Array(data.buffer, data.byteOffset, data.length) : data;
}

function fill(data: TensorData, value: number): void {
  if (data instanceof BigInt64Array || data instanceof BigUint64Array) data.fill(BigInt(value));
  else data.fill(value);
}
