import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";
import { itemOutputSchema, type TaskType } from "@autoglm/api";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { runCliAlone } from "../../support/cli.ts";
import { promptsFor } from "../../support/prompt-library.ts";
import { collect, infer, startEngine } from "./harness.ts";
import { sampleModel } from "./models.ts";

let folder: string;
beforeAll(async () => {
  folder = await mkdtemp(path.join(tmpdir(), "autoglm-prompted-"));
});
afterAll(() => rm(folder, { recursive: true }));

async function run(
  type: TaskType,
  texts: readonly string[],
  parameters = {},
  signal = AbortSignal.timeout(50_000),
) {
  await using engine = startEngine();
  const model = await sampleModel(folder, "smollm2-135m-instruct", "int4");
  const labels = "candidateLabels" in parameters ? (parameters.candidateLabels as string[]) : undefined;
  const prompts = promptsFor(type, labels).map((prompt) => ({ ...prompt, maxInputTokens: 400 }));
  return await collect(infer(engine, { model, type, texts, parameters, prompts, signal }));
}

describe("a decoder with prompts", () => {
  it("classifies, with scores from its own logits", async () => {
    const results = await run("text-classification", [
      "What a wonderful film, I loved every minute of it.",
      "Terrible service, cold food, never again.",
      "",
    ]);
    for (const { output } of results.slice(0, 2)) {
      expect(() => itemOutputSchema.parse(output)).not.toThrow();
      expect(output).toMatchObject({ type: "text-classification", scoreSource: "logprob" });
      const scores =
        output?.type === "text-classification" ? output.labels.map(({ score }) => score ?? 0) : [];
      expect(scores.reduce((sum, score) => sum + score, 0)).toBeCloseTo(1, 4);
    }
    expect(results[0]?.output).toHaveProperty("labels.0.label", "positive");
    expect(results[1]?.output).toHaveProperty("labels.0.label", "negative");
    expect(results[2]?.error).toMatchObject({ code: "ItemInvalid" });
  });

  it("scores labels that the task brings, one by one if it says so", async () => {
    const candidateLabels = ["sports", "cooking recipes"];
    const [one] = await run("zero-shot-classification", ["The team won the cup."], { candidateLabels });
    expect(one?.output).toMatchObject({ type: "zero-shot-classification", scoreSource: "logprob" });
    const [several] = await run("zero-shot-classification", ["The team won the cup."], {
      candidateLabels,
      multiLabel: true,
    });
    expect(several?.output).toHaveProperty("labels.length", 2);
  });

  it("summarises a text of which only the beginning fits, and answers or says that it could not", async () => {
    const long = "The library of the town is closed on Monday for repairs to its roof. ".repeat(400);
    const [summary] = await run("summarization", [long], { maxNewTokens: 24 });
    expect(summary?.output).toMatchObject({ type: "summarization", scoreSource: "logprob" });
    const [entities] = await run("token-classification", ["Ann lives in Rome."], { maxNewTokens: 64 });
    // A small model may well miss the form: then the item has an error that says so, and nothing invented.
    if (entities?.error === undefined)
      expect(entities?.output).toMatchObject({ type: "token-classification" });
    else expect(entities.error.code).toBe("AnswerInvalid");
  });

  it("is judged by gold with the prompts of a file", async () => {
    const { directory } = await sampleModel(folder, "smollm2-135m-instruct", "int4");
    const gold = path.join(folder, "gold.csv");
    await writeFile(gold, "text,label\nI loved every minute of it.,positive\nNever again.,negative\n");
    const prompts = ["--prompts", "prompts/text-classification.yaml"];
    const options = ["--gold", gold, "--type", "text-classification", "-o", "json", ...prompts];
    const { exitCode, stdout, stderr } = await runCliAlone("eval", directory, ...options);
    expect(exitCode, stderr).toBe(0);
    expect(JSON.parse(stdout)).toMatchObject({ measure: "accuracy", items: 2, errors: 0 });
  });

  it("needs a prompt for a type that is not its own", async () => {
    await using engine = startEngine();
    const model = await sampleModel(folder, "smollm2-135m-instruct", "int4");
    const [result] = await collect(infer(engine, { model, type: "summarization", texts: ["text"] }));
    expect(result?.error).toMatchObject({
      code: "ItemInvalid",
      message: expect.stringContaining("spec.prompt"),
    });
  });
});
