import { promptSpecSchema, type PromptSpec, type WorkPrompt } from "@autoglm/api";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import {
  choosePrompt,
  choosePrompts,
  promptForText,
  type PromptCandidate,
  type PromptFacts,
} from "./prompts.ts";

function candidate(name: string, spec: Partial<PromptSpec> = {}): PromptCandidate {
  const fields = { taskType: "text-classification", template: "{{ text }}", ...spec };
  return { name, spec: promptSpecSchema.parse(fields) };
}

const examples = [
  { input: "fine", output: "positive" },
  { input: "bad", output: "negative" },
];
const labels = ["positive", "negative"];
const library = [
  candidate("en-zero", { language: "en", labels }),
  candidate("en-few", { language: "en", labels, examples }),
  candidate("zh-zero", { language: "zh", labels }),
  candidate("zh-few", { language: "zh", labels, examples }),
  candidate("ner-en", { language: "en", taskType: "token-classification" }),
];
const taskType = "text-classification" as const;

describe("the prompt of a task", () => {
  it.each<readonly [string, PromptFacts, string | undefined]>([
    ["the language of the texts", { taskType, language: "zh" as const }, "zh-few"],
    [
      "another language when there is no better",
      { taskType: "token-classification" as const, language: "zh" as const },
      "ner-en",
    ],
    [
      "none with examples for a short context",
      { taskType, language: "en" as const, contextLength: 512 },
      "en-zero",
    ],
    [
      "none with examples for labels that they don't have",
      { taskType, language: "en", labels: ["spam", "ham"] },
      "en-zero",
    ],
    ["examples for the labels that they have", { taskType, language: "en", labels: ["negative"] }, "en-few"],
    ["nothing for a type that no prompt is for", { taskType: "summarization" as const }, undefined],
  ])("is chosen by %s", (_what, facts, name) => {
    expect(choosePrompt(library, facts)?.name).toBe(name);
  });

  it("does not depend on the order of the candidates", () => {
    const facts = fc.record({
      taskType: fc.constantFrom("text-classification", "token-classification"),
      language: fc.option(fc.constantFrom("zh", "en"), { nil: undefined }),
      contextLength: fc.option(fc.constantFrom(256, 8192), { nil: undefined }),
    });
    fc.assert(
      fc.property(fc.shuffledSubarray(library, { minLength: library.length }), facts, (shuffled, wanted) => {
        expect(choosePrompt(shuffled, wanted)).toEqual(choosePrompt(library, wanted));
      }),
    );
  });

  it("is one for each language, that of the task first", () => {
    const namesFor = (language: PromptFacts["language"]) =>
      choosePrompts(library, { taskType, language }).map(({ name }) => name);
    expect(namesFor("zh")).toEqual(["zh-few", "en-few"]);
    expect(namesFor("en")).toEqual(["en-few", "zh-few"]);
    expect(namesFor(undefined)).toEqual(["en-few", "zh-few"]);
    const ner = choosePrompts(library, { taskType: "token-classification" });
    expect(ner.map(({ name }) => name)).toEqual(["ner-en"]);
  });
});

describe("the prompt for a text", () => {
  const work = (name: string, language: WorkPrompt["language"]): WorkPrompt => ({
    name,
    language,
    taskType,
    template: "{{ text }}",
    variables: {},
    examples: [],
  });
  const prompts = [work("en", "en"), work("zh", "zh")];

  it("has its language", () => {
    expect(promptForText(prompts, "房间很干净")?.name).toBe("zh");
    expect(promptForText(prompts, "a clean room")?.name).toBe("en");
    expect(promptForText(prompts, "iPhone 15 很好用")?.name).toBe("zh");
  });

  it.each(["12345", "👍", "すごい部屋です", "방이 깨끗했어요", "Чистый номер", ""])(
    "is that for any language, else the first, for %j",
    (text) => {
      expect(promptForText(prompts, text)?.name).toBe("en");
      expect(promptForText(prompts.toReversed(), text)?.name).toBe("zh");
      expect(promptForText([...prompts, work("any", "any")], text)?.name).toBe("any");
    },
  );

  it("is the only one when a task names one", () => {
    expect(promptForText([work("zh", "zh")], "a clean room")?.name).toBe("zh");
    expect(promptForText([], "a clean room")).toBeUndefined();
  });
});
