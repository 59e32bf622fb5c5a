/**
 * Character error rates of OCR on rendered images, with 95 % intervals (bootstrap over images), and of a trivial baseline:
 * the recogniser alone, which takes the whole image for one line.
 *
 *   hack/run models/build images && hack/run node hack/ocr-figures.ts [dev|test]
 */
import { mkdtemp, readFile, rm } from "node:fs/promises";
import { homedir, tmpdir } from "node:os";
import path from "node:path";
import { loadOnnxSession } from "../edge-agent/src/engine/onnx-session.ts";
import { decodeCtc } from "../edge-agent/src/pipelines/ctc.ts";
import { decodeImage, planesOf, type RgbImage } from "../edge-agent/src/pipelines/image.ts";
import { cropLine } from "../edge-agent/src/pipelines/line-crop.ts";
import { ocrConfigSchema } from "../edge-agent/src/pipelines/media-config.ts";
import { Ocr } from "../edge-agent/src/pipelines/ocr.ts";
import { comparable, errorRate, intervalOf, type Comparison } from "../test/support/character-errors.ts";
import { sampleModel } from "../test/integration/inference/models.ts";

interface Truth {
  readonly file: string;
  readonly kind: string;
  readonly lines: readonly string[];
}

const split = process.argv[2] ?? "test";
const cache =
  process.env["AUTOGLM_CACHE"] ??
  path.join(process.env["XDG_CACHE_HOME"] ?? path.join(homedir(), ".cache"), "autoglm");
const images = path.join(cache, "ocr-images", split);
const truth = JSON.parse(await readFile(path.join(images, "truth.json"), "utf8")) as readonly Truth[];

const folder = await mkdtemp(path.join(tmpdir(), "autoglm-ocr-"));
const { directory, contextLength } = await sampleModel(folder, "pp-ocrv4");
const load = async (name: string) =>
  (await loadOnnxSession(path.join(directory, name), { threads: 1, executionProviders: ["cpu"] })).session;
const readJson = async (name: string): Promise<unknown> =>
  JSON.parse(await readFile(path.join(directory, name), "utf8"));
const config = ocrConfigSchema.parse(await readJson("pipeline.json"));
const files = { config, contextLength, readJson, loadSession: load };
const ocr = await Ocr.create(await load("model.onnx"), config, files);
const recognizer = await load(config.recognition.file);

async function readWhole(bytes: Uint8Array): Promise<string> {
  const media = { type: "image", bytes };
  const [result] = await ocr.run([{ type: "image-to-text", text: "", media, parameters: {} }], {
    onProgress: () => undefined,
  });
  return result !== undefined && "output" in result && result.output.type === "image-to-text"
    ? result.output.generated_text
    : "";
}

async function readAsOneLine(image: RgbImage): Promise<string> {
  const { input, output, height, normalization, characters } = config.recognition;
  const { width, height: h } = image;
  const corners = [
    { x: 0, y: 0 },
    { x: width, y: 0 },
    { x: width, y: h },
    { x: 0, y: h },
  ] as const;
  const crop = cropLine(image, corners, height, 2880);
  const tensor = recognizer.float32(planesOf(crop, normalization), [1, 3, height, crop.width]);
  const probabilities = (await recognizer.run({ [input]: tensor }))[output]?.data as Float32Array;
  const { classes } = decodeCtc(probabilities, { classes: characters.length, blank: 0 });
  return classes.map((index) => characters[index] ?? "").join("");
}

const comparisons: (Comparison & { readonly kind: string; readonly oneLine: Comparison })[] = [];
for (const { file, kind, lines } of truth) {
  const bytes = await readFile(path.join(images, file));
  const image = await decodeImage({ type: "image", bytes }, 4000);
  if ("error" in image) throw new Error(`${file}: ${image.error.message}`);
  const want = lines.join("\n");
  const oneLine = comparable(want, await readAsOneLine(image));
  comparisons.push({ kind, ...comparable(want, await readWhole(bytes)), oneLine });
}
for (const kind of new Set(comparisons.map((comparison) => comparison.kind))) {
  const some = comparisons.filter((comparison) => comparison.kind === kind);
  const characters = some.reduce((sum, { characters }) => sum + characters, 0);
  const [low, high] = intervalOf(some);
  const percent = (rate: number) => `${(rate * 100).toFixed(2)} %`;
  const baseline = percent(errorRate(some.map(({ oneLine }) => oneLine)));
  const rate = `CER ${percent(errorRate(some))} (${percent(low)} to ${percent(high)})`;
  const perfect = some.filter(({ errors }) => errors === 0).length;
  console.log(
    `${kind}: ${some.length} images, ${characters} characters, ${rate}, ${perfect} without an error, one line ${baseline}`,
  );
}
await rm(folder, { recursive: true });
