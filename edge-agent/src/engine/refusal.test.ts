import type { TaskType } from "@autoglm/api";
import { expect, it } from "vitest";
import { refusalOf } from "./refusal.ts";

const taskTypes = ["text-classification"] as const;
const sentiment = { taskTypes, labels: ["negative", "positive"] };
const asked = (candidateLabels?: string[], type: TaskType = "text-classification") => ({
  type,
  parameters: { candidateLabels },
});

it("is none without labels, and none for the labels that the model has", () => {
  expect(refusalOf("m", sentiment, asked())).toBeUndefined();
  expect(refusalOf("m", sentiment, asked(["positive", "negative"]))).toBeUndefined();
});

it.each([[["sport", "economy"]], [["positive"]], [["positive", "negative", "neutral"]]])(
  "names parameter, model, its labels and the mend for %j",
  (labels) => {
    const refusal = refusalOf("m", sentiment, asked(labels));
    expect(refusal).toMatchObject({ code: "ParametersInvalid", family: "user", retry: "never" });
    for (const part of [
      "parameters.candidateLabels",
      "model m",
      "negative, positive",
      "zero-shot-classification",
    ])
      expect(refusal?.message).toContain(part);
  },
);

it("is none for a model that takes labels", () => {
  expect(refusalOf("m", { taskTypes }, asked(["sport"]))).toBeUndefined();
});

it("says what a model does that is asked for another type", () => {
  expect(refusalOf("m", sentiment, asked(["sport"], "summarization"))).toMatchObject({
    code: "ModelDoesNotServeType",
    message: "model m does not do summarization: it does text-classification",
  });
});
