// oxlint-disable typescript/no-explicit-any -- what a client sees is whatever JSON came
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";
import { afterAll, beforeAll, describe, expect, test, vi } from "vitest";
import type { ModelOnDisk } from "../../../edge-agent/src/engine/index.ts";
import { startFront, type TestFront } from "./front.ts";
import { inferenceProcesses } from "./harness.ts";
import { sampleModel } from "./models.ts";

let folder: string;
let front: TestFront;
let chat: ModelOnDisk;
beforeAll(async () => {
  folder = await mkdtemp(path.join(tmpdir(), "autoglm-openai-"));
  chat = await sampleModel(folder, "smollm2-135m-instruct");
  const stored = [chat, await sampleModel(folder, "minilm-l6-v2"), await sampleModel(folder, "zh-sentiment")];
  front = await startFront({ serveDir: undefined, stored: () => stored });
});
afterAll(async () => {
  await front[Symbol.asyncDispose]();
  await rm(folder, { recursive: true });
});

const model = "smollm2-135m-instruct";
const question = (content: string) => ({ model, max_tokens: 12, messages: [{ role: "user", content }] });
const capital = question("What is the capital of France?");

const readEvents = async (response: Response) => eventsIn(await response.text());

function eventsIn(text: string): readonly any[] {
  const lines = text.split("\n\n").filter((line) => line !== "");
  expect(lines.pop()).toBe("data: [DONE]");
  return lines.map((line) => JSON.parse(line.replace(/^data: /, "")));
}

const post = (where: string, body: unknown, init: RequestInit = {}) =>
  fetch(front.url + where, { method: "POST", body: JSON.stringify(body), ...init });

describe("chat completions", () => {
  test("answer, and say what they took", async () => {
    const { status, body } = await front.ask("/v1/chat/completions", capital);
    expect(status).toBe(200);
    expect(body).toMatchObject({ object: "chat.completion", model });
    expect(body.id).toMatch(/^chatcmpl-/);
    const [choice] = body.choices;
    expect(choice.message.content).toContain("Paris");
    expect(choice.finish_reason).toBe("stop");
    expect(body.usage.total_tokens).toBe(body.usage.prompt_tokens + body.usage.completion_tokens);
  });

  test("stream the same text piece by piece", async () => {
    const whole = await front.ask("/v1/chat/completions", capital);
    const response = await post("/v1/chat/completions", {
      ...capital,
      stream: true,
      stream_options: { include_usage: true },
    });
    expect(response.headers.get("content-type")).toContain("text/event-stream");
    const events = await readEvents(response);
    expect(new Set(events.map(({ object }) => object))).toEqual(new Set(["chat.completion.chunk"]));
    expect(events[0].choices[0].delta).toEqual({ role: "assistant", content: "" });
    const pieces = events.flatMap(({ choices }) => choices.map((choice: any) => choice.delta.content ?? ""));
    expect(pieces.filter((piece) => piece !== "").length).toBeGreaterThan(2);
    expect(pieces.join("")).toBe(whole.body.choices[0].message.content);
    expect(events.at(-2).choices[0].finish_reason).toBe("stop");
    expect(events.at(-1)).toMatchObject({ choices: [], usage: whole.body.usage });
  });

  test("side by side answer what they answer alone", async () => {
    const questions = [
      "What is the capital of France?",
      "Say hello.",
      "Name a colour.",
      "What is 2 + 2?",
    ].map(question);
    const alone = [];
    for (const each of questions) alone.push((await front.ask("/v1/chat/completions", each)).body.choices);
    const together = await Promise.all(questions.map((each) => front.ask("/v1/chat/completions", each)));
    expect(together.map(({ body }) => body.choices)).toEqual(alone);
  });

  test("stream every character once, also when their process is lost", async () => {
    const story = { ...question("Write a long story about a lighthouse."), max_tokens: 60 };
    const whole = await front.ask("/v1/chat/completions", story);
    let killed = 0;
    const readAlong = async () => {
      const response = await post("/v1/chat/completions", { ...story, stream: true });
      const decoder = new TextDecoder();
      let text = "";
      for await (const bytes of response.body ?? []) {
        text += decoder.decode(bytes, { stream: true });
        const hasWords = text.split("\n\n").length > 8;
        if (hasWords && killed === 0)
          for (const pid of inferenceProcesses()) killed += Number(process.kill(pid, "SIGKILL"));
      }
      return eventsIn(text);
    };
    const all = await Promise.all([readAlong(), readAlong(), readAlong()]);
    expect(killed).toBeGreaterThan(0);
    for (const events of all) {
      const pieces = events.flatMap(({ choices }) =>
        choices.map((choice: any) => choice.delta.content ?? ""),
      );
      expect(pieces.join("")).toBe(whole.body.choices[0].message.content);
    }
  });

  test("end with the client that asked for them", async () => {
    const stop = new AbortController();
    const long = { ...question("Write a long story about a lighthouse."), max_tokens: 1500, stream: true };
    const response = await post("/v1/chat/completions", long, { signal: stop.signal });
    const reader = response.body?.getReader();
    await reader?.read();
    expect(front.engine.stateOf(chat)?.openRuns).toBe(1);
    stop.abort();
    await vi.waitFor(() => expect(front.engine.stateOf(chat)?.openRuns).toBe(0), { timeout: 10_000 });
  });
});

test("completions take several prompts", async () => {
  const request = { model, prompt: ["Say hello.", "Name a colour."], max_tokens: 5 };
  const { body } = await front.ask("/v1/completions", request);
  expect(body.object).toBe("text_completion");
  expect(body.choices.map(({ index }: any) => index)).toEqual([0, 1]);
  const events = await readEvents(await post("/v1/completions", { ...request, stream: true }));
  for (const { index, text } of body.choices) {
    const own = events.flatMap(({ choices }) => choices).filter((choice: any) => choice.index === index);
    expect(own.map((choice: any) => choice.text).join("")).toBe(text);
  }
});

test("embeddings come as numbers or as base64 of the same", async () => {
  const request = { model: "minilm-l6-v2", input: ["a cat", "a dog"] };
  const { status, body } = await front.ask("/v1/embeddings", request);
  expect(status).toBe(200);
  expect(body.data.map(({ index }: any) => index)).toEqual([0, 1]);
  expect(body.data[0].embedding.length).toBe(384);
  const packed = await front.ask("/v1/embeddings", { ...request, encoding_format: "base64" });
  const bytes = Buffer.from(packed.body.data[1].embedding, "base64");
  for (let index = 0; index < 384; index++)
    expect(bytes.readFloatLE(4 * index)).toBeCloseTo(body.data[1].embedding[index], 5);
});

test("models are listed", async () => {
  const { body } = await front.ask("/v1/models");
  expect(body.data.map(({ id }: any) => id).sort()).toEqual(["minilm-l6-v2", model, "zh-sentiment"]);
});

describe("errors have the form of the real API", () => {
  test.each<[what: string, where: string, body: object, status: number, error: object]>([
    [
      "an argument that there is not",
      "/v1/chat/completions",
      { ...capital, foo: 1 },
      400,
      { message: "Unrecognized request argument supplied: foo", type: "invalid_request_error", param: "foo" },
    ],
    ["what a model on a node can't", "/v1/chat/completions", { ...capital, n: 2 }, 400, { param: "n" }],
    ["no messages", "/v1/chat/completions", { model }, 400, { param: "messages" }],
    [
      "a temperature",
      "/v1/completions",
      { model, prompt: "x", temperature: 3 },
      400,
      { param: "temperature" },
    ],
    [
      "a model that there is not",
      "/v1/chat/completions",
      { ...capital, model: "gpt" },
      404,
      { code: "ModelNotFound" },
    ],
    [
      "a model that does something else",
      "/v1/chat/completions",
      { ...capital, model: "zh-sentiment" },
      400,
      { code: "ModelDoesNotServeType" },
    ],
    ["tokens for texts", "/v1/embeddings", { model: "minilm-l6-v2", input: [1, 2] }, 400, { param: "input" }],
    [
      "an empty text",
      "/v1/embeddings",
      { model: "minilm-l6-v2", input: "" },
      400,
      { type: "invalid_request_error" },
    ],
  ])("%s", async (_what, where, body, status, error) => {
    const answer = await front.ask(where, body);
    expect(answer.status).toBe(status);
    expect(answer.body.error).toMatchObject(error);
    expect(Object.keys(answer.body.error).sort()).toEqual(["code", "message", "param", "type"]);
  });

  test("before a stream begins they are plain errors", async () => {
    const response = await post("/v1/chat/completions", { ...capital, stream: true, model: "zh-sentiment" });
    expect(response.status).toBe(400);
    expect(await response.json()).toHaveProperty("error.message");
  });
});

describe("typed inference", () => {
  test("finds the type of a model that has one, and takes aliases", async () => {
    for (const type of [undefined, "auto", "sentiment-analysis", "text-classification"]) {
      const { status, body } = await front.ask("/v1/infer", {
        type,
        model: "zh-sentiment",
        inputs: ["很好", { text: "很差" }],
      });
      expect(status).toBe(200);
      expect(body.type).toBe("text-classification");
      expect(body.results.map(({ output }: any) => output.labels[0].label)).toEqual(["positive", "negative"]);
    }
  });

  test.each<[what: string, body: object, says: string]>([
    ["a parameter of another type", { parameters: { question: "who?" } }, "parameters.question"],
    [
      "labels that the model does not have",
      { parameters: { candidateLabels: ["sport", "economy"] } },
      "parameters.candidateLabels: model zh-sentiment can only answer",
    ],
    ["a parameter that there is not", { parameters: { depth: 3 } }, "parameters"],
    ["a type that there is not", { type: "telepathy" }, "type"],
    ["no inputs", { inputs: [] }, "inputs"],
    ["a field that is no text", { inputs: [{ text: 5 }] }, "inputs[0].text"],
    ["media that is no media", { inputs: [{ media: { type: "image/png", data: "???" } }] }, "media"],
  ])("refuses %s", async (_what, body, says) => {
    const { status, body: answer } = await front.ask("/v1/infer", {
      model: "zh-sentiment",
      inputs: ["很好"],
      ...body,
    });
    expect(status).toBe(400);
    expect(answer.error).toContain(says);
  });
});
