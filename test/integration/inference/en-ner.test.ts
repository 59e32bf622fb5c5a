import { mkdtemp, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import type { ItemOutput } from "@autoglm/api";
import type { Engine } from "../../../edge-agent/src/engine/index.ts";
import type { SpacyNerConfig } from "../../../edge-agent/src/pipelines/spacy-config.ts";
import { SpacyTokenizer } from "../../../edge-agent/src/pipelines/spacy-tokenizer.ts";
import { collect, infer, startEngine } from "./harness.ts";
import { readVectors, sampleModel } from "./models.ts";

let folder: string;
let engine: Engine & AsyncDisposable;

beforeAll(async () => {
  folder = await mkdtemp(path.join(tmpdir(), "autoglm-en-ner-"));
  engine = startEngine();
});
afterAll(async () => {
  await engine.close();
  await rm(folder, { recursive: true });
});

type Entities = Extract<ItemOutput, { type: "token-classification" }>["entities"];

interface Vectors {
  readonly cases: readonly {
    readonly text: string;
    readonly tokens: readonly string[];
    readonly entities: readonly Omit<Entities[number], "score">[];
  }[];
}

async function entitiesOf(texts: readonly string[], parameters = {}): Promise<readonly Entities[]> {
  const model = await sampleModel(folder, "en-ner");
  const results = await collect(infer(engine, { model, type: "token-classification", texts, parameters }));
  return results.map(({ output, error }) => {
    if (output?.type !== "token-classification") throw new Error(error?.message ?? "another output");
    return output.entities;
  });
}

test("gives the tokens and the entities of spaCy on 200 sentences and on awkward ones", async () => {
  const { cases } = await readVectors<Vectors>("en-ner");
  expect(cases.length).toBeGreaterThanOrEqual(200);
  const { directory } = await sampleModel(folder, "en-ner");
  const config = JSON.parse(await readFile(path.join(directory, "pipeline.json"), "utf8")) as SpacyNerConfig;
  const tokenizer = new SpacyTokenizer(config.tokenizer);
  for (const { text, tokens } of cases)
    expect(tokenizer.tokenize(text).map((token) => token.text)).toEqual(tokens);
  const found = await entitiesOf(cases.map(({ text }) => text));
  expect(
    found.map((entities) =>
      entities.map(({ entity_group, word, start, end }) => ({ entity_group, word, start, end })),
    ),
  ).toEqual(cases.map(({ entities }) => entities));
  for (const { score } of found.flat()) {
    expect(score).toBeGreaterThan(0);
    expect(score).toBeLessThanOrEqual(1);
  }
});

test("what runs with a text, and what stands far from it, changes nothing", async () => {
  const { cases } = await readVectors<Vectors>("en-ner");
  const texts = cases.slice(0, 40).map(({ text }) => text);
  const alone: Entities[] = [];
  for (const text of texts) alone.push(...(await entitiesOf([text])));
  expect(await entitiesOf(texts)).toEqual(alone);
  // Longer than one run of the graph: pieces overlap, and the entities stand where they stood.
  const sentence = "Angela Merkel met Emmanuel Macron in Berlin on Monday. ";
  const [one = [], many = []] = await entitiesOf([sentence, sentence.repeat(400)]);
  expect(one.map(({ word }) => word)).toEqual(["Angela Merkel", "Emmanuel Macron", "Berlin", "Monday"]);
  const inside = many.filter(({ start }) => start >= sentence.length && start < sentence.length * 399);
  expect(inside.map(({ start }) => start % sentence.length).slice(0, 4)).toEqual(
    one.map(({ start }) => start),
  );
  expect(inside.length).toBe(398 * 4);
});

test("the threshold leaves out what is less likely", async () => {
  const text = "Apple is looking at buying U.K. startup DeepMind for $1 billion, said Tim Cook.";
  const [all = [], sure = []] = [
    ...(await entitiesOf([text])),
    ...(await entitiesOf([text], { threshold: 0.9 })),
  ];
  expect(sure).toEqual(all.filter(({ score }) => (score ?? 0) >= 0.9));
  expect(sure.length).toBeLessThan(all.length);
});
