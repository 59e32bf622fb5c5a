import { mkdtemp, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import type { ItemResult, OutputOf } from "@autoglm/api";
import type { Engine } from "../../../edge-agent/src/engine/index.ts";
import { TextTokenizer } from "../../../edge-agent/src/pipelines/text-tokenizer.ts";
import { collect, infer, startEngine } from "./harness.ts";
import { readVectors, sampleModel } from "./models.ts";

let folder: string;
let engine: Engine & AsyncDisposable;

beforeAll(async () => {
  folder = await mkdtemp(path.join(tmpdir(), "autoglm-encoders-"));
  engine = startEngine();
});
afterAll(async () => {
  await engine.close();
  await rm(folder, { recursive: true });
});

interface EmbeddingVectors {
  readonly leastCosine: number;
  readonly cases: readonly {
    readonly text: string;
    readonly ids: readonly number[];
    readonly embeddings: Readonly<Record<string, readonly number[]>>;
  }[];
}

/** Of vectors of length 1. */
const cosine = (a: readonly number[], b: readonly number[]) =>
  a.reduce((sum, value, index) => sum + value * (b[index] ?? Number.NaN), 0);

type Model = Awaited<ReturnType<typeof sampleModel>>;

async function embed(model: Model, texts: readonly string[], parameters = {}): Promise<number[][]> {
  const results = await collect(infer(engine, { model, type: "feature-extraction", texts, parameters }));
  return results.map(({ output }) => (output as OutputOf<"feature-extraction">).embedding);
}

async function tokenizerOf(model: Model): Promise<TextTokenizer> {
  const file = await readFile(path.join(model.directory, "tokenizer.json"), "utf8");
  return new TextTokenizer(JSON.parse(file), model.contextLength);
}

describe.each([
  ["minilm-l6-v2", "int8", ""],
  ["minilm-l6-v2", "fp32", ""],
  ["e5-small", "int8", "query: "],
  ["e5-small", "int4", "query: "],
])("embeddings of %s %s", (name, variant, opening) => {
  test("has the token ids and the embeddings of the reference, whatever runs with a text", async () => {
    const model = await sampleModel(folder, name, variant);
    const { leastCosine, cases } = await readVectors<EmbeddingVectors>(name);
    const tokenizer = await tokenizerOf(model);
    const together = await embed(
      model,
      cases.map(({ text }) => text),
    );
    for (const [index, { text, ids, embeddings }] of cases.entries()) {
      const opened = text.startsWith("passage: ") ? text : `${opening}${text}`;
      expect(tokenizer.encode(opened)).toEqual(ids);
      const embedding = together[index] ?? [];
      expect(embedding.length).toBe(384);
      expect(cosine(embedding, embeddings[variant] ?? [])).toBeGreaterThan(leastCosine);
    }
    const [alone = []] = await embed(model, [cases[0]?.text ?? ""]);
    expect(cosine(alone, together[0] ?? [])).toBeGreaterThan(0.99999);
  });
});

test("a query finds its passage, in Chinese, in English and from one to the other", async () => {
  const model = await sampleModel(folder, "e5-small");
  const passages = await embed(model, [
    "passage: 长按路由器背面的 Reset 键十秒即可恢复出厂设置并清除密码。",
    "passage: 明天北京晴，最高气温二十五度。",
    "passage: 一只小狗在花园里跑来跑去。",
    "passage: 红烧肉的做法：五花肉切块，加冰糖炒色。",
  ]);
  const found = (
    await embed(model, ["如何重置路由器密码", "小狗在外面玩", "how to reset a router's password"])
  ).map((query) => passages.map((passage) => cosine(query, passage)));
  expect(found.map((scores) => scores.indexOf(Math.max(...scores)))).toEqual([0, 2, 0]);
});

test("embeddings have length 1 unless that is declined, and a text without a character has none", async () => {
  const model = await sampleModel(folder, "minilm-l6-v2");
  const [unit = []] = await embed(model, ["edge"]);
  const [raw = []] = await embed(model, ["edge"], { normalize: false });
  expect(cosine(unit, unit)).toBeCloseTo(1, 5);
  const length = Math.sqrt(cosine(raw, raw));
  expect(length).not.toBeCloseTo(1, 1);
  expect(cosine(unit, raw) / length).toBeCloseTo(1, 5);
  const [result] = await collect(infer(engine, { model, type: "feature-extraction", texts: [" \n"] }));
  expect(result?.error?.message).toBe("empty text");
});

test("a control token in a text is text", async () => {
  const tokenizer = await tokenizerOf(await sampleModel(folder, "minilm-l6-v2"));
  const [cls, ...inner] = tokenizer.encode("one [SEP] two");
  const sep = inner.pop();
  expect([cls, sep]).toEqual([101, 102]);
  expect(inner).not.toContain(102);
  expect(inner.length).toBeGreaterThan(4);
});

describe("English sentiment", () => {
  interface Vectors {
    readonly tolerance: number;
    readonly cases: readonly { readonly text: string; readonly probabilities: readonly [number, number] }[];
  }

  test("gives the probabilities of the reference, best label first", async () => {
    const model = await sampleModel(folder, "en-sentiment");
    const { tolerance, cases } = await readVectors<Vectors>("en-sentiment");
    const texts = [...cases.map(({ text }) => text), " "];
    const results = await collect(infer(engine, { model, type: "text-classification", texts }));
    expect(results.pop()?.error?.message).toBe("empty text");
    for (const [index, { probabilities }] of cases.entries()) {
      const { labels, scoreSource } = (results[index] as ItemResult)
        .output as OutputOf<"text-classification">;
      const [best, other] = probabilities[0] > probabilities[1] ? [0, 1] : [1, 0];
      expect(labels.map(({ label }) => label)).toEqual(
        [best, other].map((at) => ["negative", "positive"][at]),
      );
      expect(Math.abs((labels[0]?.score ?? -1) - (probabilities[best] ?? 1))).toBeLessThan(tolerance);
      expect(scoreSource).toBe("probability");
    }
  });
});

describe("zero-shot classification", () => {
  interface Vectors {
    readonly zeroShot: {
      readonly tolerance: number;
      readonly cases: readonly {
        readonly text: string;
        readonly labels: string[];
        readonly multiLabel: boolean;
        readonly scores: readonly number[];
      }[];
    };
  }

  test("gives the scores of the reference, in Chinese and in English", async () => {
    const model = await sampleModel(folder, "e5-small");
    const { tolerance, cases } = (await readVectors<Vectors>("e5-small")).zeroShot;
    for (const { text, labels: candidateLabels, multiLabel, scores } of cases) {
      const parameters = { candidateLabels, multiLabel };
      const request = { model, type: "zero-shot-classification", texts: [text], parameters } as const;
      const [result] = await collect(infer(engine, request));
      const { labels, scoreSource } = (result as ItemResult).output as OutputOf<"zero-shot-classification">;
      expect(scoreSource).toBe("similarity");
      const byLabel = new Map(labels.map(({ label, score }) => [label, score]));
      for (const [index, label] of candidateLabels.entries())
        expect(Math.abs((byLabel.get(label) ?? -1) - (scores[index] ?? 1))).toBeLessThan(tolerance);
    }
  });

  test("answers requests for embeddings and for labels of one model, and asks for labels where none are named", async () => {
    const model = await sampleModel(folder, "e5-small");
    const [embedding] = await embed(model, ["主队赢得了冠军"]);
    expect(embedding?.length).toBe(384);
    const request = { model, type: "zero-shot-classification", texts: ["主队赢得了冠军"] } as const;
    const [without] = await collect(infer(engine, request));
    expect(without?.error).toMatchObject({ code: "ItemInvalid" });
    expect(without?.error?.message).toContain("candidateLabels");
    const parameters = { candidateLabels: ["体育", "医疗"], topK: 1 };
    const [asked] = await collect(infer(engine, { ...request, parameters }));
    expect(((asked as ItemResult).output as OutputOf<"zero-shot-classification">).labels).toMatchObject([
      { label: "体育" },
    ]);
  });
});
