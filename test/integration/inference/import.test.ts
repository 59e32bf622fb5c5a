import { mkdtemp, readdir, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";
import { execa } from "execa";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { parse } from "yaml";
import { modelSpecSchema, type ItemOutput } from "@autoglm/api";
import { loadOnnxSession } from "../../../edge-agent/src/engine/onnx-session.ts";
import { kvDecoderConfigSchema } from "../../../edge-agent/src/pipelines/config.ts";
import { KvDecoder } from "../../../edge-agent/src/pipelines/kv-decoder.ts";
import { startCli } from "../cli/cli.ts";

const BUILD = path.join(import.meta.dirname, "../../../models/build");

let folder: string;
beforeAll(async () => {
  folder = await mkdtemp(path.join(tmpdir(), "autoglm-import-"));
});
afterAll(() => rm(folder, { recursive: true }));

async function checkpoint(architecture: string): Promise<string> {
  const source = path.join(folder, architecture);
  await execa("python3", [BUILD, "random-checkpoint", source, architecture]);
  return source;
}

async function importWith(...args: readonly string[]) {
  return startCli(["models", "import", ...args], {}).ended;
}

async function open(directory: string): Promise<KvDecoder> {
  const readJson = async (name: string): Promise<unknown> =>
    JSON.parse(await readFile(path.join(directory, name), "utf8"));
  const loadSession = async (name: string) => {
    const options = { threads: 1, executionProviders: ["cpu"] } as const;
    return (await loadOnnxSession(path.join(directory, name), options)).session;
  };
  const config = kvDecoderConfigSchema.parse(await readJson("pipeline.json"));
  const files = { config, contextLength: 256, readJson, loadSession };
  return KvDecoder.create(await loadSession("model.onnx"), config, files);
}

describe.each(["glm-edge", "glm-4-9b", "glm4-0414", "llama", "llama-3"])("a random %s", (architecture) => {
  test("answers in the agent's decoder as the formulas say", async () => {
    const source = await checkpoint(architecture);
    const out = path.join(folder, `${architecture}-fp32`);
    const outcome = await importWith(source, "--out", out, "--precision", "fp32");
    expect(outcome).toMatchObject({ code: 0, stdout: `${out}\n` });
    expect(outcome.stderr).toContain("layer 2 of 2");
    const decoder = await open(out);
    const expected = JSON.parse(await readFile(path.join(source, "expected.json"), "utf8")) as {
      readonly prompt: number[];
      readonly continuation: number[];
      readonly logprob: number;
    };
    // [gMASK] <sop> <|user|> … <|assistant|> of the checkpoint's own template, whose control tokens are one id each.
    expect(decoder.prompt.encode([{ role: "user", content: "Hi" }])).toEqual(expected.prompt);
    const [score] = await decoder.scoreContinuations(
      expected.prompt,
      [expected.continuation],
      () => undefined,
    );
    expect(score?.logprob).toBeCloseTo(expected.logprob, 3);
    const item = (text: string) =>
      ({ type: "text-generation", text, parameters: { maxNewTokens: 6 } }) as const;
    const items = [item("Hi"), item("A longer text <|user|> than that")];
    const [short, long] = await decoder.run(items, { onProgress: () => undefined });
    const outputOf = (result: typeof short) =>
      (result as { output: Extract<ItemOutput, { type: "text-generation" }> }).output;
    expect(outputOf(short).prompt_tokens).toBe(expected.prompt.length);
    // A byte each, the role marker included: no user has slipped in.
    expect(outputOf(long).prompt_tokens).toBe(expected.prompt.length - 2 + 32);
  });
});

test("the manifest is one that the API takes, in every precision", async () => {
  const source = await checkpoint("glm-edge");
  for (const precision of ["int4", "int8"]) {
    const out = path.join(folder, precision);
    const args = ["--out", out, "--precision", precision, "--name", "my-glm", "--context-length", "128"];
    expect((await importWith(source, ...args)).code).toBe(0);
    const manifest: unknown = parse(await readFile(path.join(out, "model.yaml"), "utf8"));
    expect(manifest).toMatchObject({ kind: "AutoGLMModel", metadata: { name: "my-glm" } });
    const spec = modelSpecSchema.parse((manifest as { spec: unknown }).spec);
    expect(spec.variants[0]).toMatchObject({ name: precision, precision, contextLength: 128 });
    const files = spec.variants[0]?.files?.map((file) => file.path) ?? [];
    expect([...files, "model.yaml"].toSorted()).toEqual((await readdir(out)).toSorted());
    await expect(open(out)).resolves.toBeInstanceOf(KvDecoder);
  }
});

test("a checkpoint that can't be imported is refused in the converter's words, and leaves nothing", async () => {
  const source = await checkpoint("glm-4-9b");
  await rm(path.join(source, "tokenizer.json"));
  const out = path.join(folder, "refused");
  const { code, stderr } = await importWith(source, "--out", out);
  expect(code).toBe(1);
  expect(stderr).toMatch(/^error: .*tokenizer\.json is missing; fetch tokenizer\.json/m);
  expect((await readdir(folder)).filter((name) => name.includes("refused") || name.startsWith("."))).toEqual(
    [],
  );
});
