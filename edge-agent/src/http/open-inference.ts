/**
 * The Open Inference Protocol (KServe's "v2"), for every model: those that take tensors by their declared inputs, the others
 * through one input "text" of datatype BYTES whose outputs are the JSON of their results.
 */
import type { AutoglmError } from "@autoglm/api";
import type { Engine, ItemOwner } from "../engine/index.ts";
import type { PipelineResult } from "../pipelines/pipeline.ts";
import { elementCount } from "../pipelines/tensor-data.ts";
import { tensorsOfInputs, type SentInput } from "../pipelines/tensor-request.ts";
import type { Exchange } from "./exchange.ts";
import { readInferenceRequest, type InferenceRequest } from "./inference-request.ts";
import { writeAnswer } from "./inference-response.ts";
import type { ServedEntry } from "./model-directory.ts";
import { answerItems } from "./online-answer.ts";
import { HttpProblem } from "./problems.ts";
import { taskTypeOf } from "./task-type.ts";

export interface InferDependencies {
  readonly engine: Engine;
  /** Longest wait for a process, where the request names no shorter one. */
  readonly timeoutMs: number;
}

export function infer(
  dependencies: InferDependencies,
  exchange: Exchange,
  entry: ServedEntry,
  body: Buffer,
): Promise<void> | undefined {
  const headerLength = exchange.request.headers["inference-header-content-length"];
  const request = readInferenceRequest(body, typeof headerLength === "string" ? headerLength : undefined);
  if (entry.contract === undefined) return inferTexts(dependencies, exchange, entry, request);
  const read = tensorsOfInputs(entry.contract, request.inputs);
  if ("problem" in read) throw new HttpProblem(400, `model "${entry.model.name}": ${read.problem}`);
  dependencies.engine.submit({
    model: entry.model,
    item: { type: "tensor", text: "", tensors: read.tensors, parameters: {} },
    priority: request.priority,
    deadline: deadlineOf(dependencies, exchange, request),
    owner: new TensorAnswer(exchange, entry, request),
  });
  return undefined;
}

/** Writes the answer of a request for tensors; no promise, since there are tens of thousands a second. */
class TensorAnswer implements ItemOwner {
  readonly #exchange: Exchange;
  readonly #entry: ServedEntry;
  readonly #request: InferenceRequest;

  constructor(exchange: Exchange, entry: ServedEntry, request: InferenceRequest) {
    this.#exchange = exchange;
    this.#entry = entry;
    this.#request = request;
  }

  get over(): boolean {
    return this.#exchange.over;
  }

  settle(result: PipelineResult): void {
    try {
      if ("error" in result)
        throw new HttpProblem(400, `model "${this.#entry.model.name}": ${result.error.message}`);
      const { name, variant } = this.#entry.model;
      const head = { model: name, variant, id: this.#request.id };
      const { body, headerLength } = writeAnswer(head, result.tensors ?? [], this.#request);
      if (headerLength === undefined) this.#exchange.send(200, "application/json", body);
      else
        this.#exchange.send(200, "application/octet-stream", body, {
          "inference-header-content-length": String(headerLength),
        });
    } catch (error) {
      this.#exchange.fail(error);
    }
  }

  fail(error: AutoglmError): void {
    this.#exchange.fail(error);
  }
}

async function inferTexts(
  dependencies: InferDependencies,
  exchange: Exchange,
  entry: ServedEntry,
  request: InferenceRequest,
): Promise<void> {
  const { name, variant } = entry.model;
  const texts = readTexts(request.inputs, name);
  const type = await taskTypeOf(dependencies.engine, entry, request.parameters["type"], exchange);
  const items = texts.map((text) => ({ type, text, parameters: {} }));
  const deadline = deadlineOf(dependencies, exchange, request);
  const { priority, id } = request;
  const answers = await answerItems(dependencies.engine, exchange, entry, items, { deadline, priority });
  const data = answers.map(({ result }) =>
    JSON.stringify("error" in result ? { error: result.error } : result.output),
  );
  exchange.sendJson(
    JSON.stringify({
      model_name: name,
      model_version: variant,
      ...(id !== undefined && { id }),
      outputs: [{ name: "output", datatype: "BYTES", shape: [data.length], data }],
    }),
  );
}

function readTexts(inputs: readonly SentInput[], model: string): readonly string[] {
  const [input] = inputs;
  if (input?.name !== "text" || inputs.length > 1)
    throw new HttpProblem(
      400,
      `model "${model}": one input "text" BYTES [-1] is expected, ${inputs
        .map(({ name }) => `"${name}"`)
        .join(", ")
        .slice(0, 200)} was sent`,
    );
  if (input.datatype !== "BYTES")
    throw new HttpProblem(
      400,
      `input "text": datatype BYTES is expected, ${input.datatype.slice(0, 40)} was sent`,
    );
  const texts =
    input.data.kind === "bytes"
      ? splitBytes(input.data.bytes)
      : input.data.kind === "values"
        ? input.data.values.flat(8)
        : [];
  if (texts.length !== elementCount(input.shape))
    throw new HttpProblem(
      400,
      `input "text": the shape asks for ${elementCount(input.shape)} texts, data has ${texts.length}`,
    );
  return texts.map((text, index) => {
    if (typeof text !== "string") throw new HttpProblem(400, `input "text": data[${index}] is no text`);
    return text;
  });
}

/** Each element of BYTES comes with its length before it, four bytes, little-endian. */
function splitBytes(bytes: Uint8Array): readonly string[] {
  const buffer = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const texts: string[] = [];
  for (let at = 0; at < buffer.length;) {
    const length = at + 4 <= buffer.length ? buffer.readUInt32LE(at) : Infinity;
    if (at + 4 + length > buffer.length)
      throw new HttpProblem(400, 'input "text": the bytes end within an element');
    texts.push(buffer.toString("utf8", at + 4, at + 4 + length));
    at += 4 + length;
  }
  return texts;
}

function deadlineOf(
  { timeoutMs }: InferDependencies,
  { startMs }: Exchange,
  { timeoutUs }: InferenceRequest,
): number {
  return startMs + (timeoutUs === undefined ? timeoutMs : Math.min(timeoutMs, timeoutUs / 1000));
}

/** Metadata of a model, as `GET /v2/models/{name}` gives it. */
export function describeModel(entry: ServedEntry, variants: readonly string[]): unknown {
  const { model, contract } = entry;
  const text = [{ name: "text", datatype: "BYTES", shape: [-1] }];
  const output = [{ name: "output", datatype: "BYTES", shape: [-1] }];
  const forms = (specs: NonNullable<typeof contract>["outputs"]) =>
    specs.map(({ name, datatype, shape }) => ({ name, datatype, shape }));
  return {
    name: model.name,
    versions: variants,
    platform: "onnxruntime_onnx",
    inputs: contract === undefined ? text : forms(contract.inputs),
    outputs: contract === undefined ? output : forms(contract.outputs),
  };
}
