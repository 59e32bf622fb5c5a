import type { ItemOutput } from "@autoglm/api";
import { describe, expect, it } from "vitest";
import { answersAgree, answerSignalOf } from "./signal.ts";

const labels = (...scores: (number | null)[]): ItemOutput => ({
  type: "text-classification",
  labels: scores.map((score, index) => ({ label: `label-${index}`, score })),
  scoreSource: "probability",
});
const entities = (...found: [group: string, start: number, score: number | null][]): ItemOutput => ({
  type: "token-classification",
  entities: found.map(([entity_group, start, score]) => ({
    entity_group,
    score,
    word: "x",
    start,
    end: start + 1,
  })),
  scoreSource: "marginal",
});
const answer = (text: string): ItemOutput => ({
  type: "question-answering",
  answer: text,
  start: null,
  end: null,
  score: 0.4,
  scoreSource: "probability",
});

describe("answerSignalOf", () => {
  it.each<[string, ItemOutput, number | null, number | null]>([
    ["the best label and its lead", labels(0.75, 0.25), 0.75, 0.5],
    ["no lead where there is one label", labels(0.75), 0.75, null],
    ["nothing without scores", labels(null, null), null, null],
    ["nothing where a broken graph gave no number", labels(Number.NaN, Number.NaN), null, null],
    ["nothing where the score says nothing", { ...labels(0.75, 0.25), scoreSource: "none" }, null, null],
    ["the mean over entities", entities(["PER", 0, 0.5], ["LOC", 3, 1], ["ORG", 6, null]), 0.75, null],
    ["nothing without an entity", entities(), null, null],
    ["the score of an answer", answer("北京"), 0.4, null],
  ])("is %s", (_, output, score, margin) => {
    expect(answerSignalOf(output)).toEqual({ score, margin });
  });
});

describe("answersAgree", () => {
  it.each<[string, ItemOutput, ItemOutput, boolean | null]>([
    ["the same label", labels(0.9, 0.1), labels(0.6, 0.4), true],
    [
      "another label",
      labels(0.9),
      { ...labels(0.9), labels: [{ label: "other", score: 1 }] } as ItemOutput,
      false,
    ],
    [
      "the same entities in another order",
      entities(["A", 0, 1], ["B", 2, 1]),
      entities(["B", 2, 0], ["A", 0, 0]),
      true,
    ],
    ["an entity less", entities(["A", 0, 1]), entities(), false],
    ["the same answer in other dress", answer("ＢＥＩ jing."), answer("Bei Jing"), true],
    ["answers of two types", entities(), answer("x"), null],
  ])("of %s", (_, edge, deep, expected) => {
    expect(answersAgree(edge, deep)).toBe(expected);
  });
});
