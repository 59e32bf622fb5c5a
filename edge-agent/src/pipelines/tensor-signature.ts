import type { GraphSignature, GraphTensor } from "./pipeline.ts";
import type { TensorConfig, TensorSpec } from "./tensor-contract.ts";
import { DATATYPES } from "./tensor-data.ts";

/**
 * How a contract differs from the graph that it is for, in words that name the tensor; undefined when it does not. A size
 * that the graph leaves open may be any in the contract, and -1 may stand for a fixed one of the graph nowhere.
 */
export function problemWithContract(config: TensorConfig, graph: GraphSignature): string | undefined {
  const missing = graph.inputs.find(({ name }) => !config.inputs.some((input) => input.name === name));
  if (missing !== undefined) {
    return `pipeline.json has no input ${missing.name}, and the graph needs it: ${describe(missing)}`;
  }
  for (const [side, declared, there] of [
    ["input", config.inputs, graph.inputs],
    ["output", config.outputs, graph.outputs],
  ] as const) {
    for (const spec of declared) {
      const tensor = there.find(({ name }) => name === spec.name);
      const names = there.map(({ name }) => name).join(", ");
      if (tensor === undefined) return `the graph has no ${side} ${spec.name}; it has: ${names}`;
      const problem = differenceOf(spec, tensor);
      if (problem !== undefined) return `${side} ${spec.name}: ${problem}`;
    }
  }
  return undefined;
}

function differenceOf({ datatype, shape }: TensorSpec, tensor: GraphTensor): string | undefined {
  const declared = `pipeline.json says ${datatype}[${shape.join(", ")}]`;
  const isSame =
    DATATYPES[datatype].onnx === tensor.type &&
    shape.length === tensor.shape.length &&
    shape.every((size, axis) => typeof tensor.shape[axis] === "string" || tensor.shape[axis] === size);
  return isSame ? undefined : `${declared}, the graph has ${describe(tensor)}`;
}

const describe = ({ type, shape }: GraphTensor) => `${type}[${shape.join(", ")}]`;
