import { fileURLToPath } from "node:url";
import type { PromptFacts } from "@autoglm/core";
import { expect, it } from "vitest";
import type { CliIo } from "./io.ts";
import { readPrompts, type PromptChoice } from "./prompts.ts";

const io = {} as CliIo; // read for stdin alone
const file = fileURLToPath(new URL("../../prompts/text-classification.yaml", import.meta.url));
const names = async (choice: PromptChoice, facts: Omit<PromptFacts, "taskType"> = {}) =>
  (await readPrompts(io, choice, { taskType: "text-classification", ...facts }))?.map(({ name }) => name);

it("chooses one for each language, as for a task: with examples where they have the labels", async () => {
  expect(await names({ prompts: file })).toEqual([
    "text-classification-en-few",
    "text-classification-zh-few",
  ]);
  expect(await names({ prompts: file }, { labels: ["spam", "ham"], language: "zh" })).toEqual([
    "text-classification-zh-zero",
    "text-classification-en-zero",
  ]);
});

it("takes the one that is named, and none where no file is", async () => {
  const prompt = "text-classification-en-zero";
  expect(await names({ prompts: file, prompt })).toEqual([prompt]);
  expect(await names({})).toBeUndefined();
});

it.each([
  [{ prompts: file, prompt: "nonsense" }, "has no prompt nonsense for text-classification"],
  [{ prompt: "text-classification-en-zero" }, "--prompt"],
])("refuses %j", async (choice, message) => {
  await expect(names(choice)).rejects.toThrow(message);
});

it("says what the file has when it has none for the type", async () => {
  await expect(readPrompts(io, { prompts: file }, { taskType: "summarization" })).rejects.toThrow(
    "it has text-classification-en-zero (text-classification)",
  );
});
