import type { ItemResult } from "@autoglm/api";
import type { PipelineResult } from "../pipelines/pipeline.ts";
import { toJsonNumbers } from "../pipelines/tensor-data.ts";

/** What stands in a task's result: tensors as numbers. */
export function itemOutputOf(result: PipelineResult): Pick<ItemResult, "output" | "error"> {
  if ("error" in result) return { error: result.error };
  if (result.tensors === undefined || result.output.type !== "tensor") return { output: result.output };
  const outputs = result.tensors.map((tensor) => ({
    name: tensor.name,
    datatype: tensor.datatype,
    shape: [...tensor.shape],
    data: toJsonNumbers(tensor),
  }));
  return { output: { ...result.output, outputs } };
}
