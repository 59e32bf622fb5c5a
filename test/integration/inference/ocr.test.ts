import { mkdtemp, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";
import sharp from "sharp";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import type { ItemOutput, ItemResult } from "@autoglm/api";
import type { Engine } from "../../../edge-agent/src/engine/index.ts";
import { comparable, errorRate } from "../../support/character-errors.ts";
import { collect, imagesOf, infer, startEngine } from "./harness.ts";
import { modelFolder, readVectors, sampleModel } from "./models.ts";

let folder: string;
let engine: Engine & AsyncDisposable;

beforeAll(async () => {
  folder = await mkdtemp(path.join(tmpdir(), "autoglm-ocr-"));
  engine = startEngine();
});
afterAll(async () => {
  await engine.close();
  await rm(folder, { recursive: true });
});

type Output = Extract<ItemOutput, { type: "image-to-text" }>;

interface Vectors {
  readonly cases: readonly { readonly file: string; readonly lines: readonly string[] }[];
}

async function read(images: readonly Uint8Array[], parameters = {}): Promise<readonly ItemResult[]> {
  const model = await sampleModel(folder, "pp-ocrv4");
  return collect(infer(engine, { model, type: "image-to-text", items: imagesOf(images), parameters }));
}

const outputOf = (result: ItemResult | undefined): Output => {
  if (result?.output?.type !== "image-to-text") throw new Error(result?.error?.message ?? "no output");
  return result.output;
};

async function images() {
  const { cases } = await readVectors<Vectors>("pp-ocrv4");
  return Promise.all(
    cases.map(async (entry) => ({
      ...entry,
      bytes: await readFile(path.join(modelFolder("pp-ocrv4"), "images", entry.file)),
    })),
  );
}

describe("text of images", () => {
  test("is read in Chinese, English and digits, line by line", async () => {
    const cases = await images();
    const results = await read(cases.map(({ bytes }) => bytes));
    const comparisons = cases.map(({ lines }, index) =>
      comparable(lines.join("\n"), outputOf(results[index]).generated_text),
    );
    // Two in a hundred over all images of the card; here are twelve of them.
    expect(errorRate(comparisons)).toBeLessThan(0.02);
    expect(comparisons.filter(({ errors }) => errors === 0).length).toBeGreaterThanOrEqual(8);
    for (const [index, { bytes }] of cases.entries()) {
      const { lines, generated_text, scoreSource } = outputOf(results[index]);
      const { width, height } = await sharp(bytes).metadata();
      expect(lines.map(({ text }) => text).join("")).toBe(generated_text.replaceAll("\n", ""));
      expect(scoreSource).toBe("probability");
      for (const { score, box } of lines) {
        expect(score).toBeGreaterThan(0.5);
        expect(box.length).toBe(4);
        for (const [x, y] of box) {
          expect(x).toBeGreaterThanOrEqual(0);
          expect(y).toBeGreaterThanOrEqual(0);
          expect(x).toBeLessThanOrEqual(width);
          expect(y).toBeLessThanOrEqual(height);
        }
      }
    }
  });

  test("is the same in an image that stands on its head or is turned by its EXIF", async () => {
    const [first] = (await images()).filter(({ file }) => file.startsWith("en"));
    const bytes = first?.bytes ?? Buffer.alloc(0);
    const turned = await sharp(bytes).rotate(180).png().toBuffer();
    const marked = await sharp(await sharp(bytes).rotate(-90).png().toBuffer())
      .withMetadata({ orientation: 6 })
      .jpeg({ quality: 95 })
      .toBuffer();
    const [upright, onItsHead, byExif] = (await read([bytes, turned, marked])).map((result) => {
      const { lines } = outputOf(result);
      return lines.map(({ text }) => text).sort();
    });
    expect(onItsHead).toEqual(upright);
    expect(byExif).toEqual(upright);
  });

  test("an empty page has none, and the threshold leaves out what is less sure", async () => {
    const create = { width: 300, height: 200, channels: 3 as const, background: "white" };
    const [blank] = await read([await sharp({ create }).jpeg().toBuffer()]);
    expect(outputOf(blank)).toMatchObject({ generated_text: "", lines: [] });
    const [some] = await images();
    const [strict] = await read([some?.bytes ?? Buffer.alloc(0)], { threshold: 1 });
    expect(outputOf(strict).lines).toEqual([]);
  });
});

test("an image that can't be read costs itself alone, and no pixels are made of a bomb", async () => {
  const [good] = await images();
  const bytes = good?.bytes ?? Buffer.alloc(0);
  const create = { width: 12_000, height: 12_000, channels: 3 as const, background: "white" };
  const bomb = await sharp({ create, limitInputPixels: false }).png({ compressionLevel: 9 }).toBuffer();
  const svg = Buffer.from('<svg xmlns="http://www.w3.org/2000/svg" width="9" height="9"/>');
  const bad = [bytes.subarray(0, bytes.length >> 1), Buffer.from("no image"), Buffer.alloc(0), svg, bomb];
  const results = await read([...bad, bytes]);
  expect(results.map(({ error }) => error?.code)).toEqual([...bad.map(() => "ItemInvalid"), undefined]);
  expect(results[4]?.error?.message).toContain("megapixels");
  expect(outputOf(results[5]).generated_text).not.toBe("");
  const model = await sampleModel(folder, "pp-ocrv4");
  const [text] = await collect(infer(engine, { model, type: "image-to-text", texts: ["no image"] }));
  expect(text?.error).toMatchObject({ code: "ItemInvalid" });
});
