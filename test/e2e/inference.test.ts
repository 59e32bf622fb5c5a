/** Own models, hosted models, gates, prompts and data that stays: as users meet them, on a whole installation. */
import { cpSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { API_VERSION } from "@autoglm/api";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { FLEET } from "../../hack/local/fleet.ts";
import { TestInstallation } from "../support/installation.ts";
import { OpenAiServer } from "../support/openai-server/server.ts";
import { exampleData } from "./example-data.ts";

const KEY = "key-of-this-test";
let installation: TestInstallation;
let endpoint: OpenAiServer;
let keys: string;
let own: string;

beforeAll(async () => {
  keys = mkdtempSync(join(tmpdir(), "autoglm-keys-"));
  own = mkdtempSync(join(tmpdir(), "autoglm-own-"));
  endpoint = await OpenAiServer.start({
    flavour: "bigmodel",
    key: KEY,
    models: { "glm-test": "glm-test-250414" },
    // The library asks for the letter of a label.
    say: () => "A",
  });
  installation = await TestInstallation.start({
    nodes: FLEET.filter(({ name }) => name === "edge-4g" || name === "edge-8g"),
    agentEnv: { AUTOGLM_ENDPOINT_KEYS_DIR: keys },
  });
  await installation.apply(model("hosted", { standIn: "zh-sentiment" }), model("hosted-alone"));
});
afterAll(async () => {
  await installation?.stop();
  await endpoint?.[Symbol.asyncDispose]();
  for (const folder of [keys, own]) rmSync(folder, { recursive: true, force: true });
});

function model(name: string, more: Readonly<Record<string, unknown>> = {}): object {
  const variant = {
    name: "test",
    runtime: "openai",
    memory: "64Mi",
    contextLength: 8192,
    endpoint: { url: endpoint.url, model: "glm-test", keyName: "test-key" },
  };
  return {
    apiVersion: API_VERSION,
    kind: "AutoGLMModel",
    metadata: { name },
    spec: {
      taskTypes: ["text-classification", "text-generation"],
      aliases: [`GLM-${name}`],
      variants: [variant],
      ...more,
    },
  };
}

const reviews = { inline: ["服务很好，非常满意", "太差了，再也不来"] };

describe("a hosted model", () => {
  it("is stood in for without a key, and every result says so", async () => {
    await installation.createTask("stood-in", {
      type: "text-classification",
      model: "GLM-hosted",
      input: reviews,
    });
    const task = await installation.completed("stood-in");
    expect(task.status).toMatchObject({ model: "zh-sentiment", standInFor: "GLM-hosted" });
    for (const result of await installation.printedResults("stood-in")) {
      expect(result).toMatchObject({ answeredBy: { model: "zh-sentiment", standInFor: "GLM-hosted" } });
    }
  });

  it("is refused without key and stand-in, and goes on when the hint is followed", async () => {
    await installation.createTask("keyless", {
      type: "text-classification",
      model: "hosted-alone",
      input: reviews,
      parameters: { candidateLabels: ["positive", "negative"] },
    });
    const refused = await installation.taskWhen(
      "keyless",
      ({ status }) => status?.reason === "EndpointKeyMissing",
    );
    expect(refused.status?.hint).toContain("test-key");
    writeFileSync(join(keys, "test-key"), `${KEY}\n`);
    const task = await installation.completed("keyless");
    expect(task.status?.prompt).toContain("text-classification");
    for (const result of await installation.printedResults("keyless")) {
      expect(result).toMatchObject({
        output: [{ label: "positive" }],
        answeredBy: { model: "hosted-alone", served: "glm-test-250414" },
      });
    }
    expect(endpoint.requests.length).toBeGreaterThan(0);
  });

  it("is asked by a prompt of the namespace where there is one of that name", async () => {
    await installation.apply({
      apiVersion: API_VERSION,
      kind: "AutoGLMPrompt",
      metadata: { name: "mine", namespace: "default" },
      spec: {
        taskType: "text-classification",
        template: "MARKED BY THE TEST {{ text }}",
        labels: ["positive", "negative"],
      },
    });
    await installation.createTask("prompted", {
      type: "auto",
      model: "hosted-alone",
      input: { inline: ["a text"] },
      prompt: { name: "mine" },
    });
    const task = await installation.completed("prompted");
    expect(task.status).toMatchObject({ type: "text-classification", typeSource: "Prompt", prompt: "mine" });
    expect(JSON.stringify(endpoint.requests)).toContain("MARKED BY THE TEST a text");
  });
});

describe("a gate", () => {
  beforeAll(() => writeFileSync(join(keys, "test-key"), `${KEY}\n`));

  it("sends what the small model is unsure of to the hosted one, within the budget", async () => {
    const before = endpoint.requests.length;
    await installation.createTask("gated", {
      type: "text-classification",
      model: "zh-sentiment",
      input: { inline: ["一般", "还行吧", "就那样", "不好说", "凑合"] },
      parameters: { candidateLabels: ["positive", "negative"] },
      gating: { model: "hosted-alone", mode: "Post", minConfidence: 1, budget: { maxEscalations: 2 } },
    });
    await installation.completed("gated");
    const results = await installation.printedResults("gated");
    const deep = results.filter((result) => JSON.stringify(result).includes('"route":"deep"'));
    expect(deep, JSON.stringify(results)).toHaveLength(2);
    for (const result of deep) expect(result).toMatchObject({ answeredBy: { model: "hosted-alone" } });
    expect(results).toHaveLength(5);
    expect(endpoint.requests.length).toBeGreaterThan(before);
  });

  it("lets nothing of a SiteOnly input out, neither to the endpoint nor to the cloud", async () => {
    installation.writeData("secret.csv", "review\n这是绝密的评论甲\n这是绝密的评论乙\n");
    const before = endpoint.requests.length;
    const uid = await installation.createTask("site-only", {
      type: "text-classification",
      model: "zh-sentiment",
      input: { file: "secret.csv" },
      dataClass: "SiteOnly",
    });
    const task = await installation.completed("site-only");
    const records = await installation.records(uid);
    expect(records).toHaveLength(2);
    for (const record of records) {
      expect(record.output).toBeUndefined();
      expect(record.withheld?.sha256).toMatch(/^[0-9a-f]{64}$/);
    }
    expect(JSON.stringify(task)).not.toContain("positive");
    expect(endpoint.requests.length).toBe(before);
    const node = task.status?.node ?? "";
    const kept = readFileSync(join(installation.dir, "agents", node, "site", uid, "0.jsonl"), "utf8");
    expect(kept.trim().split("\n")).toHaveLength(2);
    expect(kept).toContain("labels");

    await installation.createTask("site-gated", {
      type: "text-classification",
      model: "zh-sentiment",
      input: { file: "secret.csv" },
      dataClass: "SiteOnly",
      gating: { model: "hosted-alone" },
    });
    await installation.taskWhen("site-gated", ({ status }) => status?.reason === "SiteOnlyForbidsEndpoint");
    expect(endpoint.requests.length).toBe(before);
  });
});

describe("examples/task-types", () => {
  beforeAll(() => exampleData(installation));

  it.each([
    ["text-classification", "english-sentiment", "positive"],
    ["zero-shot-classification", "topics", "经济"],
    ["token-classification", "english-names", "Angela Merkel"],
    ["text-generation", "two-sentences", "generated_text"],
    ["feature-extraction", "embed-questions", "0."],
    ["image-classification", "what-is-it", "cat"],
    ["image-to-text", "read-page", "portraits with the"],
  ])("%s works as it stands", async (type, name, expected) => {
    await installation.kubectl("apply", "-f", `examples/task-types/${type}.yaml`);
    const task = await installation.completed(name);
    expect(task.status).toMatchObject({ type });
    const results = await installation.printedResults(name);
    expect(results.filter(({ error }) => error !== undefined)).toEqual([]);
    expect(JSON.stringify(results[0]?.output)).toContain(expected);
  });

  it.each([
    ["relation-extraction", "who-works-where"],
    ["question-answering", "opening-hours"],
    ["summarization", "short-version"],
  ])("%s waits for the key of its hosted model, and says so", async (type, name) => {
    await installation.kubectl(
      "apply",
      "-f",
      "models/endpoints.yaml",
      "-f",
      `examples/task-types/${type}.yaml`,
    );
    const { status } = await installation.taskWhen(
      name,
      ({ status: { reason } = {} }) => reason === "EndpointKeyMissing",
    );
    expect(status).toMatchObject({ type, model: "glm-4-flash", hint: expect.stringContaining("bigmodel") });
  });
});

describe("a model of one's own", () => {
  const contract = {
    kind: "tensor",
    batchAxis: 0,
    inputs: [{ name: "char_ids", datatype: "INT64", shape: [-1, -1] }],
    outputs: [{ name: "probabilities", datatype: "FP32", shape: [-1, 2] }],
  };
  const folder = (name: string, pipeline: unknown, golden = ""): string => {
    const dir = join(own, name);
    mkdirSync(dir, { recursive: true });
    cpSync("models/zh-sentiment/model.onnx", join(dir, "model.onnx"));
    writeFileSync(join(dir, "pipeline.json"), JSON.stringify(pipeline));
    if (golden !== "") writeFileSync(join(dir, "golden.jsonl"), golden);
    return dir;
  };
  const tensors = JSON.stringify({
    inputs: [{ name: "char_ids", datatype: "INT64", shape: [1, 8], data: [5, 6, 7, 8, 9, 10, 11, 12] }],
  });

  it("is checked, measured, uploaded and placed, and answers as it did here", async () => {
    const dir = folder("own-tensor", contract, `${JSON.stringify({ text: tensors })}\n`);
    const pushed = await installation.run("autoglm", ["models", "push", dir, "--record"]);
    expect(pushed).toMatchObject({ exitCode: 0, stdout: "autoglmmodel.autoglm.io/own-tensor" });
    expect(pushed.stderr).toContain("to be reserved");
    const recorded = JSON.parse(readFileSync(join(dir, "golden.jsonl"), "utf8")) as {
      output: { outputs: readonly { data: readonly number[] }[] };
    };
    await installation.createTask("own", {
      type: "tensor",
      model: "own-tensor",
      input: { inline: [tensors] },
    });
    await installation.completed("own");
    const [result] = await installation.printedResults("own");
    const [output] = (result?.output ?? []) as unknown as { data: readonly number[] }[];
    for (const [index, value] of (recorded.output.outputs[0]?.data ?? [NaN]).entries()) {
      expect(output?.data[index]).toBeCloseTo(value, 4);
    }
  });

  it("is refused before it gets anywhere when its contract is not its graph's, or it answers otherwise", async () => {
    const wrongName = folder("wrong-name", {
      ...contract,
      inputs: [{ name: "ids", datatype: "INT64", shape: [-1, -1] }],
    });
    const refused = await installation.run("autoglm", ["models", "push", wrongName]);
    expect(refused.exitCode).not.toBe(0);
    expect(refused.stderr).toContain("ids");
    const output = {
      type: "tensor",
      outputs: [{ name: "probabilities", datatype: "FP32", shape: [1, 2], data: [2, 2] }],
      scoreSource: "none",
    };
    const wrongAnswer = folder("wrong-answer", contract, `${JSON.stringify({ text: tensors, output })}\n`);
    const other = await installation.run("autoglm", ["models", "push", wrongAnswer]);
    expect(other.exitCode).not.toBe(0);
    expect(other.stderr).toContain("line 1: output.outputs.0.data.0");
    expect(await installation.kubectl("get", "autoglmmodels", "-o", "name")).not.toContain("wrong");
  });

  it("is judged by gold", async () => {
    writeFileSync(join(own, "gold.csv"), "text,label\n服务很好,positive\n太差了,negative\n");
    const judged = await installation.run("autoglm", [
      "eval",
      "models/zh-sentiment",
      "--gold",
      join(own, "gold.csv"),
      "-o",
      "json",
    ]);
    expect(JSON.parse(judged.stdout)).toMatchObject({ measure: "accuracy", items: 2 });
  });
});

it("reads pieces of long texts, and says where in the record an entity stands", async () => {
  const record = `${"。".repeat(90)}李白住在长安城里写诗，杜甫在成都。`;
  installation.writeData("long.jsonl", `${JSON.stringify({ text: record })}\n`);
  await installation.createTask("pieces", {
    type: "ner",
    model: "zh-ner",
    input: { file: "long.jsonl" },
    preprocess: [{ step: "nfkc" }, { step: "split", maxCharacters: 64, overlap: 16 }],
    placement: { tier: "4Gi" },
  });
  await installation.completed("pieces");
  const results = await installation.printedResults("pieces");
  expect(results.length).toBeGreaterThan(1);
  const entities = results.flatMap(
    ({ output = [] }) => output as readonly { word?: string; start?: number; end?: number }[],
  );
  expect(entities.length).toBeGreaterThan(0);
  for (const { word, start, end } of entities) expect(record.slice(start, end)).toBe(word);
});
