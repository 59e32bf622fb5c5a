import { expect, it } from "vitest";
import { tensorConfigSchema } from "./tensor-contract.ts";
import { problemWithContract } from "./tensor-signature.ts";

const graph = {
  inputs: [{ name: "ids", type: "int64", shape: ["batch", "length"] }],
  outputs: [{ name: "y", type: "float32", shape: ["batch", 2] }],
};
const contract = (input: object, output: object = {}, more: readonly object[] = []) =>
  tensorConfigSchema.parse({
    kind: "tensor",
    inputs: [{ name: "ids", datatype: "INT64", shape: [-1, -1], ...input }, ...more],
    outputs: [{ name: "y", datatype: "FP32", shape: [-1, 2], ...output }],
  });

it.each([
  [contract({}), undefined],
  [contract({ shape: [1, 16] }), undefined],
  [contract({ name: "x" }), "pipeline.json has no input ids, and the graph needs it: int64[batch, length]"],
  [
    contract({ datatype: "INT32" }),
    "input ids: pipeline.json says INT32[-1, -1], the graph has int64[batch, length]",
  ],
  [contract({ shape: [-1] }), "input ids: pipeline.json says INT64[-1], the graph has int64[batch, length]"],
  [
    contract({}, { shape: [-1, 3] }),
    "output y: pipeline.json says FP32[-1, 3], the graph has float32[batch, 2]",
  ],
  [contract({}, { name: "z" }), "the graph has no output z; it has: y"],
  [
    contract({}, {}, [{ name: "extra", datatype: "FP32", shape: [1] }]),
    "the graph has no input extra; it has: ids",
  ],
])("compares a contract with its graph: %#", (config, problem) => {
  expect(problemWithContract(config, graph)).toBe(problem);
});
