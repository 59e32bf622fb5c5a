import type { AutoGLMModel, ModelVariant, PromptSpec, TaskSpecInput, TaskType } from "@autoglm/api";
import type { PromptCandidate } from "@autoglm/core";
import { describe, expect, it } from "vitest";
import { taskWith } from "./plan-world.test-support.ts";
import { resolveTask } from "./resolve.ts";

const onnx: ModelVariant = { name: "int8", runtime: "onnx", memory: "1Gi", contextLength: 512, files: [] };
const hosted: ModelVariant = {
  name: "hosted",
  runtime: "openai",
  memory: "64Mi",
  contextLength: 128_000,
  endpoint: {
    url: "https://glm.example.com/v4",
    model: "glm-4-flash-250414",
    keyName: "glm",
    maxConcurrency: 8,
  },
};

function model(
  name: string,
  taskTypes: readonly TaskType[],
  more: Partial<AutoGLMModel["spec"]> = {},
): AutoGLMModel {
  return {
    apiVersion: "autoglm.io/v1alpha1",
    kind: "AutoGLMModel",
    metadata: { name, uid: name },
    spec: { taskTypes: [...taskTypes], preference: 0, variants: [onnx], ...more },
  };
}

const glm = model("glm-4-flash", ["text-classification", "text-generation"], {
  aliases: ["glm-4", "GLM-4-Flash"],
  variants: [hosted],
});
const small = model("small", ["text-classification", "text-generation"]);
const prompt = (name: string, taskType: TaskType, more: Partial<PromptSpec> = {}): PromptCandidate => ({
  name,
  spec: { taskType, language: "any", template: "{{ text }}", ...more },
});
const library = [
  prompt("classify-zh", "text-classification", { language: "zh" }),
  prompt("classify-en", "text-classification", { language: "en" }),
];

const resolve = (
  spec: Partial<TaskSpecInput>,
  models: readonly AutoGLMModel[],
  {
    heldKeys = [],
    prompts = library,
  }: { heldKeys?: readonly string[]; prompts?: readonly PromptCandidate[] } = {},
) =>
  resolveTask({
    task: taskWith({ type: "text-classification", ...spec }),
    models,
    document: { state: "none" },
    prompts,
    heldKeys: new Set(heldKeys),
  });

describe("a named model", () => {
  it.each(["glm-4", "GLM-4", "glm-4-flash", "GLM-4-FLASH"])("is found as %s, whatever its case", (name) => {
    expect(resolve({ model: name }, [small, glm], { heldKeys: ["glm"] })).toMatchObject({
      isResolved: true,
      model: { metadata: { name: "glm-4-flash" } },
      candidates: [{ keyNames: ["glm"] }],
    });
  });

  it("is stood in for where neither key nor weights are there, and the result says for which", () => {
    const absent = { ...glm, spec: { ...glm.spec, standIn: "small" } };
    expect(resolve({ model: "GLM-4" }, [small, absent])).toMatchObject({
      isResolved: true,
      model: { metadata: { name: "small" } },
      standInFor: "GLM-4",
    });
  });

  it("is refused where the stand-in does not do the type, for want of the key", () => {
    const other = model("other", ["text-generation"]);
    const absent = { ...glm, spec: { ...glm.spec, standIn: "other" } };
    expect(resolve({ model: "GLM-4" }, [other, absent])).toMatchObject({
      isResolved: false,
      reason: "EndpointKeyMissing",
      message: expect.stringContaining("its stand-in other does not do text-classification"),
      hint: expect.stringContaining("kubectl create secret generic autoglm-endpoint-keys"),
      type: "text-classification",
    });
  });

  it("decides type auto by itself, not by the stand-in", () => {
    const other = model("other", ["text-generation"]);
    const absent = model("hosted", ["text-classification"], {
      variants: glm.spec.variants,
      standIn: "other",
    });
    expect(resolve({ type: "auto", model: "hosted" }, [other, absent])).toMatchObject({
      isResolved: false,
      reason: "EndpointKeyMissing",
      type: "text-classification",
    });
  });

  it("is refused without a stand-in, with the command that mends it", () => {
    expect(resolve({ model: "glm-4" }, [small, glm])).toMatchObject({
      isResolved: false,
      reason: "EndpointKeyMissing",
      hint: expect.stringContaining("kubectl create secret generic autoglm-endpoint-keys"),
    });
  });
});

describe("the default model", () => {
  const zh = model("zh", ["text-classification"], { languages: ["zh"], preference: 10 });
  const en = model("en", ["text-classification"], { languages: ["en"] });

  it.each([
    ["the language of the input", { input: { inline: ["The room was clean."] } }, "en"],
    ["preference where the input can't be seen", { input: { file: "reviews.csv" } }, "zh"],
    ["files before an endpoint", { input: { inline: ["123"] } }, "zh"],
  ] as const)("goes by %s", (_what, spec, name) => {
    expect(resolve(spec as Partial<TaskSpecInput>, [glm, en, zh], { heldKeys: ["glm"] })).toMatchObject({
      model: { metadata: { name } },
    });
  });
});

describe("prompts", () => {
  it.each([
    ["Chinese", { inline: ["房间很干净", "10/10"] }, ["classify-zh", "classify-en"]],
    ["English", { inline: ["The room was clean.", "10/10"] }, ["classify-en", "classify-zh"]],
    ["a language that can't be seen", { file: "reviews.csv" }, ["classify-en", "classify-zh"]],
  ])("of the library go to a generating model, first the one for texts in %s", (_what, input, names) => {
    expect(resolve({ model: "small", input }, [small])).toMatchObject({
      prompts: names.map((name) => ({ name })),
    });
  });

  it("are none for raw generation, and none for a classifier", () => {
    const classifier = model("classifier", ["text-classification"]);
    expect(resolve({ type: "text-generation", model: "small" }, [small])).not.toHaveProperty("prompts");
    expect(resolve({ model: "classifier" }, [classifier])).not.toHaveProperty("prompts");
  });

  it.each([
    ["PromptNotFound", { prompt: { name: "nothing" } }, {}],
    ["PromptInvalid", { prompt: { name: "other" } }, { prompts: [prompt("other", "summarization")] }],
    [
      "PromptInvalid",
      { prompt: { name: "needy" } },
      { prompts: [prompt("needy", "text-classification", { variables: [{ name: "tone" }] })] },
    ],
    ["PromptInvalid", { prompt: { name: "classify-zh", variables: { tone: "x" } } }, {}],
    ["PromptNeeded", {}, { prompts: [] }],
  ] as const)("that don't fit are refused with %s", (reason, spec, more) => {
    expect(resolve({ model: "small", ...(spec as Partial<TaskSpecInput>) }, [small], more)).toMatchObject({
      isResolved: false,
      reason,
    });
  });

  it("give type auto its type", () => {
    expect(resolve({ type: "auto", prompt: { name: "classify-zh" }, model: "small" }, [small])).toMatchObject(
      {
        type: "text-classification",
        typeSource: "Prompt",
      },
    );
  });

  it("take the place of a built-in one by their own examples and variables", () => {
    const needy = prompt("needy", "text-classification", {
      variables: [{ name: "tone", default: "calm" }, { name: "domain" }],
    });
    const spec = { model: "small", prompt: { name: "needy", variables: { domain: "hotels" } } };
    expect(resolve(spec, [small], { prompts: [needy] })).toMatchObject({
      prompts: [{ name: "needy", variables: { tone: "calm", domain: "hotels" } }],
    });
  });
});

describe("the model behind the gate", () => {
  const classifier = model("classifier", ["text-classification"]);

  it("counts with its memory and its key", () => {
    const resolved = resolve({ model: "classifier", gating: { model: "glm-4" } }, [classifier, glm], {
      heldKeys: ["glm"],
    });
    expect(resolved).toMatchObject({
      // The classifier takes none; the model behind it is asked in words.
      prompts: [{ name: "classify-en" }, { name: "classify-zh" }],
      deep: { model: { metadata: { name: "glm-4-flash" } } },
      candidates: [{ bytes: 2 ** 30 + 64 * 2 ** 20, keyNames: ["glm"] }],
    });
  });

  it.each(["nothing", "ner"])("is refused when it is %s", (name) => {
    const ner = model("ner", ["token-classification"]);
    expect(resolve({ model: "classifier", gating: { model: name } }, [classifier, ner])).toMatchObject({
      reason: "GateModelInvalid",
    });
  });

  it("may not be an endpoint for SiteOnly input, nor may the model itself", () => {
    const site = { input: { file: "a.csv" }, dataClass: "SiteOnly" as const };
    const heldKeys = ["glm"];
    const gated = { ...site, model: "classifier", gating: { model: "glm-4" } };
    expect(resolve(gated, [classifier, glm], { heldKeys })).toMatchObject({
      reason: "SiteOnlyForbidsEndpoint",
    });
    expect(resolve({ ...site, model: "glm-4" }, [glm], { heldKeys })).toMatchObject({
      reason: "SiteOnlyForbidsEndpoint",
    });
    const both = model("both", ["text-classification"], { variants: [hosted, onnx] });
    expect(resolve({ ...site, model: "both" }, [both], { heldKeys })).toMatchObject({
      candidates: [{ variant: { name: "int8" } }],
    });
  });
});
