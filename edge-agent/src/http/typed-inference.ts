/**
 * `POST /v1/infer {"type", "model", "inputs", "parameters"}`: any task type, its inputs and results as in a task.
 *
 * An input is a text, or an object: {"text"}, with further named texts ({"question", "context"}); {"media": {"type",
 * "data": base64}} for images and sound; {"inputs": [...]} as in the Open Inference Protocol for tensors.
 */
import { typesOfParameter, workSpecSchema, type TaskType } from "@autoglm/api";
import { z } from "zod";
import type { Engine } from "../engine/index.ts";
import { itemOutputOf } from "../engine/index.ts";
import type { Parameters, PipelineItem } from "../pipelines/pipeline.ts";
import { tensorsOfText } from "../pipelines/tensor-request.ts";
import type { Exchange } from "./exchange.ts";
import { parseJson } from "./inference-request.ts";
import type { ModelDirectory, ServedEntry } from "./model-directory.ts";
import { answerItems } from "./online-answer.ts";
import { HttpProblem } from "./problems.ts";
import { taskTypeOf } from "./task-type.ts";

interface TypedInferenceDependencies {
  readonly engine: Engine;
  readonly models: ModelDirectory;
  readonly timeoutMs: number;
}

const MAX_INPUTS = 256;

const mediaSchema = z.strictObject({ type: z.string().regex(/^[a-z]+\/[\w.+-]+$/), data: z.base64() });
const inputSchema = z.union([z.string(), z.record(z.string(), z.unknown())], {
  error: "a text or an object is expected",
});
const requestSchema = z.strictObject({
  type: z.string().optional(),
  model: z.string().min(1),
  variant: z.string().min(1).optional(),
  inputs: z.union([z.string(), z.array(inputSchema).min(1).max(MAX_INPUTS)], {
    error: `a text, or a list of 1 to ${MAX_INPUTS} inputs is expected`,
  }),
  /** What a node ignores in a task, from an operator that is newer, is a mistake here. */
  parameters: workSpecSchema.shape.parameters.strict().optional(),
  /** Milliseconds to wait for a process. */
  timeout: z.int().min(1).optional(),
  /** 1 is the most urgent. */
  priority: z.int().min(1).optional(),
});

export async function serveTypedInference(
  { engine, models, timeoutMs }: TypedInferenceDependencies,
  exchange: Exchange,
  body: Buffer,
): Promise<void> {
  const parsed = requestSchema.safeParse(parseJson(body.toString("utf8")));
  if (!parsed.success) throw asProblem(parsed.error);
  const { model, variant, inputs, parameters = {}, timeout = timeoutMs, priority, type: asked } = parsed.data;
  const entry = models.find(model, variant);
  exchange.model = entry.model.name;
  const type = await taskTypeOf(engine, entry, asked, exchange);
  checkParameters(type, parameters);
  const list = typeof inputs === "string" ? [inputs] : inputs;
  const items = list.map((input, index) => itemOf(entry, type, input, parameters, index));
  const deadline = exchange.startMs + Math.min(timeout, timeoutMs);
  const answers = await answerItems(engine, exchange, entry, items, { deadline, priority });
  const results = answers.map(({ result, ms }, item) => ({ item, ms, ...itemOutputOf(result) }));
  exchange.sendJson(JSON.stringify({ model: entry.model.name, variant: entry.model.variant, type, results }));
}

function asProblem({ issues }: z.ZodError): HttpProblem {
  const [issue] = issues;
  const field = issue?.path.join(".") ?? "";
  return new HttpProblem(
    400,
    `${field === "" ? "the body" : field}: ${issue?.message.slice(0, 200) ?? "is wrong"}`,
    field || undefined,
  );
}

/** A parameter that the type has no use for is refused, as in a task. */
function checkParameters(type: TaskType, parameters: Parameters): void {
  for (const name of Object.keys(parameters) as (keyof Parameters)[]) {
    if (parameters[name] !== undefined && !typesOfParameter(name).includes(type))
      throw new HttpProblem(400, `parameters.${name} means nothing to ${type}`, `parameters.${name}`);
  }
}

function itemOf(
  { contract, model }: ServedEntry,
  type: TaskType,
  input: z.infer<typeof inputSchema>,
  parameters: Parameters,
  index: number,
): PipelineItem {
  if (contract !== undefined) {
    const read = tensorsOfText(contract, typeof input === "string" ? input : JSON.stringify(input));
    if ("problem" in read)
      throw new HttpProblem(400, `inputs[${index}]: model "${model.name}": ${read.problem}`);
    return { type, text: "", tensors: read.tensors, parameters };
  }
  if (typeof input === "string") return { type, text: input, parameters };
  const { media: sentMedia, ...texts } = input;
  const fields: Record<string, string> = {};
  for (const [name, value] of Object.entries(texts)) {
    if (typeof value !== "string")
      throw new HttpProblem(400, `inputs[${index}].${name.slice(0, 60)} has to be a text`);
    fields[name] = value;
  }
  const { text = fields["context"] ?? "", ...others } = fields;
  if (sentMedia === undefined) return { type, text, fields: others, parameters };
  const media = mediaSchema.safeParse(sentMedia);
  if (!media.success)
    throw new HttpProblem(400, `inputs[${index}].media has to be {"type": "image/png", "data": base64}`);
  return {
    type,
    text,
    fields: others,
    media: { type: media.data.type, bytes: Buffer.from(media.data.data, "base64") },
    parameters,
  };
}
