import { mkdtemp, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import type { ItemOutput, ItemResult } from "@autoglm/api";
import type { Engine } from "../../../edge-agent/src/engine/index.ts";
import { collect, imagesOf, infer, startEngine } from "./harness.ts";
import { modelFolder, readVectors, sampleModel } from "./models.ts";

let folder: string;
let engine: Engine & AsyncDisposable;

beforeAll(async () => {
  folder = await mkdtemp(path.join(tmpdir(), "autoglm-images-"));
  engine = startEngine();
});
afterAll(async () => {
  await engine.close();
  await rm(folder, { recursive: true });
});

type Labels = Extract<ItemOutput, { type: "image-classification" }>["labels"];

interface Vectors {
  readonly scoreTolerance: number;
  readonly cases: readonly {
    readonly file: string;
    readonly right: readonly string[];
    readonly top5: Labels;
  }[];
}

const type = "image-classification";
const labelsOf = ({ output, error }: ItemResult): Labels => {
  if (output?.type !== type) throw new Error(error?.message ?? "another output");
  return output.labels;
};

async function images() {
  const { cases } = await readVectors<Vectors>("efficientnet-lite0");
  return Promise.all(
    cases.map(({ file }) => readFile(path.join(modelFolder("efficientnet-lite0"), "images", file))),
  );
}

test("gives the likely labels of the reference, which shrinks images with another library", async () => {
  const model = await sampleModel(folder, "efficientnet-lite0");
  const { cases, scoreTolerance } = await readVectors<Vectors>("efficientnet-lite0");
  const parameters = { topK: 1000 };
  const results = await collect(infer(engine, { model, type, items: imagesOf(await images()), parameters }));
  expect(results.length).toBe(cases.length);
  for (const [index, { top5 }] of cases.entries()) {
    const labels = new Map(
      results
        .slice(index, index + 1)
        .flatMap(labelsOf)
        .map(({ label, score }) => [label, score]),
    );
    for (const { label, score } of top5)
      expect(Math.abs((labels.get(label) ?? -1) - (score ?? 1)), label).toBeLessThan(scoreTolerance);
  }
});

test("the right label is among the first five of every example image", async () => {
  const model = await sampleModel(folder, "efficientnet-lite0");
  const { cases } = await readVectors<Vectors>("efficientnet-lite0");
  const results = await collect(infer(engine, { model, type, items: imagesOf(await images()) }));
  for (const [index, { file, right }] of cases.entries()) {
    const labels = results.slice(index, index + 1).flatMap(labelsOf);
    expect(labels.length).toBe(5);
    expect(
      labels.some(({ label }) => right.includes(label)),
      file,
    ).toBe(true);
  }
});

test("an image is judged the same alone and in a batch, and one that can't be read costs itself alone", async () => {
  const model = await sampleModel(folder, "efficientnet-lite0");
  const [cat = Buffer.alloc(0), coffee = Buffer.alloc(0)] = await images();
  const parameters = { topK: 3, threshold: 0.2 };
  const judge = (files: readonly Uint8Array[]) =>
    collect(infer(engine, { model, type, items: imagesOf(files), parameters }));
  const [first, broken, second] = await judge([cat, cat.subarray(0, 900), coffee]);
  expect(broken?.error?.code).toBe("ItemInvalid");
  const [alone] = await judge([coffee]);
  expect(second?.output).toEqual(alone?.output);
  const labels = first === undefined ? [] : labelsOf(first);
  expect(labels.length).toBeGreaterThan(0);
  expect(labels.every(({ score }) => (score ?? 0) >= 0.2)).toBe(true);
});
