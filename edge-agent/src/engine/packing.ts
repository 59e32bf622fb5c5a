/**
 * Tensors of a message between the agent and an inference process, all in one buffer: the serialisation of a message costs
 * microseconds per object, so objects are few. Requests of one form share its description.
 */
import type { TensorDatatype } from "@autoglm/api";
import type { NamedTensor } from "../pipelines/pipeline.ts";
import { elementBytes, elementCount, viewTensorData } from "../pipelines/tensor-data.ts";

interface TensorForm {
  readonly name: string;
  readonly datatype: TensorDatatype;
  readonly shape: readonly number[];
}

export interface PackedTensors {
  /** Elements of all tensors in order, each tensor beginning on 8 bytes; float64 so that the buffer arrives aligned. */
  readonly buffer: Float64Array;
  readonly forms: readonly (readonly TensorForm[])[];
  /** For each item its position in `forms`. */
  readonly formOf: Uint16Array;
}

const words = (bytes: number) => (bytes + 7) >>> 3;

export function packTensors(items: readonly (readonly NamedTensor[])[]): PackedTensors {
  let size = 0;
  for (const tensors of items) for (const { data } of tensors) size += words(data.byteLength);
  const buffer = new Float64Array(size);
  const bytes = new Uint8Array(buffer.buffer);
  const forms: (readonly NamedTensor[])[] = [];
  const formOf = new Uint16Array(items.length);
  let at = 0;
  for (const [index, tensors] of items.entries()) {
    let form = forms.findIndex((known) => haveSameForm(known, tensors));
    if (form < 0) form = forms.push(tensors) - 1;
    formOf[index] = form;
    for (const { data } of tensors) {
      bytes.set(new Uint8Array(data.buffer, data.byteOffset, data.byteLength), at * 8);
      at += words(data.byteLength);
    }
  }
  return {
    buffer,
    forms: forms.map((tensors) => tensors.map(({ name, datatype, shape }) => ({ name, datatype, shape }))),
    formOf,
  };
}

/** Views into the buffer. */
export function unpackTensors({ buffer, forms, formOf }: PackedTensors): NamedTensor[][] {
  const items: NamedTensor[][] = [];
  // What arrives is a view into the message, never shared memory.
  const memory = buffer.buffer as ArrayBuffer;
  let byteOffset = buffer.byteOffset;
  for (const form of formOf) {
    const tensors: NamedTensor[] = [];
    for (const { name, datatype, shape } of forms[form] ?? []) {
      const length = elementCount(shape);
      tensors.push({ name, datatype, shape, data: viewTensorData(datatype, memory, byteOffset, length) });
      byteOffset += words(length * elementBytes(datatype)) * 8;
    }
    items.push(tensors);
  }
  return items;
}

function haveSameForm(a: readonly NamedTensor[], b: readonly NamedTensor[]): boolean {
  if (a.length !== b.length) return false;
  for (let index = 0; index < a.length; index++) {
    const one = a[index];
    const other = b[index];
    if (one === undefined || other === undefined) return false;
    if (one.name !== other.name || one.datatype !== other.datatype || one.shape.length !== other.shape.length)
      return false;
    for (let axis = 0; axis < one.shape.length; axis++)
      if (one.shape[axis] !== other.shape[axis]) return false;
  }
  return true;
}
