/** Requests of the Open Inference Protocol: JSON, or JSON with tensors as bytes behind it (its binary tensor extension). */
import { readInput, isRecord, type SentData, type SentInput } from "../pipelines/tensor-request.ts";
import { scanBody, type ScannedArray } from "./number-scanner.ts";
import { HttpProblem } from "./problems.ts";

export interface InferenceRequest {
  readonly id: string | undefined;
  readonly inputs: readonly SentInput[];
  /** Names of outputs that are wanted, with whether as bytes; undefined: all. */
  readonly outputs: readonly WantedOutput[] | undefined;
  /** All outputs as bytes, unless an output says otherwise. */
  readonly wantsBinary: boolean;
  /** Microseconds; 0 or absent: the agent's own. */
  readonly timeoutUs: number | undefined;
  /** 1 is the most urgent; 0 or absent: the default. */
  readonly priority: number | undefined;
  readonly parameters: Readonly<Record<string, unknown>>;
}

interface WantedOutput {
  readonly name: string;
  readonly binary: boolean | undefined;
}

/**
 * @param headerLength of the header Inference-Header-Content-Length, when there are bytes behind the JSON
 * @throws HttpProblem 400
 */
export function readInferenceRequest(body: Buffer, headerLength: string | undefined): InferenceRequest {
  const jsonLength = headerLength === undefined ? body.length : Number(headerLength);
  if (!Number.isSafeInteger(jsonLength) || jsonLength < 0 || jsonLength > body.length)
    throw new HttpProblem(
      400,
      `Inference-Header-Content-Length: a number of bytes up to ${body.length}, the length of the body, is expected`,
    );
  const json = body.subarray(0, jsonLength);
  const bytes = body.subarray(jsonLength);
  const scanned = scanBody(json);
  const request = readParsed(parseJson(scanned.rest), new DataReader(scanned.arrays, bytes));
  // Digits that a float does not have are read in the slow way, by whoever wants them.
  const wantsAllDigits = scanned.arrays.some(({ isExact }) => !isExact) && request.inputs.some(isDouble);
  return wantsAllDigits ? readParsed(parseJson(json.toString("utf8")), new DataReader([], bytes)) : request;
}

const isDouble = ({ datatype }: SentInput) => datatype === "FP64";

function readParsed(parsed: unknown, reader: DataReader): InferenceRequest {
  if (!isRecord(parsed)) throw new HttpProblem(400, "the body has to be an object with inputs");
  const { id, inputs, outputs, parameters } = parsed;
  if (id !== undefined && typeof id !== "string") throw new HttpProblem(400, "id has to be a text");
  if (!Array.isArray(inputs) || inputs.length === 0)
    throw new HttpProblem(400, "inputs is missing: a list of {name, datatype, shape, data}");
  if (parameters !== undefined && !isRecord(parameters))
    throw new HttpProblem(400, "parameters has to be an object");
  const sent: SentInput[] = [];
  for (let index = 0; index < inputs.length; index++) {
    const value: unknown = inputs[index];
    const input = readInput(value, index);
    if (typeof input === "string") throw new HttpProblem(400, input);
    sent.push({ ...input, data: reader.read(value, input.name) });
  }
  reader.assertAllRead();
  const given = parameters ?? {};
  return {
    id,
    inputs: sent,
    outputs: readOutputs(outputs),
    wantsBinary: given["binary_data_output"] === true,
    timeoutUs: readCount(given, "timeout"),
    priority: readCount(given, "priority"),
    parameters: given,
  };
}

/** @throws HttpProblem 400 */
export function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    // The parser's message may quote the input.
    throw new HttpProblem(400, "the body is no JSON");
  }
}

class DataReader {
  readonly #arrays: readonly ScannedArray[];
  readonly #bytes: Buffer;
  #nextArray = 0;
  #nextByte = 0;

  constructor(arrays: readonly ScannedArray[], bytes: Buffer) {
    this.#arrays = arrays;
    this.#bytes = bytes;
  }

  read(input: unknown, name: string): SentData {
    const { data, parameters } = isRecord(input) ? input : {};
    const size = isRecord(parameters) ? parameters["binary_data_size"] : undefined;
    if (size !== undefined) return { kind: "bytes", bytes: this.#take(size, name) };
    if (Array.isArray(data)) return { kind: "values", values: data };
    // The scanner puts the number of an array in its place.
    const array = data === this.#nextArray ? this.#arrays[this.#nextArray] : undefined;
    if (array === undefined)
      throw new HttpProblem(
        400,
        `input "${name}": data has to be a list, or parameters.binary_data_size to say how many bytes are its own`,
      );
    this.#nextArray++;
    return { kind: "numbers", values: array.values };
  }

  assertAllRead(): void {
    if (this.#nextArray !== this.#arrays.length)
      throw new HttpProblem(400, "data stands where it belongs to no input");
    const left = this.#bytes.length - this.#nextByte;
    if (left !== 0)
      throw new HttpProblem(
        400,
        `${left} bytes behind the JSON belong to no input: see parameters.binary_data_size`,
      );
  }

  #take(size: unknown, name: string): Buffer {
    const left = this.#bytes.length - this.#nextByte;
    if (typeof size !== "number" || !Number.isSafeInteger(size) || size < 0 || size > left)
      throw new HttpProblem(
        400,
        `input "${name}": binary_data_size is ${JSON.stringify(size)?.slice(0, 40)}, there are ${left} bytes behind the JSON (see Inference-Header-Content-Length)`,
      );
    return this.#bytes.subarray(this.#nextByte, (this.#nextByte += size));
  }
}

function readOutputs(value: unknown): readonly WantedOutput[] | undefined {
  if (value === undefined) return undefined;
  if (!Array.isArray(value)) throw new HttpProblem(400, "outputs has to be a list of {name}");
  if (value.length === 0) return undefined;
  return (value as readonly unknown[]).map((output, index) => {
    if (!isRecord(output) || typeof output["name"] !== "string")
      throw new HttpProblem(400, `outputs[${index}].name is missing`);
    const parameters = output["parameters"];
    const binary = isRecord(parameters) ? parameters["binary_data"] : undefined;
    return { name: output["name"], binary: typeof binary === "boolean" ? binary : undefined };
  });
}

function readCount(parameters: Readonly<Record<string, unknown>>, name: string): number | undefined {
  const value = parameters[name];
  if (value === undefined || value === 0) return undefined;
  if (typeof value === "number" && Number.isSafeInteger(value) && value > 0) return value;
  throw new HttpProblem(400, `parameters.${name} has to be a whole number from 0`);
}
