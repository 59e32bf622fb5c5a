import { expect, test } from "vitest";
import type { OutputOf } from "@autoglm/api";
import type { PipelineFiles, PipelineItem, Session, Tensor } from "./pipeline.ts";
import { TextEncoderClassifier } from "./text-encoder-classifier.ts";
import type { TextEncoderClassifierConfig, TextEncoderConfig } from "./text-encoder-config.ts";
import { TextEncoder } from "./text-encoder.ts";
import { TextTokenizer } from "./text-tokenizer.ts";

const WORDS = [
  "[PAD]",
  "[UNK]",
  "[CLS]",
  "[SEP]",
  "a",
  "b",
  "c",
  "query",
  ":",
  "passage",
  "[",
  "]",
  "sep",
  "##c",
];

/** A WordPiece tokenizer.json of {@link WORDS}; an id is the place in the list. */
const tokenizerFile = {
  added_tokens: [0, 1, 2, 3].map((id) => ({ id, content: WORDS[id] ?? "", special: true })),
  normalizer: { type: "BertNormalizer", clean_text: true, handle_chinese_chars: true, lowercase: true },
  pre_tokenizer: { type: "BertPreTokenizer" },
  post_processor: {
    type: "TemplateProcessing",
    single: [
      { SpecialToken: { id: "[CLS]", type_id: 0 } },
      { Sequence: { id: "A", type_id: 0 } },
      { SpecialToken: { id: "[SEP]", type_id: 0 } },
    ],
    pair: [],
    special_tokens: {
      "[CLS]": { id: "[CLS]", ids: [2], tokens: ["[CLS]"] },
      "[SEP]": { id: "[SEP]", ids: [3], tokens: ["[SEP]"] },
    },
  },
  decoder: { type: "WordPiece", prefix: "##", cleanup: true },
  model: {
    type: "WordPiece",
    unk_token: "[UNK]",
    continuing_subword_prefix: "##",
    max_input_chars_per_word: 100,
    vocab: Object.fromEntries(WORDS.map((word, id) => [word, id])),
  },
};

const files: PipelineFiles = {
  config: {},
  contextLength: 6,
  readJson: async () => tokenizerFile,
  loadSession: () => Promise.reject(new Error("an encoder has one graph")),
};

const inputs = {
  inputs: { ids: "ids", mask: "mask", types: "types" },
  output: "out",
  maxTokens: 8,
  padId: 0,
  prefixes: [] as string[],
};
const config: TextEncoderConfig = { kind: "text-encoder", ...inputs, dimensions: 2 };

/** A graph that keeps what it was fed and answers row `r` with [3, 4 + r]. */
function fakeSession() {
  const fed: Record<string, Tensor>[] = [];
  const tensor = (data: unknown, dims: readonly number[]): Tensor => ({ data, dims });
  const session: Session = {
    int64: tensor,
    int32: tensor,
    float32: tensor,
    tensor: (_, data, dims) => tensor(data, dims),
    run: async (feeds) => {
      fed.push({ ...feeds });
      const rows = feeds["ids"]?.dims[0] ?? 0;
      const data = Float32Array.from({ length: 2 * rows }, (_, at) => (at % 2 === 0 ? 3 : 4 + (at >> 1)));
      return { out: tensor(data, [rows, 2]) };
    },
  };
  return { session, fed };
}

const item = (text: string, parameters: PipelineItem["parameters"] = {}): PipelineItem => ({
  type: "feature-extraction",
  text,
  parameters,
});

test("pads to the longest text and hides the padding; texts without a character are left out", async () => {
  const { session, fed } = fakeSession();
  const encoder = await TextEncoder.create(session, config, files);
  const results = await encoder.run([item("a"), item(" \n"), item("b a x")]);
  expect(fed).toEqual([
    {
      ids: { dims: [2, 5], data: Int32Array.from([2, 4, 3, 0, 0, 2, 5, 4, 1, 3]) },
      mask: { dims: [2, 5], data: Uint8Array.from([1, 1, 1, 0, 0, 1, 1, 1, 1, 1]) },
      types: { dims: [2, 5], data: new Uint8Array(10) },
    },
  ]);
  expect(results.map((result) => "error" in result)).toEqual([false, true, false]);
});

test("an embedding has length 1 unless that is declined", async () => {
  const encoder = await TextEncoder.create(fakeSession().session, config, files);
  const [unit, raw] = await encoder.run([item("a"), item("b", { normalize: false })]);
  expect(unit).toMatchObject({ output: { embedding: [0.6, 0.8], scoreSource: "none" } });
  expect(raw).toMatchObject({ output: { embedding: [3, 5] } });
});

test("a text gets the first opening unless it has one", async () => {
  const { session, fed } = fakeSession();
  const prefixes = ["query: ", "passage: "];
  const encoder = await TextEncoder.create(session, { ...config, prefixes }, files);
  await encoder.run([item("a"), item("passage: b")]);
  expect(fed[0]?.["ids"]?.data).toEqual(Int32Array.from([2, 7, 8, 4, 3, 2, 9, 8, 5, 3]));
});

test("a text is cut at the tokens of the context, with the control tokens kept", () => {
  const tokenizer = new TextTokenizer(tokenizerFile, 6);
  expect(tokenizer.encode("a b c a b c a b c")).toEqual([2, 4, 5, 6, 4, 3]);
  expect(tokenizer.encode("a ".repeat(100_000))).toEqual([2, 4, 4, 4, 4, 3]);
  expect(tokenizer.encode("")).toEqual([2, 3]);
});

test("a control token in a text is its characters", () => {
  const tokenizer = new TextTokenizer(tokenizerFile, 12);
  expect(tokenizer.encode("a[SEP]b")).toEqual([2, 4, 10, 12, 11, 5, 3]);
});

test("a model without sentences for labels serves embeddings alone, one with them asks for labels", async () => {
  const plain = await TextEncoder.create(fakeSession().session, config, files);
  expect(plain.taskTypes).toEqual(["feature-extraction"]);
  const judged = { hypothesis: "{}", temperature: 0.1, other: "c", slope: 1, offset: 0 };
  const zeroShot = { han: judged, other: judged };
  const encoder = await TextEncoder.create(fakeSession().session, { ...config, zeroShot }, files);
  const [asked, without] = await encoder.run([
    { ...item("a"), type: "zero-shot-classification", parameters: { candidateLabels: ["a", "b"] } },
    { ...item("a"), type: "zero-shot-classification" },
  ]);
  expect(asked).toMatchObject({
    output: { type: "zero-shot-classification", labels: [{ label: "a" }, { label: "b" }] },
  });
  expect(without).toMatchObject({ error: { code: "ItemInvalid" } });
});

test("a classifier answers each text with its labels, as many as are asked for", async () => {
  const kind: TextEncoderClassifierConfig = {
    kind: "text-encoder-classifier",
    ...inputs,
    labels: ["x", "y"],
  };
  const classifier = await TextEncoderClassifier.create(fakeSession().session, kind, files);
  // The fake graph's outputs are no probabilities: both are cut to 1.
  const [all, one] = (await classifier.run([item("a"), item("b", { topK: 1 })])).map((result) =>
    "output" in result ? (result.output as OutputOf<"text-classification">).labels.length : 0,
  );
  expect([all, one]).toEqual([2, 1]);
});
