import { mkdtemp, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import type { ItemOutput } from "@autoglm/api";
import { loadOnnxSession } from "../../../edge-agent/src/engine/onnx-session.ts";
import { createPipeline } from "../../../edge-agent/src/pipelines/create.ts";
import type { KvDecoder } from "../../../edge-agent/src/pipelines/kv-decoder.ts";
import { PromptedDecoder } from "../../../edge-agent/src/pipelines/prompted-decoder.ts";
import type { PipelineItem } from "../../../edge-agent/src/pipelines/pipeline.ts";
import { sampleModel } from "./models.ts";

type Generation = Extract<ItemOutput, { type: "text-generation" }>;

let folder: string;
let decoder: KvDecoder;

async function load(contextLength: number): Promise<KvDecoder> {
  const { directory } = await sampleModel(folder, "smollm2-135m-instruct", "int4");
  const readJson = async (name: string): Promise<unknown> =>
    JSON.parse(await readFile(path.join(directory, name), "utf8"));
  const loadSession = async (name: string) => {
    const options = { threads: 2, executionProviders: ["cpu"] } as const;
    return (await loadOnnxSession(path.join(directory, name), options)).session;
  };
  const files = { config: await readJson("pipeline.json"), contextLength, readJson, loadSession };
  const pipeline = await createPipeline(await loadSession("model.onnx"), files);
  if (!(pipeline instanceof PromptedDecoder)) throw new Error("smollm2 is no decoder");
  return pipeline.decoder;
}

beforeAll(async () => {
  folder = await mkdtemp(path.join(tmpdir(), "autoglm-decoder-"));
  decoder = await load(2048);
});
afterAll(() => rm(folder, { recursive: true }));

const item = (text: string, parameters: PipelineItem["parameters"] = {}): PipelineItem => ({
  type: "text-generation",
  text,
  parameters: { maxNewTokens: 10, ...parameters },
});

async function generate(
  items: readonly PipelineItem[],
  onToken?: (index: number, text: string) => void,
): Promise<Generation[]> {
  const results = await decoder.run(items, { onProgress: () => undefined, onToken });
  return results.map((result) => {
    if ("error" in result) throw new Error(result.error.message);
    return result.output as Generation;
  });
}

/** Logits are the same to the last bit, and so are the texts; a sum over the vocabulary may round otherwise. */
const withoutScore = (outputs: readonly Generation[]) =>
  outputs.map((output) => ({ ...output, score: null }));

const QUESTIONS = [
  "What is the capital of France?",
  "Hi",
  "Write one sentence about edge computing, please, and keep it as short as you can so that it fits on a page.",
  "List three colors.",
  "Name a fruit that is yellow and long.",
];

describe("a batch", () => {
  test("gives each row what it gets alone, greedy and sampled, however long its neighbours are", async () => {
    const items = [
      ...QUESTIONS.map((text) => item(text)),
      ...QUESTIONS.map((text, index) =>
        item(text, { temperature: 1, topK: 40, topP: 0.95, seed: index, maxNewTokens: 3 + 3 * index }),
      ),
    ];
    const alone: Generation[] = [];
    for (const one of items) alone.push(...(await generate([one])));
    // Ten rows in a batch of eight: two join when others have left.
    const together = await generate(items);
    expect(withoutScore(together)).toEqual(withoutScore(alone));
    for (const [index, { score }] of together.entries())
      expect(score ?? -1).toBeCloseTo(alone[index]?.score ?? 1, 5);
    // Runs that overlap share the steps.
    const [first, second] = await Promise.all([generate(items.slice(0, 4)), generate(items.slice(4))]);
    expect(withoutScore([...first, ...second])).toEqual(withoutScore(alone));
  });

  test("takes a long prompt in chunks while its neighbours go on, with the same answers", async () => {
    const long = `${"The keeper lights the lamp. ".repeat(50)} Who lights the lamp?`;
    const items = [
      item("Hi", { maxNewTokens: 16 }),
      item(long, { maxNewTokens: 4 }),
      item(QUESTIONS[0] ?? ""),
    ];
    const alone: Generation[] = [];
    for (const one of items) alone.push(...(await generate([one])));
    expect(alone[1]?.prompt_tokens).toBeGreaterThan(256);
    expect(withoutScore(await generate(items))).toEqual(withoutScore(alone));
  });

  test("streams each row's text in pieces that are its text, whole characters each", async () => {
    const pieces = new Map<number, string[]>();
    const items = [
      item("Answer with one emoji: a cat 😺"),
      item("Say: naïve café 中文", { maxNewTokens: 24 }),
    ];
    const outputs = await generate(items, (index, text) =>
      pieces.set(index, [...(pieces.get(index) ?? []), text]),
    );
    for (const [index, { generated_text }] of outputs.entries()) {
      const own = pieces.get(index) ?? [];
      expect(own.join("")).toBe(generated_text);
      expect(own.length).toBeGreaterThan(1);
      for (const piece of own) expect(piece.isWellFormed()).toBe(true);
    }
  });

  test("a stop text ends a row, is no part of it and never streamed, not even its beginning", async () => {
    const [whole] = await generate([item("Count from one to ten.", { maxNewTokens: 20 })]);
    const text = whole?.generated_text ?? "";
    const stop = text.slice(8, 14);
    let streamed = "";
    const parameters = { maxNewTokens: 20, stop: [stop] };
    const [stopped] = await generate([item("Count from one to ten.", parameters)], (_, piece) => {
      streamed += piece;
    });
    expect(stopped).toMatchObject({
      generated_text: text.slice(0, text.indexOf(stop)),
      finish_reason: "stop",
    });
    expect(streamed).toBe(stopped?.generated_text);
  });
});

test("a conversation has all its messages, and a system message replaces the template's own", async () => {
  const talk = (messages: PipelineItem["messages"]) => generate([{ ...item(""), messages }]);
  const [one] = await talk([{ role: "user", content: "Hi" }]);
  const [three] = await talk([
    { role: "user", content: "Hi" },
    { role: "assistant", content: "Hello!" },
    { role: "user", content: "Hi" },
  ]);
  const [short] = await talk([
    { role: "system", content: "Hi" },
    { role: "user", content: "Hi" },
  ]);
  expect(three?.prompt_tokens).toBeGreaterThan((one?.prompt_tokens ?? 0) + 8);
  expect(short?.prompt_tokens).toBeLessThan(one?.prompt_tokens ?? 0);
  expect((await generate([item("Hi")]))[0]).toEqual(one);
});

test("a prompt that leaves no room for an answer is refused with both sizes, and its neighbour is answered", async () => {
  const small = await load(64);
  const items = [item("word ".repeat(60)), item("x".repeat(64 * 32 + 1)), item("Hi"), item(" ")];
  const [long, unread, short, empty] = await small.run(items, { onProgress: () => undefined });
  expect(long).toMatchObject({
    error: {
      code: "ItemTooLong",
      message: expect.stringMatching(
        /^the prompt has \d+ tokens, the model takes 64 tokens with the answer$/,
      ),
    },
  });
  expect(unread).toMatchObject({ error: { message: expect.stringContaining("2049 characters") } });
  expect(short).toHaveProperty("output");
  expect(empty).toMatchObject({ error: { code: "ItemInvalid" } });
});

test("the score of a continuation is the sum of what the model gives its tokens one after the other", async () => {
  const promptIds = decoder.prompt.encode([{ role: "user", content: "Is the sky blue? Answer yes or no." }]);
  const words = ["Yes", "No", "Yes, the sky is blue."].map((word) => decoder.prompt.encodeText(word));
  const [yes, no, sentence] = await decoder.scoreContinuations(promptIds, words, () => undefined);
  expect([yes?.tokens, no?.tokens, sentence?.tokens]).toEqual(words.map(({ length }) => length));
  // Each token behind a prompt that holds the ones before it.
  let chained = 0;
  for (const [index, id] of (words[2] ?? []).entries()) {
    const before = [...promptIds, ...(words[2] ?? []).slice(0, index)];
    const [score] = await decoder.scoreContinuations(before, [[id]], () => undefined);
    chained += score?.logprob ?? 0;
  }
  expect(sentence?.logprob).toBeCloseTo(chained, 4);
  // The first tokens are all the vocabulary's: what they hold together is one.
  const all = Array.from({ length: 49_152 }, (_, id) => [id]);
  const scores = await decoder.scoreContinuations(promptIds, all, () => undefined);
  expect(scores.reduce((sum, { logprob }) => sum + Math.exp(logprob), 0)).toBeCloseTo(1, 4);
});
