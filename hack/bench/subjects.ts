/** What is measured: the sample models on real input, the same for every side of a comparison. */
import { mkdirSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { availableParallelism } from "node:os";
import { join } from "node:path";
import { modelSpecSchema, parseQuantityBytes, type TaskType } from "@autoglm/api";
import { readItems } from "../../edge-agent/src/agent/work-input.ts";
import { parseAllowedHosts } from "../../edge-agent/src/inputs/index.ts";
import type { ModelOnDisk } from "../../edge-agent/src/engine/index.ts";
import type { Parameters } from "../../edge-agent/src/pipelines/pipeline.ts";
import { modelBlobsDir, readManifests } from "../local/manifests.ts";

export interface Subject {
  readonly model: ModelOnDisk;
  readonly type: TaskType;
  readonly texts: readonly string[];
  readonly parameters: Parameters;
  /** Below the data root; holds the texts. */
  readonly file: string;
  /** What is counted. */
  readonly unit: "items" | "tokens";
  /** As the engine lays out a model of this size (edge-agent/src/engine/engine.ts). */
  readonly processes: number;
  readonly threads: number;
}

interface SubjectDraft extends Pick<Subject, "type" | "parameters" | "unit"> {
  readonly model: string;
  readonly source: {
    readonly path: string;
    readonly format: "csv" | "jsonl" | "text";
    readonly field?: string;
  };
  /** How often the texts of the source are repeated. */
  readonly times: number;
}

const DRAFTS: readonly SubjectDraft[] = [
  {
    model: "zh-sentiment",
    type: "text-classification",
    source: { path: "reviews.csv", format: "csv", field: "review" },
    times: 20,
    parameters: {},
    unit: "items",
  },
  {
    model: "zh-ner",
    type: "token-classification",
    source: { path: "news.jsonl", format: "jsonl", field: "text" },
    times: 10,
    parameters: {},
    unit: "items",
  },
  {
    model: "smollm2-135m-instruct",
    type: "text-generation",
    source: { path: "questions.txt", format: "text" },
    times: 1,
    parameters: { maxNewTokens: 16 },
    unit: "tokens",
  },
];
const EXAMPLE_DATA = "examples/data";
const LARGE_MODEL_BYTES = 100_000_000;

export interface SubjectFolders {
  /** Gets the models as files by name. */
  readonly modelsDir: string;
  /** Gets the input files. */
  readonly dataRoot: string;
}

export async function readSubjects({ modelsDir, dataRoot }: SubjectFolders): Promise<readonly Subject[]> {
  return Promise.all(
    DRAFTS.map(async ({ model: name, type, source, times, parameters, unit }) => {
      const { model, graphBytes } = layOutModel(modelsDir, name);
      const once: string[] = [];
      const input = { kind: "file", field: undefined, ...source } as const;
      for await (const item of readItems({ type, input }, SOURCES)) {
        if ("text" in item) once.push(item.text);
      }
      const texts = Array.from({ length: times }, () => once).flat();
      const file = `bench-${name}.jsonl`;
      writeFileSync(join(dataRoot, file), texts.map((text) => `${JSON.stringify({ text })}\n`).join(""));
      const cores = availableParallelism();
      const isLarge = graphBytes > LARGE_MODEL_BYTES;
      return {
        model,
        type,
        texts,
        parameters,
        file,
        unit,
        processes: isLarge ? 1 : cores,
        threads: isLarge ? cores : 1,
      };
    }),
  );
}

const SOURCES = {
  dataRoot: EXAMPLE_DATA,
  part: () => Promise.reject(new Error("input files have no parts on the bus")),
  remote: { allowedHosts: parseAllowedHosts(""), objectStore: undefined, maxBytes: 0 },
} as const;

/** The first variant, as the agent's model store lays it out. */
export function layOutModel(
  folder: string,
  name: string,
): { readonly model: ModelOnDisk; readonly graphBytes: number } {
  const manifest = readManifests("models/catalogue.yaml").find(({ metadata }) => metadata.name === name);
  const variant = modelSpecSchema.parse(manifest?.["spec"]).variants[0];
  if (variant === undefined) throw new Error(`models/catalogue.yaml has no variant of ${name}`);
  const { files = [] } = variant;
  const directory = join(folder, name);
  rmSync(directory, { recursive: true, force: true });
  mkdirSync(directory, { recursive: true });
  for (const { path, sha256 } of files)
    symlinkSync(join(modelBlobsDir(), "sha256", sha256), join(directory, path));
  return {
    model: {
      name,
      variant: variant.name,
      directory,
      contextLength: variant.contextLength,
      memoryBytes: parseQuantityBytes(variant.memory),
      digest: files.map(({ sha256 }) => sha256).join("-"),
    },
    graphBytes: files.find(({ path }) => path === "model.onnx")?.sizeBytes ?? 0,
  };
}
