import fc from "fast-check";
import { expect, test } from "vitest";
import type { OutputOf } from "@autoglm/api";
import type { Parameters, PipelineItem } from "./pipeline.ts";
import { softmax, ZeroShot } from "./zero-shot.ts";

const numbers = { temperature: 0.1, slope: 10, offset: 0 };
const config = {
  han: { ...numbers, hypothesis: "这是{}", other: "其他" },
  other: { ...numbers, hypothesis: "It is {}", other: "other" },
};

/** Hypotheses that were embedded, and a classifier on whose axes x, y and z they lie. */
function classifier(axes: Readonly<Record<string, readonly number[]>>) {
  const embedded: string[] = [];
  const zeroShot = new ZeroShot(config, async (texts) => {
    embedded.push(...texts);
    return texts.map((text) => Float32Array.from(axes[text] ?? [0, 0, 1]));
  });
  const judge = async (parameters: Parameters, embedding: readonly number[] = [1, 0, 0]) => {
    const item: PipelineItem = { type: "zero-shot-classification", text: "text", parameters };
    await zeroShot.prepare([item]);
    const result = zeroShot.answer(Float32Array.from(embedding), parameters);
    return "output" in result ? (result.output as OutputOf<"zero-shot-classification">).labels : [];
  };
  return { embedded, judge };
}

test("the label nearest to the text is first, and the scores of all sum to 1", async () => {
  const { judge } = classifier({ "It is a": [1, 0, 0], "It is b": [0, 1, 0] });
  const labels = await judge({ candidateLabels: ["b", "a"] });
  expect(labels.map(({ label }) => label)).toEqual(["a", "b"]);
  expect(labels.reduce((sum, { score }) => sum + (score ?? 0), 0)).toBeCloseTo(1, 5);
});

test("labels with Han characters are asked for in Chinese; a hypothesis is embedded once", async () => {
  const { judge, embedded } = classifier({});
  await judge({ candidateLabels: ["体育", "AI"] });
  await judge({ candidateLabels: ["体育"] });
  await judge({ candidateLabels: ["$& AI"] });
  expect(embedded).toEqual(["这是体育", "这是AI", "It is $& AI"]);
});

test("with several labels allowed each is judged against none of them", async () => {
  const { judge } = classifier({ "It is a": [1, 0, 0], "It is b": [1, 0, 0], "It is c": [-1, 0, 0] });
  const labels = await judge({ candidateLabels: ["a", "b", "c"], multiLabel: true, threshold: 0.5 });
  expect(labels.map(({ label }) => label)).toEqual(["a", "b"]);
  expect(labels.every(({ score }) => (score ?? 0) > 0.9)).toBe(true);
});

test("a softmax sums to 1 and keeps the order, whatever the logits", () => {
  fc.assert(
    fc.property(fc.array(fc.double({ min: -1e6, max: 1e6, noNaN: true }), { minLength: 1 }), (logits) => {
      const weights = softmax(logits);
      expect(weights.reduce((sum, weight) => sum + weight, 0)).toBeCloseTo(1, 9);
      for (const [index, logit] of logits.entries())
        if (logit === Math.max(...logits)) expect(weights[index]).toBe(Math.max(...weights));
    }),
  );
});
