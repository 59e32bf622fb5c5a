/** A process with one decoder, for hack/bench/generation.ts: the agent's pipeline and a plain loop over the same graph. */
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { InferenceSession, Tensor } from "onnxruntime-node";
import { type ExecutionProvider, loadOnnxSession } from "../../edge-agent/src/engine/onnx-session.ts";
import { kvDecoderConfigSchema } from "../../edge-agent/src/pipelines/config.ts";
import { KvDecoder } from "../../edge-agent/src/pipelines/kv-decoder.ts";
import type { Parameters } from "../../edge-agent/src/pipelines/pipeline.ts";
import { answerRequests } from "./asked-process.ts";
import { memoryOf } from "./proc.ts";

export type GenerationRequest =
  | {
      readonly kind: "load";
      readonly directory: string;
      readonly contextLength: number;
      readonly threads: number;
      readonly executionProviders: readonly ExecutionProvider[];
    }
  /** All texts in one run. */
  | { readonly kind: "batch"; readonly texts: readonly string[]; readonly parameters: Parameters }
  /** One text after the other. */
  | { readonly kind: "sequence"; readonly texts: readonly string[]; readonly parameters: Parameters }
  /** The plain loop, `tokens` of them, greedy. */
  | { readonly kind: "bare"; readonly text: string; readonly tokens: number };

export interface GenerationAnswer {
  readonly ms: number;
  readonly tokens: number;
  /** Until the first piece of text of the first item. */
  readonly firstMs: number;
  readonly rssBytes: number;
}

interface Loaded {
  readonly decoder: KvDecoder;
  readonly plain: InferenceSession;
  readonly layers: number;
  readonly kvHeads: number;
  readonly headDim: number;
}
let loaded: Loaded | undefined;

async function load(request: Extract<GenerationRequest, { kind: "load" }>): Promise<Loaded> {
  const { directory, threads, contextLength, executionProviders } = request;
  const readJson = async (name: string): Promise<unknown> =>
    JSON.parse(await readFile(join(directory, name), "utf8"));
  const file = join(directory, "model.onnx");
  const { session } = await loadOnnxSession(file, { threads, executionProviders });
  const config = kvDecoderConfigSchema.parse(await readJson("pipeline.json"));
  const loadSession = async (name: string) =>
    (await loadOnnxSession(join(directory, name), { threads, executionProviders })).session;
  const decoder = await KvDecoder.create(session, config, { config, contextLength, readJson, loadSession });
  // The agent's options (edge-agent/src/engine/onnx-session.ts), said again so that the baseline stands alone.
  const plain = await InferenceSession.create(file, {
    intraOpNumThreads: threads,
    interOpNumThreads: 1,
    executionProviders: [...executionProviders],
    graphOptimizationLevel: "all",
    logSeverityLevel: 3,
    extra: { session: { intra_op: { allow_spinning: "0" } } },
  });
  const { layers, kvHeads, headDim } = config;
  return { decoder, plain, layers, kvHeads, headDim };
}

/** What an example of onnxruntime-node does: `present` goes in again as `past`, the largest logit is the next token. */
async function runBare({ decoder, plain, layers, kvHeads, headDim }: Loaded, text: string, tokens: number) {
  const int64 = (values: readonly number[]) =>
    new Tensor("int64", BigInt64Array.from(values, BigInt), [1, values.length]);
  const names = Array.from({ length: layers }, (_, layer) => [`${layer}.key`, `${layer}.value`]).flat();
  const outputs = ["logits", ...names.map((name) => `present.${name}`)];
  let ids = decoder.prompt.encode([{ role: "user", content: text }]);
  let past: Record<string, Tensor> = Object.fromEntries(
    names.map((name) => [
      `past_key_values.${name}`,
      new Tensor("float32", new Float32Array(0), [1, kvHeads, 0, headDim]),
    ]),
  );
  let length = 0;
  const start = performance.now();
  let firstMs = 0;
  for (let count = 0; count < tokens; count++) {
    length += ids.length;
    const feeds = {
      input_ids: int64(ids),
      attention_mask: int64(Array<number>(length).fill(1)),
      logits_at: int64([ids.length - 1]),
      ...past,
    };
    const result = await plain.run(feeds, outputs);
    past = Object.fromEntries(
      names.map((name) => [`past_key_values.${name}`, tensorOf(result, `present.${name}`)]),
    );
    const logits = tensorOf(result, "logits").data as Float32Array;
    let best = 0;
    for (let id = 1; id < logits.length; id++) if ((logits[id] ?? 0) > (logits[best] ?? 0)) best = id;
    ids = [best];
    if (count === 0) firstMs = performance.now() - start;
  }
  return { ms: performance.now() - start, tokens, firstMs };
}

function tensorOf(result: InferenceSession.OnnxValueMapType, name: string): Tensor {
  const value = result[name];
  if (!(value instanceof Tensor)) throw new Error(`the graph has no output ${name}`);
  return value;
}

async function runOwn(
  { decoder }: Loaded,
  batches: readonly (readonly string[])[],
  parameters: Parameters,
): Promise<Omit<GenerationAnswer, "rssBytes">> {
  const start = performance.now();
  let firstMs = 0;
  let tokens = 0;
  const onToken = () => {
    firstMs ||= performance.now() - start;
  };
  for (const texts of batches) {
    const items = texts.map((text) => ({ type: "text-generation", text, parameters }) as const);
    for (const result of await decoder.run(items, { onProgress: () => undefined, onToken })) {
      if ("output" in result && result.output.type === "text-generation")
        tokens += result.output.completion_tokens;
    }
  }
  return { ms: performance.now() - start, tokens, firstMs };
}

async function answer(request: GenerationRequest): Promise<GenerationAnswer> {
  const withMemory = (figures: Omit<GenerationAnswer, "rssBytes">) => ({
    ...figures,
    rssBytes: memoryOf(process.pid).rssBytes,
  });
  if (request.kind === "load") {
    const start = performance.now();
    loaded = await load(request);
    return withMemory({ ms: performance.now() - start, tokens: 0, firstMs: 0 });
  }
  if (loaded === undefined) throw new Error("no model is loaded");
  if (request.kind === "bare") return withMemory(await runBare(loaded, request.text, request.tokens));
  const batches = request.kind === "batch" ? [request.texts] : request.texts.map((text) => [text]);
  return withMemory(await runOwn(loaded, batches, request.parameters));
}

answerRequests(answer);
