/**
 * `autoglm models push DIR`: a model of one's own onto the fleet. Nothing is uploaded before the model was loaded, warmed
 * and asked on this machine by the engine that nodes run: a graph that does not fit its pipeline.json, or answers other
 * than its golden ones, never gets to a node.
 */
import { createHash } from "node:crypto";
import { createReadStream } from "node:fs";
import { readdir, readFile, stat, writeFile } from "node:fs/promises";
import path from "node:path";
import { Readable } from "node:stream";
import { pipeline } from "node:stream/promises";
import {
  API_VERSION,
  AutoglmError,
  formatQuantity,
  hasErrorCode,
  modelSpecSchema,
  parseQuantityBytes,
  type ModelFile,
  type ModelSpec,
  type ModelVariant,
} from "@autoglm/api";
import type { KubeObject } from "@autoglm/kube";
import { parse } from "yaml";
import { findResultsEndpoint, withCluster, type Cluster, type ConnectionOptions } from "../cluster.ts";
import { errorWithHint, EXIT, usageError, type ExitCode } from "../exit-codes.ts";
import { differenceOf, parseGolden, type GoldenLine } from "../golden.ts";
import { say, type CliIo } from "../io.ts";
import { MODELS } from "../objects.ts";
import { runOffline, type OfflineReport } from "../offline.ts";

export interface PushOptions extends ConnectionOptions {
  readonly name?: string;
  readonly variant?: string;
  readonly precision?: ModelVariant["precision"];
  readonly contextLength?: number;
  readonly memory?: string;
  readonly language?: readonly string[];
  readonly license?: string;
  readonly description?: string;
  readonly tolerance: number;
  /** Writes the answers into golden.jsonl where it has none. */
  readonly record?: boolean;
  /** Checks alone. */
  readonly dryRun?: boolean;
  readonly signal: AbortSignal;
}

/** Beside the model: not files of it. */
const NOT_OF_THE_MODEL = /^(golden\.jsonl|model\.yaml|vectors\.json|README.*|.*\.md|LICEN[CS]E.*|\..*)$/i;
const GOLDEN = "golden.jsonl";
const MEDIA = new Map([
  [".png", "image/png"],
  [".jpg", "image/jpeg"],
  [".jpeg", "image/jpeg"],
  [".webp", "image/webp"],
  [".wav", "audio/wav"],
]);
/** What a node reserves is what was measured and a tenth, in steps. */
const MEMORY_STEP_BYTES = 16 * 2 ** 20;

export async function pushModel(io: CliIo, directory: string, options: PushOptions): Promise<ExitCode> {
  const draft = await readDraft(directory, options);
  const report = await checkModel(io, directory, options);
  const files = await listFiles(directory);
  const measured = report.memoryBytes ?? 0;
  const enough = Math.ceil((measured * 1.1) / MEMORY_STEP_BYTES) * MEMORY_STEP_BYTES;
  // What was measured is a short text; `models import` has counted the cache of a full context.
  const memory = options.memory ?? formatQuantity(Math.max(enough, draft.memoryBytes));
  say(io, `memory: ${formatQuantity(measured)} measured, ${memory} to be reserved`);
  const variant: ModelVariant = {
    ...draft.variant,
    runtime: "onnx",
    memory,
    files: files.map(({ path: file, sha256, sizeBytes }) => ({ path: file, sha256, sizeBytes })),
  };
  const spec = { ...draft.spec, taskTypes: report.taskTypes };
  if (options.dryRun === true) {
    io.stdout.write(`${JSON.stringify({ name: draft.name, spec: { ...spec, variants: [variant] } })}\n`);
    return EXIT.ok;
  }
  return withCluster(io, options, async (cluster) => {
    await upload(io, cluster, directory, files, options.signal);
    await applyModel(cluster, draft.name, spec, variant, options.signal);
    say(io, `AutoGLMModel ${draft.name} applied, variant ${variant.name}`);
    io.stdout.write(`autoglmmodel.autoglm.io/${draft.name}\n`);
    return EXIT.ok;
  });
}

interface Draft {
  readonly name: string;
  readonly spec: Partial<ModelSpec>;
  readonly variant: Pick<ModelVariant, "name" | "contextLength" | "precision">;
  /** That model.yaml declares; 0 without one. */
  readonly memoryBytes: number;
}

/** From flags, then model.yaml as `models import` writes it, then pipeline.json. */
async function readDraft(directory: string, options: PushOptions): Promise<Draft> {
  const manifest = await readYaml(path.join(directory, "model.yaml"));
  const given = modelSpecSchema.safeParse(manifest?.spec);
  const base = given.success ? given.data : undefined;
  const [first] = base?.variants ?? [];
  const config = await readJson(path.join(directory, "pipeline.json"));
  const contextLength =
    options.contextLength ?? first?.contextLength ?? numberOf(config["contextLength"]) ?? 512;
  const precision = options.precision ?? first?.precision;
  const { variants: _, ...spec } = base ?? {};
  return {
    name: options.name ?? manifest?.name ?? path.basename(path.resolve(directory)).toLowerCase(),
    spec: {
      ...spec,
      ...(options.description !== undefined && { description: options.description }),
      ...(options.license !== undefined && { license: options.license }),
      ...(options.language !== undefined && { languages: [...options.language] }),
    },
    variant: {
      name: options.variant ?? first?.name ?? precision ?? "default",
      contextLength,
      ...(precision !== undefined && { precision }),
    },
    memoryBytes: first === undefined ? 0 : parseQuantityBytes(first.memory),
  };
}

const numberOf = (value: unknown) => (typeof value === "number" ? value : undefined);

async function readYaml(
  file: string,
): Promise<{ readonly name?: string | undefined; readonly spec: unknown } | undefined> {
  const text = await readFile(file, "utf8").catch(() => undefined);
  if (text === undefined) return undefined;
  const value = parse(text) as {
    readonly metadata?: { readonly name?: string };
    readonly spec?: unknown;
  } | null;
  return { name: value?.metadata?.name, spec: value?.spec };
}

async function readJson(file: string): Promise<Readonly<Record<string, unknown>>> {
  const text = await readFile(file, "utf8").catch((cause: unknown) => {
    throw errorWithHint(
      "ModelLoadFailed",
      `${file} can't be read`,
      'a model folder has model.onnx and pipeline.json, e.g. {"kind": "tensor", "inputs": […], "outputs": […]}: docs/runbooks/own-models.md',
      cause,
    );
  });
  try {
    return JSON.parse(text) as Readonly<Record<string, unknown>>;
  } catch (cause) {
    throw usageError(`${file} is no JSON: ${cause instanceof Error ? cause.message : ""}`);
  }
}

async function checkModel(io: CliIo, directory: string, options: PushOptions): Promise<OfflineReport> {
  const file = path.join(directory, GOLDEN);
  const text = await readFile(file, "utf8").catch(() => "");
  const golden = parseGolden(file, text);
  say(io, "loading and warming the model …");
  const items = await Promise.all(golden.map((line) => itemOf(directory, line)));
  const { results, report } = await runOffline(directory, items, { signal: options.signal });
  const types = report.taskTypes.join(", ");
  say(io, `loaded in ${Math.round(report.loadMs)} ms: ${types}`);
  const missing = golden.filter(({ output }) => output === undefined).length;
  if (golden.length === 0) {
    say(io, `no ${GOLDEN}: nothing shows that it answers right. One line per item: {"text": …, "output": …}`);
    return report;
  }
  for (const [index, line] of golden.entries()) {
    if (line.output === undefined) continue;
    const problem = differenceOf(results[index], line.output, options.tolerance);
    if (problem === undefined) continue;
    throw new AutoglmError("InvalidOption", `${file}, line ${index + 1}: ${problem}`, {
      details: { hint: "correct the model or its pipeline.json; or the golden answer, if that is wrong" },
    });
  }
  say(
    io,
    `${golden.length - missing} of ${golden.length} golden answers are equal within ${options.tolerance}`,
  );
  if (missing > 0 && options.record === true) {
    const lines = golden.map((line, index) => ({ ...line, output: line.output ?? results[index]?.output }));
    await writeFile(file, lines.map((line) => `${JSON.stringify(line)}\n`).join(""));
    say(io, `${missing} answers recorded in ${file}`);
  }
  return report;
}

async function itemOf(directory: string, { text, fields, file, parameters }: GoldenLine) {
  if (file === undefined) return { text, fields, parameters };
  const type = MEDIA.get(path.extname(file).toLowerCase());
  if (type === undefined) throw usageError(`${file}: golden files are ${[...MEDIA.keys()].join(", ")}`);
  const bytes = await readFile(path.join(directory, file));
  return { text, fields, parameters, media: { type, base64: bytes.toString("base64") } };
}

async function listFiles(directory: string): Promise<readonly ModelFile[]> {
  const golden = parseGolden(GOLDEN, await readFile(path.join(directory, GOLDEN), "utf8").catch(() => ""));
  const beside = new Set(golden.map(({ file }) => file));
  const names = (await readdir(directory)).filter(
    (name) => !NOT_OF_THE_MODEL.test(name) && !beside.has(name),
  );
  const files: ModelFile[] = [];
  for (const name of names.sort()) {
    const file = path.join(directory, name);
    const stats = await stat(file);
    if (!stats.isFile()) continue;
    const hash = createHash("sha256");
    await pipeline(createReadStream(file), async (chunks: AsyncIterable<Buffer>) => {
      for await (const chunk of chunks) hash.update(chunk);
    });
    files.push({ path: name, sha256: hash.digest("hex"), sizeBytes: stats.size });
  }
  return files;
}

async function upload(
  io: CliIo,
  cluster: Cluster,
  directory: string,
  files: readonly ModelFile[],
  signal: AbortSignal,
): Promise<void> {
  const { url, token } = await findResultsEndpoint(cluster, signal);
  for (const { path: name, sha256, sizeBytes } of files) {
    const address = `${url}/models/sha256/${sha256}`;
    const known = await fetch(address, { method: "HEAD", signal }).catch((cause: unknown) => {
      throw unreachable(url, cause);
    });
    if (known.ok) {
      say(io, `${name}: is there already`);
      continue;
    }
    say(io, `${name}: uploading ${(sizeBytes / 1e6).toFixed(1)} MB`);
    const response = await fetch(address, {
      method: "PUT",
      headers: { authorization: `Bearer ${token}`, "content-type": "application/octet-stream" },
      body: Readable.toWeb(createReadStream(path.join(directory, name))) as ReadableStream,
      duplex: "half",
      signal,
    }).catch((cause: unknown) => {
      throw unreachable(url, cause);
    });
    if (response.ok) continue;
    const { message = "", hint = "" } = (await response.json().catch(() => ({}))) as {
      readonly message?: string;
      readonly hint?: string;
    };
    throw errorWithHint(
      response.status === 401 || response.status === 403 ? "Forbidden" : "ApiUnavailable",
      `${name} was not taken: HTTP ${response.status} ${message}`,
      hint,
    );
  }
}

const unreachable = (url: string, cause: unknown) =>
  errorWithHint(
    "ApiUnavailable",
    `the file server ${url} can't be reached`,
    "the ingester serves it: see whether that runs",
    cause,
  );

/** Other variants of the model stay as they are. */
async function applyModel(
  { client }: Cluster,
  name: string,
  spec: Partial<ModelSpec>,
  variant: ModelVariant,
  signal: AbortSignal,
): Promise<void> {
  const existing = await client.find(MODELS, { name }, { signal });
  const others = existing?.spec.variants.filter((one) => one.name !== variant.name) ?? [];
  const object = {
    apiVersion: API_VERSION,
    kind: "AutoGLMModel",
    metadata: { name },
    spec: { ...existing?.spec, ...spec, variants: [variant, ...others] },
  };
  try {
    await client.apply<KubeObject>(MODELS, object, { signal });
  } catch (cause) {
    if (!hasErrorCode(cause, "Invalid")) throw cause;
    throw errorWithHint(
      "Invalid",
      `the AutoGLMModel is refused: ${cause.message}`,
      "see --name, --variant, --memory",
      cause,
    );
  }
}
