import type { TensorDatatype } from "@autoglm/api";
import { z } from "zod";
import type { NamedTensor } from "./pipeline.ts";
import { DATATYPES } from "./tensor-data.ts";

/** Not the list of @autoglm/api, which is too large for an inference process. */
const datatypeSchema = z.custom<TensorDatatype>(
  (value) => typeof value === "string" && Object.hasOwn(DATATYPES, value),
  `must be one of ${Object.keys(DATATYPES).join(", ")}`,
);

const tensorSpecSchema = z.object({
  name: z.string().min(1),
  datatype: datatypeSchema,
  /** -1: any size. */
  shape: z.array(z.int().min(-1)).max(8),
});

const inputSpecSchema = tensorSpecSchema.extend({
  /** What a row is filled up with along the padded axis: 0 in a mask, the pad id in ids. */
  padValue: z.number().default(0),
});

/**
 * `pipeline.json` of a model that takes and gives tensors.
 *
 *     { "kind": "tensor", "batchAxis": 0, "paddedAxis": 1,
 *       "inputs": [{ "name": "input_ids", "datatype": "INT64", "shape": [-1, -1], "padValue": 0 }, …],
 *       "outputs": [{ "name": "embedding", "datatype": "FP32", "shape": [-1, 384] }] }
 *
 * With a batch axis, requests of several clients share a run: the model must treat rows independently. With a padded axis,
 * rows of different length are filled up to the longest of them: the model must not see what is filled in, which is
 * what an attention mask does. Outputs of any size (-1) on the padded axis are cut back to the length of their row.
 */
export const tensorConfigSchema = z
  .object({
    kind: z.literal("tensor"),
    inputs: z.array(inputSpecSchema).min(1).max(64),
    outputs: z.array(tensorSpecSchema).min(1).max(64),
    batchAxis: z.literal(0).nullable().default(null),
    paddedAxis: z.int().min(1).max(7).nullable().default(null),
    /** Most rows of one run. */
    maxBatch: z.int().min(1).max(4096).default(128),
    /** Most elements along the padded axis. */
    maxLength: z.int().min(1).default(512),
  })
  .superRefine((config, context) => {
    const refuse = (message: string) => context.addIssue({ code: "custom", message });
    const tensors = [...config.inputs, ...config.outputs];
    if (config.batchAxis !== null && tensors.some(({ shape }) => shape[0] !== -1))
      refuse("with batchAxis 0 the shape of every input and output begins with -1");
    if (config.paddedAxis === null) return;
    if (config.batchAxis === null) refuse("paddedAxis is for rows of a batch: set batchAxis as well");
    if (!config.inputs.some((input) => isPadded(input.shape, config.paddedAxis)))
      refuse("no input has the size -1 on the padded axis");
  });
export type TensorConfig = z.infer<typeof tensorConfigSchema>;
export type TensorSpec = z.infer<typeof tensorSpecSchema>;

export function isPadded(shape: readonly number[], paddedAxis: number | null): paddedAxis is number {
  return paddedAxis !== null && shape[paddedAxis] === -1;
}

export interface TensorSize {
  readonly rows: number;
  /** Along the padded axis; 1 without one. */
  readonly length: number;
}

/** What a request costs in a run. */
export function sizeOfTensors(config: TensorConfig, tensors: readonly NamedTensor[]): TensorSize {
  const rows = config.batchAxis === null ? 1 : (tensors[0]?.shape[0] ?? 1);
  if (config.paddedAxis === null) return { rows, length: 1 };
  const axis = config.paddedAxis;
  const index = config.inputs.findIndex(({ shape }) => isPadded(shape, axis));
  return { rows, length: tensors[index]?.shape[axis] ?? 1 };
}

/**
 * What is wrong with these inputs, in words that name the tensor, what is expected and what came; undefined when they
 * are what the model declares. They have to be in the order of the contract.
 */
export function problemWithTensors(
  config: TensorConfig,
  tensors: readonly NamedTensor[],
): string | undefined {
  for (let index = 0; index < config.inputs.length; index++) {
    const spec = config.inputs[index];
    const tensor = tensors[index];
    if (spec === undefined || tensor === undefined) return `input "${spec?.name}" is missing`;
    if (tensor.datatype !== spec.datatype)
      return `input "${spec.name}": datatype ${spec.datatype} is expected, ${tensor.datatype} was sent`;
    if (!matchesShape(spec.shape, tensor.shape))
      return `input "${spec.name}": shape ${shapeText(spec.shape)} is expected, ${shapeText(tensor.shape)} was sent`;
  }
  const { rows, length } = sizeOfTensors(config, tensors);
  if (config.batchAxis !== null) {
    if (rows > config.maxBatch) return `${rows} rows were sent, the model takes at most ${config.maxBatch}`;
    for (const { name, shape } of tensors)
      if (shape[0] !== rows)
        return `input "${name}": ${rows} rows are expected as in the first input, ${shape[0]} were sent`;
  }
  if (config.paddedAxis === null) return undefined;
  if (length > config.maxLength)
    return `${length} elements on axis ${config.paddedAxis} were sent, the model takes at most ${config.maxLength}`;
  for (let index = 0; index < config.inputs.length; index++) {
    const spec = config.inputs[index];
    const size = tensors[index]?.shape[config.paddedAxis];
    if (spec !== undefined && isPadded(spec.shape, config.paddedAxis) && size !== length)
      return `input "${spec.name}": size ${length} is expected on axis ${config.paddedAxis} as in the other inputs, ${size} was sent`;
  }
  return undefined;
}

function matchesShape(expected: readonly number[], got: readonly number[]): boolean {
  if (expected.length !== got.length) return false;
  for (let axis = 0; axis < expected.length; axis++) {
    const size = got[axis] ?? 0;
    if (size < 1 || (expected[axis] !== -1 && expected[axis] !== size)) return false;
  }
  return true;
}

export const shapeText = (shape: readonly number[]) => `[${shape.join(",")}]`;
