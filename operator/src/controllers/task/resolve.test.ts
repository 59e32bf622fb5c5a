import type { AutoGLMModel, TaskSpecInput, TaskType } from "@autoglm/api";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { taskWith } from "./plan-world.test-support.ts";
import { MAX_BUS_INPUT_BYTES, pickDocument, resolveTask, type InputDocument } from "./resolve.ts";

const model = (name: string, taskTypes: readonly TaskType[], memory = "1Gi"): AutoGLMModel => ({
  apiVersion: "autoglm.io/v1alpha1",
  kind: "AutoGLMModel",
  metadata: { name, uid: name },
  spec: {
    taskTypes: [...taskTypes],
    preference: 0,
    variants: [{ name: "v", runtime: "onnx", precision: "int8", memory, contextLength: 1, files: [] }],
  },
});
const sentiment = model("sentiment", ["text-classification"]);
const ner = model("ner", ["token-classification"]);
const both = model("both", ["text-classification", "token-classification"]);

const resolve = (
  spec: Partial<TaskSpecInput>,
  models: readonly AutoGLMModel[] = [sentiment, ner],
  document: InputDocument = { state: "none" },
) => resolveTask({ task: taskWith(spec), models, document, prompts: [], heldKeys: new Set() });

describe("resolveTask", () => {
  it("takes the type from the task, then from the model, then from the input", () => {
    expect(resolve({ type: "ner" })).toMatchObject({
      type: "token-classification",
      typeSource: "Spec",
      tier: "6Gi",
    });
    expect(resolve({ type: "auto", model: "ner" })).toMatchObject({
      type: "token-classification",
      typeSource: "Model",
    });
    const inline = ["服务很好，满意", "太差了，失望"];
    expect(resolve({ type: "auto", input: { inline } })).toMatchObject({
      type: "text-classification",
      typeSource: "Input",
    });
    expect(resolve({ type: "auto", model: "both", input: { inline } }, [both])).toMatchObject({
      typeSource: "Input",
    });
  });

  it("recognises the texts of a document by their lines or, in JSON, by their strings", () => {
    const spec = { type: "auto", input: { configMapRef: { name: "c" } } } as const;
    const lines = "review\n服务很好，满意\n太差了，失望\n房间不错，推荐";
    expect(resolve(spec, undefined, { state: "present", text: lines })).toMatchObject({
      type: "text-classification",
    });
    const json = JSON.stringify([
      { id: "1", review: "服务很好，满意" },
      { id: "2", review: "太差了，失望" },
    ]);
    expect(resolve(spec, undefined, { state: "present", text: json })).toMatchObject({
      type: "text-classification",
    });
  });

  it("takes the first model by name that serves the type", () => {
    const models = [model("b", ["text-classification"]), model("a", ["text-classification"]), ner];
    expect(resolve({ type: "text-classification" }, models)).toMatchObject({
      model: { metadata: { name: "a" } },
    });
  });

  it.each([
    ["TypeNotResolved", { type: "auto", input: { inline: ["hello"] } }, {}],
    ["ModelNotFound", { model: "nothing" }, {}],
    ["ModelNotFound", { type: "text-generation" }, {}],
    ["ModelDoesNotServeType", { type: "text-classification", model: "ner" }, {}],
    [
      "NoVariantFitsTier",
      { placement: { tier: "4Gi" } },
      { models: [model("m", ["text-classification"], "5Gi")] },
    ],
    ["InputEmpty", { input: { inline: [" ", ""] } }, {}],
    [
      "InputTooLarge",
      { input: { configMapRef: { name: "c" } } },
      { text: "x".repeat(MAX_BUS_INPUT_BYTES + 1) },
    ],
  ] as const)(
    "refuses with %s",
    (reason, spec, { models, text }: { models?: readonly AutoGLMModel[]; text?: string }) => {
      const document: InputDocument = text === undefined ? { state: "none" } : { state: "present", text };
      const refusal = resolve(spec as Partial<TaskSpecInput>, models, document);
      expect(refusal).toMatchObject({ isResolved: false, reason });
      expect(refusal).toHaveProperty("hint", expect.stringMatching(/./));
    },
  );

  it("names ten models that there are, says how many more, and what lists them", () => {
    const models = Array.from({ length: 13 }, (_, index) => model(`m${String(index).padStart(2, "0")}`, []));
    const refusal = resolve({ model: "nothing" }, models);
    expect(refusal).toMatchObject({
      hint: "models there are: m00, m01, m02, m03, m04, m05, m06, m07, m08, m09 and 3 more; kubectl get autoglmmodels lists them all",
    });
  });

  it("knows what nothing outside the task can mend", () => {
    const isFinal = (spec: Partial<TaskSpecInput>) => {
      const resolution = resolve(spec, [ner]);
      return resolution.isResolved ? undefined : resolution.isFinal;
    };
    expect(isFinal({ input: { inline: [" "] } })).toBe(true);
    expect(isFinal({ type: "auto", input: { inline: ["hello"] } })).toBe(true);
    expect(isFinal({ model: "nothing" })).toBeFalsy();
  });

  it("names the smallest tier that would do, as a command", () => {
    const refusal = resolve({ placement: { tier: "4Gi" } }, [model("m", ["text-classification"], "5Gi")]);
    expect(refusal).toMatchObject({
      hint: `kubectl patch agt/x -n default --type merge -p '{"spec":{"placement":{"tier":"6Gi"}}}'`,
    });
  });

  it("does not depend on the order of the models", () => {
    fc.assert(
      fc.property(
        fc.shuffledSubarray([sentiment, ner, both]),
        fc.constantFrom("auto", "ner", "text-generation"),
        (models, type) => {
          const spec = { type: type as "auto", input: { inline: ["服务很好，满意"] } };
          expect(resolve(spec, models.toReversed())).toEqual(resolve(spec, models));
        },
      ),
    );
  });
});

describe("pickDocument", () => {
  it.each([
    [undefined, undefined, { state: "noConfigMap" }],
    [{ a: "1" }, undefined, { state: "present", text: "1" }],
    [{ a: "1", b: "2" }, "b", { state: "present", text: "2" }],
    [{ b: "1", a: "2" }, undefined, { state: "noKey", keys: ["a", "b"] }],
    [{ a: "1" }, "x", { state: "noKey", keys: ["a"] }],
    [{}, undefined, { state: "noKey", keys: [] }],
  ] as const)("picks from %j by %j", (content, key, expected) => {
    expect(pickDocument(content, key)).toEqual(expected);
  });
});
