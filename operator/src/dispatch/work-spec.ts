/** What a node needs for a task, as bytes under their digests: the specification, and its input in parts. */
import { createHash } from "node:crypto";
import {
  encodeMessage,
  MAX_BODY_BYTES,
  parseQuantityBytes,
  WIRE_VERSION,
  workSpecSchema,
  type AutoGLMModel,
  type AutoGLMTask,
  type GatePolicy,
  type Gating,
  type ModelVariant,
  type TaskType,
  type WorkInput,
  type WorkModel,
  type WorkPrompt,
} from "@autoglm/api";

export interface Blob {
  readonly digest: string;
  readonly bytes: Uint8Array;
}

export interface Work {
  readonly spec: Blob;
  readonly parts: readonly Blob[];
}

export interface WorkFacts {
  readonly task: AutoGLMTask;
  readonly type: TaskType;
  readonly model: AutoGLMModel;
  readonly variant: ModelVariant;
  readonly standInFor?: string | undefined;
  readonly prompts?: readonly WorkPrompt[] | undefined;
  /** The model behind the gate, where the task has one. */
  readonly deep?: { readonly model: AutoGLMModel; readonly variant: ModelVariant } | undefined;
  /** Text of the ConfigMap's key, where the input is one. */
  readonly document?: string | undefined;
  /** Where models come from by digest. */
  readonly modelServerUrl: string;
}

/** Equal facts give equal bytes: the digest of the specification tells whether the work is still the same. */
export function buildWork(facts: WorkFacts): Work {
  const { task, type, model, variant, standInFor, prompts, deep, modelServerUrl } = facts;
  const { input, parts } = inputOf(task, facts.document ?? "");
  const { preprocess, parameters, gating, dataClass } = task.spec;
  const bytes = encodeMessage(workSpecSchema, {
    v: WIRE_VERSION,
    task: { uid: task.metadata.uid, namespace: task.metadata.namespace ?? "", name: task.metadata.name },
    type,
    model: workModelOf(model, variant, modelServerUrl),
    ...(standInFor !== undefined && { standInFor }),
    input,
    ...(preprocess !== undefined && { preprocess }),
    ...(prompts !== undefined && prompts.length > 0 && { prompts: [...prompts] }),
    parameters: { ...parameters },
    ...(gating !== undefined &&
      deep !== undefined && {
        gating: { deep: workModelOf(deep.model, deep.variant, modelServerUrl), policy: policyOf(gating) },
      }),
    ...(dataClass === "SiteOnly" && { siteOnly: true }),
  });
  return { spec: blobOf(bytes), parts };
}

const policyOf = ({ model: _model, ...policy }: Gating): GatePolicy => policy;

function workModelOf(model: AutoGLMModel, variant: ModelVariant, modelServerUrl: string): WorkModel {
  const { endpoint, files = [] } = variant;
  const common = {
    name: model.metadata.name,
    variant: variant.name,
    contextLength: variant.contextLength,
    memoryBytes: parseQuantityBytes(variant.memory),
  };
  if (endpoint !== undefined) return { ...common, runtime: "openai", endpoint };
  return {
    ...common,
    runtime: "onnx",
    files: files.map(({ path, sha256, sizeBytes, uri }) => ({
      path,
      sha256,
      sizeBytes,
      urls: [...(uri === undefined ? [] : [uri]), `${modelServerUrl}/models/sha256/${sha256}`],
    })),
  };
}

function inputOf(
  task: AutoGLMTask,
  document: string,
): { readonly input: WorkInput; readonly parts: readonly Blob[] } {
  const { input, inputFormat: format, inputField } = task.spec;
  const field = inputField === undefined ? {} : { field: inputField };
  if (input.file !== undefined)
    return { input: { kind: "file", path: input.file, format, ...field }, parts: [] };
  if (input.url !== undefined) return { input: { kind: "url", url: input.url, format, ...field }, parts: [] };
  if (input.objectRef !== undefined)
    return { input: { kind: "object", ...input.objectRef, format, ...field }, parts: [] };
  const text = input.inline === undefined ? document : JSON.stringify(input.inline);
  const parts = split(new TextEncoder().encode(text));
  const digests = parts.map(({ digest }) => digest);
  return input.inline === undefined
    ? { input: { kind: "document", parts: digests, format, ...field }, parts }
    : { input: { kind: "items", parts: digests }, parts };
}

function split(bytes: Uint8Array): readonly Blob[] {
  const parts: Blob[] = [];
  for (let from = 0; from < bytes.length; from += MAX_BODY_BYTES) {
    parts.push(blobOf(bytes.subarray(from, from + MAX_BODY_BYTES)));
  }
  return parts;
}

function blobOf(bytes: Uint8Array): Blob {
  return { digest: createHash("sha256").update(bytes).digest("hex"), bytes };
}
