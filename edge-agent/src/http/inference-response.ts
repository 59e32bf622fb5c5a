/** Answers of the Open Inference Protocol, in JSON or with tensors as bytes behind it. */
import type { NamedTensor } from "../pipelines/pipeline.ts";
import { toJsonNumbers } from "../pipelines/tensor-data.ts";
import { floatsText } from "./floats-text.ts";
import type { InferenceRequest } from "./inference-request.ts";
import { HttpProblem } from "./problems.ts";

export interface AnswerHead {
  readonly model: string;
  readonly variant: string;
  readonly id: string | undefined;
}

export interface WrittenAnswer {
  readonly body: string | Buffer;
  /** Length of the JSON, where bytes follow. */
  readonly headerLength?: number;
}

export function writeAnswer(
  head: AnswerHead,
  tensors: readonly NamedTensor[],
  { outputs, wantsBinary }: Pick<InferenceRequest, "outputs" | "wantsBinary">,
): WrittenAnswer {
  let json = `{"model_name":${JSON.stringify(head.model)},"model_version":${JSON.stringify(head.variant)}`;
  if (head.id !== undefined) json += `,"id":${JSON.stringify(head.id)}`;
  json += ',"outputs":[';
  const binary: Uint8Array[] = [];
  const wanted = outputs ?? tensors.map(({ name }) => ({ name, binary: undefined }));
  for (let index = 0; index < wanted.length; index++) {
    const { name, binary: asBytes = wantsBinary } = wanted[index] ?? { name: "" };
    const tensor = tensors.find((candidate) => candidate.name === name);
    if (tensor === undefined)
      throw new HttpProblem(
        400,
        `outputs: the model has no output ${JSON.stringify(name.slice(0, 80))}; it has ${tensors.map((each) => each.name).join(", ")}`,
      );
    const { datatype, shape, data } = tensor;
    if (index > 0) json += ",";
    json += `{"name":${JSON.stringify(name)},"datatype":"${datatype}","shape":[${shape.join(",")}],`;
    if (asBytes) {
      binary.push(new Uint8Array(data.buffer, data.byteOffset, data.byteLength));
      json += `"parameters":{"binary_data_size":${data.byteLength}}}`;
    } else json += `"data":[${numbersText(tensor)}]}`;
  }
  json += "]}";
  if (binary.length === 0) return { body: json };
  const header = Buffer.from(json, "utf8");
  return { body: Buffer.concat([header, ...binary]), headerLength: header.length };
}

/** Elements with commas between; NaN and the infinities, which JSON lacks, as null. */
function numbersText(tensor: NamedTensor): string {
  const { data } = tensor;
  if (data instanceof Float32Array) return floatsText(data);
  if (tensor.datatype === "BOOL" || tensor.datatype === "FP16")
    return toJsonNumbers(tensor).map(finite).join(",");
  if (data instanceof Float64Array) return Array.from(data, finite).join(",");
  return data.join(",");
}

const finite = (value: number | boolean) =>
  typeof value === "number" && !Number.isFinite(value) ? "null" : value;
