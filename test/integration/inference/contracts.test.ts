import { cp, mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import type { ItemResult, TaskType } from "@autoglm/api";
import type { Engine, ModelOnDisk } from "../../../edge-agent/src/engine/index.ts";
import { collect, imagesOf, infer, startEngine } from "./harness.ts";

/** Models that a user brings, with random weights; expected.json was worked out in numpy. See make_contract_models.py. */
const contracts = path.join(import.meta.dirname, "fixtures/contracts");

let folder: string;
let engine: Engine & AsyncDisposable;

beforeAll(async () => {
  folder = await mkdtemp(path.join(tmpdir(), "autoglm-contracts-"));
  engine = startEngine();
});
afterAll(async () => {
  await engine.close();
  await rm(folder, { recursive: true });
});

const modelOf = (name: string, directory = path.join(contracts, name)): ModelOnDisk => ({
  name,
  variant: "fp32",
  directory,
  contextLength: 16,
  memoryBytes: 150 * 2 ** 20,
  digest: directory,
});

const read = (name: string, file: string) => readFile(path.join(contracts, name, file));
const expected = async <T>(name: string): Promise<T> =>
  JSON.parse((await read(name, "expected.json")).toString()) as T;

const ask = (model: ModelOnDisk, type: TaskType, files: readonly Uint8Array[], parameters = {}) =>
  collect(infer(engine, { model, type, items: imagesOf(files), parameters }));

/** A copy of a model whose pipeline.json says something else. */
async function changed(name: string, change: object): Promise<ModelOnDisk> {
  const directory = await mkdtemp(path.join(folder, `${name}-`));
  await cp(path.join(contracts, name), directory, { recursive: true });
  const file = path.join(directory, "pipeline.json");
  const config = JSON.parse(await readFile(file, "utf8")) as object;
  await writeFile(file, JSON.stringify({ ...config, ...change }));
  return modelOf(name, directory);
}

describe("a dual tower", () => {
  interface Expected {
    readonly texts: readonly string[];
    readonly cases: readonly {
      readonly file: string;
      readonly scores: readonly number[];
      readonly cosines: readonly number[];
    }[];
  }
  const name = "dual-tower";
  const type = "image-text-matching";
  const labelsOf = (result: ItemResult | undefined) =>
    result?.output?.type === type ? result.output : undefined;

  test("gives each text the softmax of scaled cosines, best first", async () => {
    const { texts, cases } = await expected<Expected>(name);
    const files = await Promise.all(cases.map(({ file }) => read(name, file)));
    const results = await ask(modelOf(name), type, files, { candidateLabels: texts });
    for (const [index, { scores }] of cases.entries()) {
      const output = labelsOf(results[index]);
      const found = output?.labels ?? [];
      expect(found.map(({ score }) => score)).toEqual(
        found.map(({ score }) => score).toSorted((a, b) => (b ?? 0) - (a ?? 0)),
      );
      for (const [at, text] of texts.entries())
        expect(found.find(({ label }) => label === text)?.score).toBeCloseTo(scores[at] ?? -1, 4);
      expect(output?.scoreSource).toBe("probability");
    }
  });

  test("one text alone has its cosine, and none is an error of the item", async () => {
    const { texts, cases } = await expected<Expected>(name);
    const [, second] = cases;
    const files = [await read(name, second?.file ?? "")];
    const parameters = { candidateLabels: texts.slice(1, 2) };
    const output = labelsOf((await ask(modelOf(name), type, files, parameters))[0]);
    expect(output?.labels[0]?.score).toBeCloseTo(second?.cosines[1] ?? -1, 4);
    expect(output?.scoreSource).toBe("similarity");
    const [none] = await ask(modelOf(name), type, files);
    expect(none?.error).toMatchObject({ code: "ItemInvalid" });
    expect(none?.error?.message).toContain("candidateLabels");
  });
});

describe("a detector", () => {
  interface Found {
    readonly label: string;
    readonly score: number;
    readonly box: readonly [number, number, number, number];
  }
  const type = "object-detection";

  test.each(["detector-yolo", "detector-boxes"])(
    "%s finds what it should, in pixels of the image",
    async (name) => {
      const [result] = await ask(modelOf(name), type, [await read(name, "image.png")]);
      const output = result?.output?.type === type ? result.output : undefined;
      const objects = await expected<readonly Found[]>(name);
      expect(output?.objects.map(({ label }) => label)).toEqual(objects.map(({ label }) => label));
      for (const [index, { score, box }] of objects.entries()) {
        const found = output?.objects[index];
        expect(found?.score).toBeCloseTo(score, 4);
        const { xmin = -1, ymin = -1, xmax = -1, ymax = -1 } = found?.box ?? {};
        for (const [edge, value] of [xmin, ymin, xmax, ymax].entries())
          expect(Math.abs(value - (box[edge] ?? -99))).toBeLessThan(0.11);
      }
    },
  );

  test("a threshold leaves fewer, and labels that don't fit the graph are an error of the model", async () => {
    const name = "detector-yolo";
    const files = [await read(name, "image.png")];
    const objects = await expected<readonly Found[]>(name);
    const [strict] = await ask(modelOf(name), type, files, { threshold: 0.68 });
    const output = strict?.output?.type === type ? strict.output : undefined;
    expect(output?.objects.length).toBe(objects.filter(({ score }) => score >= 0.68).length);
    const wrong = await changed(name, { labels: ["a", "b", "c", "d", "e"] });
    await expect(ask(wrong, type, files)).rejects.toThrow(/output0/);
  });
});

describe("speech by CTC", () => {
  const type = "automatic-speech-recognition";

  test.each(["speech-samples", "speech-log-mel"])("%s says what it should", async (name) => {
    const { text } = await expected<{ readonly text: string }>(name);
    const [result] = await ask(modelOf(name), type, [await read(name, "sound.wav")]);
    expect(result?.output).toMatchObject({ type, text, scoreSource: "probability" });
  });

  test("what is no recording, is too long or shorter than a frame has an error of its own", async () => {
    const name = "speech-log-mel";
    const sound = await read(name, "sound.wav");
    const short = Buffer.concat([sound.subarray(0, 40), Buffer.from([20, 0, 0, 0]), Buffer.alloc(20)]);
    const results = await ask(modelOf(name), type, [Buffer.from("RIFF"), short, sound]);
    expect(results.map(({ error }) => error?.code)).toEqual(["ItemInvalid", "ItemInvalid", undefined]);
    const hasty = await changed(name, { maxSeconds: 1 });
    const [long] = await ask(hasty, type, [sound]);
    expect(long?.error).toMatchObject({ code: "ItemTooLong" });
  });
});
