import type { TensorDatatype } from "@autoglm/api";
import type { NamedTensor, TensorData } from "./pipeline.ts";

type TensorArray = { readonly BYTES_PER_ELEMENT: number } & (new (
  buffer: ArrayBuffer,
  byteOffset: number,
  length: number,
) => TensorData);

interface Datatype {
  readonly array: TensorArray;
  /** Name of the type in ONNX Runtime. */
  readonly onnx: string;
}

export const DATATYPES: Readonly<Record<TensorDatatype, Datatype>> = {
  BOOL: { array: Uint8Array, onnx: "bool" },
  UINT8: { array: Uint8Array, onnx: "uint8" },
  INT8: { array: Int8Array, onnx: "int8" },
  INT16: { array: Int16Array, onnx: "int16" },
  UINT16: { array: Uint16Array, onnx: "uint16" },
  INT32: { array: Int32Array, onnx: "int32" },
  UINT32: { array: Uint32Array, onnx: "uint32" },
  INT64: { array: BigInt64Array, onnx: "int64" },
  UINT64: { array: BigUint64Array, onnx: "uint64" },
  FP16: { array: Uint16Array, onnx: "float16" },
  FP32: { array: Float32Array, onnx: "float32" },
  FP64: { array: Float64Array, onnx: "float64" },
};

export function newTensorData(datatype: TensorDatatype, length: number): TensorData {
  const { array: TypedArray } = DATATYPES[datatype];
  return new TypedArray(new ArrayBuffer(length * TypedArray.BYTES_PER_ELEMENT), 0, length);
}

/** A view of `length` elements; the offset has to be a multiple of their size. */
export function viewTensorData(
  datatype: TensorDatatype,
  buffer: ArrayBuffer,
  byteOffset: number,
  length: number,
): TensorData {
  return new DATATYPES[datatype].array(buffer, byteOffset, length);
}

export function elementBytes(datatype: TensorDatatype): number {
  return DATATYPES[datatype].array.BYTES_PER_ELEMENT;
}

export function elementCount(shape: readonly number[]): number {
  let count = 1;
  for (const size of shape) count *= size;
  return count;
}

/** The same array class, so that one can be copied into the other. */
export function copyTensorData(target: TensorData, source: TensorData, at: number): void {
  // Both are of one datatype, which the type system can't see through the union.
  (target as Float32Array).set(source as Float32Array, at);
}

/** Elements as JSON has them. An integer beyond 2^53 is rounded, as every reader of JSON would do. */
export function toJsonNumbers({ datatype, data }: NamedTensor): (number | boolean)[] {
  if (datatype === "BOOL") return Array.from(data as Uint8Array, (value) => value !== 0);
  if (datatype === "FP16") return Array.from(halves(data), Number);
  return Array.from<number | bigint, number>(data, Number);
}

/** Half-precision floats behind their bits. */
function halves(bits: TensorData): Float16Array {
  return new Float16Array(bits.buffer, bits.byteOffset, bits.length);
}
