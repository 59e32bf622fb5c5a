/** Tensors out of the JSON of the Open Inference Protocol, checked against what the model declares. */
import type { TensorDatatype } from "@autoglm/api";
import type { NamedTensor, TensorData } from "./pipeline.ts";
import { problemWithTensors, shapeText, type TensorConfig } from "./tensor-contract.ts";
import { DATATYPES, elementCount } from "./tensor-data.ts";

/** An input as it was sent; `data` is what a reader made of it. */
export interface SentInput {
  readonly name: string;
  readonly datatype: string;
  readonly shape: readonly number[];
  readonly data: SentData;
}

export type SentData =
  /** Read number by number. */
  | { readonly kind: "numbers"; readonly values: Float64Array }
  /** Values of JSON: numbers, truth values, texts, or arrays of them. */
  | { readonly kind: "values"; readonly values: readonly unknown[] }
  /** Little-endian elements, one after the other. */
  | { readonly kind: "bytes"; readonly bytes: Uint8Array };

export type TensorsOrProblem =
  | { readonly tensors: readonly NamedTensor[] }
  /** In words for the sender. */
  | { readonly problem: string };

/** The inputs in the order of the contract. */
export function tensorsOfInputs(config: TensorConfig, sent: readonly SentInput[]): TensorsOrProblem {
  const tensors: NamedTensor[] = [];
  for (let index = 0; index < config.inputs.length; index++) {
    const spec = config.inputs[index];
    const inPlace = sent[index];
    const input = inPlace?.name === spec?.name ? inPlace : sent.find(({ name }) => name === spec?.name);
    if (spec === undefined || input === undefined)
      return { problem: `input "${spec?.name}" is missing; ${expected(config)}` };
    const { name, datatype, shape, data } = input;
    if (datatype !== spec.datatype)
      return {
        problem: `input "${name}": datatype ${spec.datatype} is expected, ${quoted(datatype)} was sent`,
      };
    const count = elementCount(shape);
    const made = tensorData(spec.datatype, data, count);
    if (typeof made === "string")
      return { problem: `input "${name}": ${made} (shape ${shapeText(shape)}, datatype ${datatype})` };
    tensors.push({ name, datatype: spec.datatype, shape, data: made });
  }
  if (sent.length > config.inputs.length) {
    const unknown = sent.find(({ name }) => !config.inputs.some((spec) => spec.name === name));
    if (unknown === undefined) return { problem: "an input was sent twice" };
    return { problem: `input ${quoted(unknown.name)} is none of this model; ${expected(config)}` };
  }
  const problem = problemWithTensors(config, tensors);
  return problem === undefined ? { tensors } : { problem };
}

/** Of a task's item: `{"inputs": [...]}`, or the list of inputs alone. */
export function tensorsOfText(config: TensorConfig, text: string): TensorsOrProblem {
  let parsed: unknown;
  try {
    parsed = JSON.parse(text);
  } catch {
    return {
      problem: 'the text is no JSON; it has to be {"inputs": [{"name", "datatype", "shape", "data"}]}',
    };
  }
  const list = Array.isArray(parsed) ? parsed : isRecord(parsed) ? parsed["inputs"] : undefined;
  if (!Array.isArray(list)) return { problem: "inputs is missing, a list of {name, datatype, shape, data}" };
  const inputs: SentInput[] = [];
  for (const [index, value] of (list as readonly unknown[]).entries()) {
    const input = readInput(value, index);
    if (typeof input === "string") return { problem: input };
    const data: unknown = isRecord(value) ? value["data"] : undefined;
    if (!Array.isArray(data)) return { problem: `input "${input.name}": data has to be a list` };
    inputs.push({ ...input, data: { kind: "values", values: data } });
  }
  return tensorsOfInputs(config, inputs);
}

/** Name, datatype and shape of an input, or what is wrong with them. */
export function readInput(value: unknown, index: number): Omit<SentInput, "data"> | string {
  if (!isRecord(value)) return `inputs[${index}] has to be an object with name, datatype, shape and data`;
  const { name, datatype, shape } = value;
  if (typeof name !== "string") return `inputs[${index}].name is missing`;
  if (typeof datatype !== "string") return `input ${quoted(name)}: datatype is missing`;
  if (!isShape(shape)) return `input ${quoted(name)}: shape has to be a list of whole numbers from 0`;
  return { name, datatype, shape };
}

const MAX_ELEMENTS = 2 ** 31;

function isShape(value: unknown): value is readonly number[] {
  if (!Array.isArray(value) || value.length > 8) return false;
  let count = 1;
  for (const size of value as readonly unknown[]) {
    if (typeof size !== "number" || !Number.isSafeInteger(size) || size < 0) return false;
    count *= size;
  }
  return count <= MAX_ELEMENTS;
}

export function isRecord(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

const quoted = (text: string) => JSON.stringify(text.length > 80 ? `${text.slice(0, 80)}…` : text);

function expected({ inputs }: TensorConfig): string {
  return `expected: ${inputs.map(({ name, datatype, shape }) => `"${name}" ${datatype} ${shapeText(shape)}`).join(", ")}`;
}

/** The typed array, or what is wrong. */
function tensorData(datatype: TensorDatatype, data: SentData, count: number): TensorData | string {
  if (data.kind === "bytes") return ofBytes(datatype, data.bytes, count);
  const { values } = data;
  if (data.kind === "numbers" && values.length === count) return ofNumbers(datatype, data.values);
  const flat: readonly unknown[] = data.kind === "values" ? flatten(data.values) : Array.from(data.values);
  if (flat.length !== count) return `the shape asks for ${count} elements, data has ${flat.length}`;
  return ofValues(datatype, flat);
}

function flatten(values: readonly unknown[]): readonly unknown[] {
  return values.some((value) => Array.isArray(value)) ? values.flat(8) : values;
}

function ofBytes(datatype: TensorDatatype, bytes: Uint8Array, count: number): TensorData | string {
  const { array: TypedArray } = DATATYPES[datatype];
  const size = count * TypedArray.BYTES_PER_ELEMENT;
  if (bytes.length !== size) return `the shape asks for ${size} bytes, ${bytes.length} were sent`;
  // A copy: the bytes may begin anywhere in the body, and the body need not be kept for them.
  return new TypedArray(new Uint8Array(bytes).buffer, 0, count);
}

/** Smallest and largest element of the integer types. */
const RANGES: Partial<Record<TensorDatatype, readonly [number, number]>> = {
  BOOL: [0, 1],
  UINT8: [0, 255],
  INT8: [-128, 127],
  INT16: [-32_768, 32_767],
  UINT16: [0, 65_535],
  INT32: [-2_147_483_648, 2_147_483_647],
  UINT32: [0, 4_294_967_295],
  INT64: [-Number.MAX_SAFE_INTEGER, Number.MAX_SAFE_INTEGER],
  UINT64: [0, Number.MAX_SAFE_INTEGER],
};

function ofNumbers(datatype: TensorDatatype, values: Float64Array): TensorData | string {
  if (datatype === "FP32") return new Float32Array(values);
  const range = RANGES[datatype];
  if (range !== undefined) {
    const wrong = outOfRange(values, range);
    if (wrong !== undefined) return `data[${wrong}] is no ${datatype}`;
  }
  switch (datatype) {
    case "INT64":
      return wide(values);
    case "UINT64":
      return new BigUint64Array(wide(values).buffer);
    case "FP16":
      return new Uint16Array(new Float16Array(values).buffer);
    case "BOOL":
    case "UINT8":
      return new Uint8Array(values);
    case "INT8":
      return new Int8Array(values);
    case "INT16":
      return new Int16Array(values);
    case "UINT16":
      return new Uint16Array(values);
    case "INT32":
      return new Int32Array(values);
    case "UINT32":
      return new Uint32Array(values);
    case "FP64":
      return values;
    default:
      throw new Error(`unknown datatype ${String(datatype satisfies never)}`);
  }
}

function outOfRange(values: Float64Array, [least, most]: readonly [number, number]): number | undefined {
  for (let index = 0; index < values.length; index++) {
    const value = values[index] ?? 0;
    if (!(value >= least && value <= most) || !Number.isInteger(value)) return index;
  }
  return undefined;
}

/** 64-bit integers, by halves where that is enough: a BigInt each takes four times as long. */
function wide(values: Float64Array): BigInt64Array<ArrayBuffer> {
  const result = new BigInt64Array(values.length);
  const halves = new Int32Array(result.buffer);
  for (let index = 0; index < values.length; index++) {
    const value = values[index] ?? 0;
    if (value >= 0 && value <= 0x7f_ff_ff_ff) halves[2 * index] = value;
    else result[index] = BigInt(value);
  }
  return result;
}

function ofValues(datatype: TensorDatatype, values: readonly unknown[]): TensorData | string {
  const numbers = new Float64Array(values.length);
  for (let index = 0; index < values.length; index++) {
    const value = values[index];
    if (typeof value === "number") numbers[index] = value;
    else if (typeof value === "boolean" && datatype === "BOOL") numbers[index] = value ? 1 : 0;
    else return `data[${index}] is no ${datatype}`;
  }
  return ofNumbers(datatype, numbers);
}
