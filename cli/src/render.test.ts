import type { ItemOutput, ResultRecord } from "@autoglm/api";
import { expect, it } from "vitest";
import { renderResult } from "./render.ts";

const classification: ItemOutput = {
  type: "text-classification",
  labels: [
    { label: "positive", score: 0.98214 },
    { label: "negative", score: null },
  ],
  scoreSource: "probability",
};
const entities: ItemOutput = {
  type: "token-classification",
  entities: [
    { entity_group: "PER", score: 0.9, word: "张三", start: 0, end: 2 },
    { entity_group: "LOC", score: 0.8, word: "北京", start: 3, end: 5 },
  ],
  scoreSource: "marginal",
};
const generation: ItemOutput = {
  type: "text-generation",
  generated_text: "one\ntwo\tthree\\n",
  finish_reason: "stop",
  prompt_tokens: 5,
  completion_tokens: 3,
  score: 0.5,
  scoreSource: "logprob",
};
function record(result: Partial<ResultRecord>): ResultRecord {
  return {
    item: 7,
    stage: "final",
    ms: 1.5,
    run: 0,
    epoch: 2,
    node: "edge-1",
    acceptedAt: "2026-11-23T08:00:00Z",
    ...result,
  };
}

it.each([
  [classification, "7\tpositive 0.9821 negative"],
  [entities, "7\t张三/PER 北京/LOC"],
  [generation, "7\tone\\ntwo\\tthree\\\\n"],
] as const)("renders %o as one line of text", (output, expected) => {
  expect(renderResult(record({ output }), "text")).toBe(expected);
});

it.each(["text", "json"] as const)("lets no answer control the terminal, in %s", (format) => {
  const text = "\u001b]52;c;cm0gLXJm\u0007\u009b2J\u007f";
  const line = renderResult(record({ output: { ...generation, generated_text: text } }), format);
  // oxlint-disable-next-line no-control-regex -- they must not be there
  expect(line).not.toMatch(/[\0-\x08\x0a-\x1f\x7f-\x9f]/);
  expect(line).toContain("\\u009b2J\\u007f");
});

it("renders what the Hugging Face pipeline returns, with ours beside it", () => {
  const json = (fields: Partial<ResultRecord>) => JSON.parse(renderResult(record(fields), "json")) as unknown;
  expect(json({ output: classification })).toEqual({
    item: 7,
    output: classification.labels,
    scoreSource: "probability",
    node: "edge-1",
    ms: 1.5,
  });
  expect(json({ output: generation, run: 2, stage: "provisional" })).toEqual({
    item: 7,
    run: 2,
    stage: "provisional",
    output: [{ generated_text: generation.generated_text }],
    scoreSource: "logprob",
    score: 0.5,
    finish_reason: "stop",
    prompt_tokens: 5,
    completion_tokens: 3,
    node: "edge-1",
    ms: 1.5,
  });
});

it("renders an error of an item in its place, and names the task where there are several", () => {
  const failed = record({ error: { code: "ItemInvalid", message: "no\ntext" } });
  expect(renderResult(failed, "text", "reviews")).toBe("reviews\t7\terror ItemInvalid: no\\ntext");
  expect(JSON.parse(renderResult(failed, "json", "reviews"))).toEqual({
    task: "reviews",
    item: 7,
    error: { code: "ItemInvalid", message: "no\ntext" },
    node: "edge-1",
    ms: 1.5,
  });
});
