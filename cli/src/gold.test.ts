import type { ItemResult } from "@autoglm/api";
import { describe, expect, it } from "vitest";
import { parseGold } from "./gold.ts";
import { differenceOf, parseGolden } from "./golden.ts";

describe("parseGold", () => {
  it("reads csv with quotes, and tsv", () => {
    const csv = 'text,label\n"a, ""b""",good\nc,bad\n';
    expect(parseGold("g.csv", csv, "text-classification")).toMatchObject([
      { text: 'a, "b"', gold: { label: "good" } },
      { text: "c", gold: { label: "bad" } },
    ]);
    expect(parseGold("g.tsv", "label\ttext\n1\t好", "text-classification")).toMatchObject([
      { text: "好", gold: { label: "1" } },
    ]);
  });

  it("reads cells of several lines, names the lines that rows begin at, and takes rows that are short or blank", () => {
    const csv = (lines: readonly string[]) => lines.join("\r\n");
    const rows = ['"a', "", 'b",good', "", "  ", ",", 'he said "c",bad'];
    expect(parseGold("g.csv", csv(["\uFEFFtext,label", ...rows]), "text-classification")).toMatchObject([
      { text: "a\n\nb", gold: { label: "good" } },
      { text: 'he said "c"', gold: { label: "bad" } },
    ]);
    expect(() => parseGold("g.csv", csv(["text,label", ...rows, '"d', 'e"']), "text-classification")).toThrow(
      "g.csv, line 9: has no label",
    );
  });

  it("reads jsonl, with the question beside the context", () => {
    const line = JSON.stringify({ context: "华为在深圳", question: "在哪", answer: "深圳" });
    expect(parseGold("g.jsonl", line, "question-answering")).toEqual([
      { text: "华为在深圳", fields: { question: "在哪" }, gold: { text: "深圳" } },
    ]);
  });

  it.each([
    ["nothing", "", "text-classification", "holds no items"],
    ["a line without gold", '{"text":"a"}', "text-classification", "line 1: has no label"],
    ["a broken line", '{"text":"a","label":"b"}\n{"text":', "text-classification", "line 2"],
    ["a quote left open", 'text,label\na,b\n"c,d\ne,f\n', "text-classification", "line 3: a quote"],
    ["a quote left open in the header", 'text,"label\na,b\n', "text-classification", "line 1: a quote"],
    ["a comma without quotes", "text,label\na,b\nc, d,e", "text-classification", "line 3: has more cells"],
    ["a type without gold", '{"text":"a"}', "tensor", "can't be judged"],
  ] as const)("refuses %s", (_what, content, type, message) => {
    expect(() => parseGold("g", content, type)).toThrow(message);
  });
});

describe("golden answers", () => {
  const output = { type: "feature-extraction", embedding: [0.5, 1000], scoreSource: "none" } as const;
  const answered = (embedding: number[]): ItemResult => ({
    item: 0,
    stage: "final",
    ms: 1,
    output: { ...output, embedding },
  });

  it("are equal within a tolerance of the number's size", () => {
    expect(
      differenceOf(answered([0.5004, 1000.9]), { ...output, embedding: [0.5, 1000] }, 1e-3),
    ).toBeUndefined();
    expect(differenceOf(answered([0.502, 1000]), { ...output, embedding: [0.5, 1000] }, 1e-3)).toBe(
      "output.embedding.0 is 0.502, not 0.5",
    );
  });

  it("are missed by another shape, and by an error", () => {
    expect(differenceOf(answered([0.5]), { ...output, embedding: [0.5, 1] }, 1)).toContain(
      "1 elements, not 2",
    );
    expect(differenceOf(undefined, { ...output, embedding: [1] }, 1)).toContain("no answer");
  });

  it("name file and line of what is none", () => {
    expect(() => parseGolden("golden.jsonl", '{"text":"a"}\n{"txt":"b"}')).toThrow("golden.jsonl, line 2");
  });
});
