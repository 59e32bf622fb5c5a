import { itemOutputSchema, type WorkPrompt } from "@autoglm/api";
import { describe, expect, it } from "vitest";
import { PromptedModel } from "./answer.ts";
import { ScriptedModel } from "./scripted-model.test-support.ts";

function prompt(fields: Partial<WorkPrompt> = {}): WorkPrompt {
  return {
    name: "test",
    taskType: "text-classification",
    language: "en",
    template: "{{ labels | join }} {{ fence }}{{ text }}{{ fence }}",
    variables: {},
    examples: [],
    ...fields,
  };
}
const classify = prompt({ labels: ["good", "bad"] });
const ner = prompt({ taskType: "token-classification", labels: ["PER", "LOC"] });

function answer(model: ScriptedModel, asked: WorkPrompt, text: string, parameters = {}) {
  return new PromptedModel(model).answer(asked, { text, parameters });
}

describe("classification", () => {
  it("divides out what the model prefers without content", async () => {
    const model = new ScriptedModel({
      score: (content) => (content.includes("fine day") ? [0.5, 0.4] : [0.8, 0.1]),
    });
    const result = await answer(model, classify, "fine day");
    expect(result).toMatchObject({
      output: { labels: [{ label: "bad" }, { label: "good" }], scoreSource: "logprob" },
      notes: { coverage: 0.9 },
    });
    expect("output" in result && itemOutputSchema.parse(result.output)).toBeTruthy();
  });

  it("asks for the bias once for a prompt and its labels", async () => {
    const model = new ScriptedModel({ score: () => [0.5, 0.5] });
    const prompted = new PromptedModel(model);
    for (const text of ["one", "two", "three"]) await prompted.answer(classify, { text, parameters: {} });
    expect(model.scored).toHaveLength(3 + 3);
    await prompted.answer(classify, { text: "four", parameters: { candidateLabels: ["x", "y"] } });
    expect(model.scored).toHaveLength(3 + 3 + 4);
  });

  it("gives the label without a score when the model tells no log-probabilities", async () => {
    const model = new ScriptedModel({ answers: ["Bad."] });
    expect(await answer(model, classify, "dull")).toEqual({
      output: { type: "text-classification", labels: [{ label: "bad", score: null }], scoreSource: "none" },
      notes: {},
    });
  });

  it("counts votes when asked to", async () => {
    const model = new ScriptedModel({ answers: ["good", "bad", "good", "good"] });
    expect(await answer(model, classify, "so so", { votes: 4 })).toMatchObject({
      output: {
        labels: [
          { label: "good", score: 0.75 },
          { label: "bad", score: 0.25 },
        ],
        scoreSource: "vote",
      },
    });
    expect(new Set(model.asked.map(({ seed }) => seed)).size).toBe(4);
    expect(model.asked[0]?.temperature).toBeGreaterThan(0);
  });

  it("asks once more when the answer is none of the labels, then gives up on this item alone", async () => {
    const repaired = new ScriptedModel({ answers: ["I think it is fine", "good"] });
    expect(await answer(repaired, classify, "fine")).toMatchObject({
      output: { labels: [{ label: "good" }] },
      notes: { repaired: true },
    });
    const hopeless = new ScriptedModel({ answers: ["hm", "hm"] });
    expect(await answer(hopeless, classify, "fine")).toMatchObject({ error: { code: "AnswerInvalid" } });
  });

  it("judges several labels one by one", async () => {
    const several = prompt({ taskType: "zero-shot-classification", template: "{{ label }}? {{ text }}" });
    const model = new ScriptedModel({
      score: (content) => (content.includes("goal") && content.startsWith("sport") ? [0.9, 0.1] : [0.5, 0.5]),
    });
    expect(
      await answer(model, several, "a goal", { multiLabel: true, candidateLabels: ["money", "sport"] }),
    ).toMatchObject({
      output: {
        type: "zero-shot-classification",
        labels: [
          { label: "sport", score: 0.9 },
          { label: "money", score: 0.5 },
        ],
      },
    });
  });

  it("puts letters where only first tokens are told, and maps them back", async () => {
    const lettered = prompt({
      labels: ["good", "bad"],
      template:
        "{% for c in choices %}{% if lettered %}{{ c.letter }}={% endif %}{{ c.label }} {% endfor %}{{ text }}",
    });
    const model = new ScriptedModel({ answers: ["B"], choicesAs: "letters" });
    expect(await answer(model, lettered, "dull")).toMatchObject({ output: { labels: [{ label: "bad" }] } });
    expect(model.asked[0]?.choice).toEqual(["A", "B"]);
    expect(model.asked[0]?.messages[0]?.content).toBe("A=good B=bad dull");
  });

  it("needs labels", async () => {
    expect(await answer(new ScriptedModel({}), prompt(), "text")).toMatchObject({
      error: { code: "ItemInvalid" },
    });
  });
});

describe("structured answers", () => {
  it("get their offsets from the text, and lose what it does not have", async () => {
    const answers = [
      '```json\n{"entities": [{"text": "Ann", "type": "PER"}, {"text": "Ann", "type": "PER"}, {"text": "Mars", "type": "LOC"}]}\n```',
    ];
    const result = await answer(new ScriptedModel({ answers }), ner, "Ann met Ann in Rome.");
    expect(result).toEqual({
      output: {
        type: "token-classification",
        entities: [
          { entity_group: "PER", score: null, word: "Ann", start: 0, end: 3 },
          { entity_group: "PER", score: null, word: "Ann", start: 8, end: 11 },
        ],
        scoreSource: "none",
      },
      notes: { dropped: 1 },
    });
  });

  it("are repaired once, with the error in the message", async () => {
    const model = new ScriptedModel({
      answers: [
        '{"entities": [{"text": "Rome", "type": "CITY"}]}',
        '{"entities": [{"text": "Rome", "type": "LOC"}]}',
      ],
    });
    const result = await answer(model, ner, "Rome");
    expect(result).toMatchObject({ output: { entities: [{ word: "Rome" }] }, notes: { repaired: true } });
    expect(model.asked[1]?.messages.at(-1)?.content).toContain("type");
    expect(model.asked[1]?.messages.at(-2)).toMatchObject({ role: "assistant" });
  });

  it("are an error of the item when the second is no better, and the error quotes nothing", async () => {
    const model = new ScriptedModel({ answers: ["secret", "secret"] });
    const result = await answer(model, ner, "secret Rome");
    expect(result).toMatchObject({ error: { code: "AnswerInvalid" } });
    expect(JSON.stringify(result)).not.toContain("secret");
  });

  it("give relations between places in the text", async () => {
    const relations = prompt({ taskType: "relation-extraction", labels: ["born_in"] });
    const answers = [
      '{"relations": [{"head": "Ann", "relation": "born_in", "tail": "Rome"}, {"head": "Bob", "relation": "born_in", "tail": "Rome"}]}',
    ];
    expect(await answer(new ScriptedModel({ answers }), relations, "Ann was born in Rome.")).toEqual({
      output: {
        type: "relation-extraction",
        relations: [
          {
            head: { text: "Ann", start: 0, end: 3 },
            relation: "born_in",
            tail: { text: "Rome", start: 16, end: 20 },
            score: null,
          },
        ],
        scoreSource: "none",
      },
      notes: { dropped: 1 },
    });
  });

  it("answer questions with a span of the context, or with none", async () => {
    const question = prompt({
      taskType: "question-answering",
      template: "{{ context }} {{ question }}",
      outputSchema: '{"type": "object", "required": ["answer"]}',
    });
    const ask = (json: string) =>
      answer(new ScriptedModel({ answers: [json] }), question, "Opened in 1931.", { question: "When?" });
    expect(await ask('{"answer": "1931"}')).toMatchObject({ output: { answer: "1931", start: 10, end: 14 } });
    expect(await ask('{"answer": "1930"}')).toMatchObject({
      output: { answer: "1930", start: null, end: null },
    });
    expect(await ask('{"answer": null}')).toMatchObject({ output: { answer: "", start: null } });
    const without = await answer(new ScriptedModel({}), question, "Opened in 1931.");
    expect(without).toMatchObject({
      error: { code: "ItemInvalid", message: expect.stringContaining("question") },
    });
  });

  it("take a question from the record's own field", async () => {
    const question = prompt({ taskType: "question-answering", template: "{{ question }} / {{ text }}" });
    const model = new ScriptedModel({ answers: ["Rome"] });
    await new PromptedModel(model).answer(question, {
      text: "Where  was\nshe born?",
      fields: { context: "Born in Rome." },
      parameters: {},
    });
    expect(model.asked[0]?.messages[0]?.content).toBe("Where was she born? / Born in Rome.");
  });
});

describe("a prompt that can't be used", () => {
  it.each([
    ["a variable that is not declared", { template: "{{ text }} {{ tone }}" }, "tone"],
    ["a tag that there is not", { template: "{% exec %}" }, "exec"],
    ["another template", { template: "{% include 'x' %}" }, "include"],
    ["a schema that is no JSON", { taskType: "summarization" as const, outputSchema: "{" }, "outputSchema"],
    ["a type that no prompt serves", { taskType: "tensor" as const }, "tensor"],
  ])("with %s is an error that says so", async (_what, fields, named) => {
    const result = await answer(new ScriptedModel({}), prompt({ labels: ["a", "b"], ...fields }), "text");
    expect(result).toMatchObject({
      error: { code: "PromptInvalid", message: expect.stringContaining(named) },
    });
  });

  it("because its instructions are too long for the model is an error of the item", async () => {
    const model = new ScriptedModel({ contextLength: 300 });
    const long = prompt({ taskType: "summarization", template: `${"x".repeat(400)} {{ text }}` });
    expect(await answer(model, long, "text")).toMatchObject({ error: { code: "ItemTooLong" } });
  });
});
