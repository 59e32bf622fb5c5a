import type { WorkPrompt } from "@autoglm/api";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { renderPrompt, type PromptQuestion } from "./render.ts";

const template = "Instruction {{ tone }}\n{{ fence }}\n{{ text }}\n{{ fence }}\nEnd";
const prompt: WorkPrompt = {
  name: "test",
  taskType: "summarization",
  language: "en",
  template,
  variables: { tone: "kindly" },
  examples: [],
};
const ask = (text: string): PromptQuestion => ({ texts: { text }, labels: [], choices: [], lettered: false });
const render = (text: string, fits: (length: number) => boolean = () => true) =>
  renderPrompt(prompt, ask(text), ([user]) => fits(user?.content.length ?? 0));

describe("a rendered prompt", () => {
  it("never evaluates the text", () => {
    const content = render("{{ tone }} {% assign x = 1 %} {% include 'x' %}")?.messages[0]?.content;
    expect(content).toContain("{{ tone }} {% assign x = 1 %} {% include 'x' %}");
  });

  it("is quoted so that no text ends its own quotation", () => {
    fc.assert(
      fc.property(fc.string({ unit: fc.constantFrom('"', "\n", "a", "{{", "%}", "End") }), (text) => {
        const content = render(text)?.messages[0]?.content ?? "";
        const lines = content.split("\n");
        const fence = lines[1] ?? "";
        expect(fence).toMatch(/^"{3,}$/);
        expect(content).toBe(`Instruction kindly\n${fence}\n${text}\n${fence}\nEnd`);
        expect(text).not.toContain(fence);
      }),
    );
  });

  it("cuts the text to what fits, and only the text", () => {
    fc.assert(
      fc.property(
        fc.string({ unit: "grapheme", maxLength: 200 }),
        fc.integer({ min: 40, max: 200 }),
        (text, limit) => {
          const rendered = render(text, (length) => length <= limit);
          const whole = render("")?.messages[0]?.content.length ?? 0;
          if (whole > limit) return expect(rendered).toBeUndefined();
          const content = rendered?.messages[0]?.content ?? "";
          const kept = text.slice(0, rendered?.textLength);
          expect(content.length).toBeLessThanOrEqual(limit);
          expect(content.startsWith("Instruction kindly\n")).toBe(true);
          expect(content.endsWith("\nEnd")).toBe(true);
          expect(content).toContain(kept);
          expect(kept.isWellFormed()).toBe(text.isWellFormed());
          // Nothing that would have fitted is left out: two units are a surrogate pair.
          if (kept !== text) expect(content.length).toBeGreaterThan(limit - 2);
          return undefined;
        },
      ),
    );
  });

  it("shows equally many examples of each label, in an order of its own", () => {
    const examples = [
      { input: "one", output: "a" },
      { input: "two", output: "a" },
      { input: "three", output: "b" },
      { input: "four", output: "c" },
    ];
    const shown = (ordered: typeof examples, labels = ["a", "b"]) => {
      const question = { ...ask("text"), labels, choices: labels };
      const listing = "{% for e in examples %}{{ e.input }}={{ e.output }} {% endfor %}";
      const asked = {
        ...prompt,
        template: listing,
        taskType: "text-classification" as const,
        examples: ordered,
      };
      return renderPrompt(asked, question, () => true)?.messages[0]?.content;
    };
    const first = shown(examples);
    expect(first?.split(" ")).toHaveLength(2);
    expect(first).toContain("three=b");
    fc.assert(
      fc.property(fc.shuffledSubarray(examples, { minLength: examples.length }), (shuffled) => {
        expect(shown(shuffled)).toBe(first);
      }),
    );
    expect(shown(examples, ["d", "e"])).toBe("");
  });
});
