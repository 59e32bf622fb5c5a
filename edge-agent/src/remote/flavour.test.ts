import fc from "fast-check";
import { describe, expect, it } from "vitest";
import type { Capabilities } from "./capabilities.ts";
import { asPlainText, chatBody, flavourOf, withoutJoiners, type ChatRequest } from "./flavour.ts";

const request: ChatRequest = {
  messages: [{ role: "user", content: "text" }],
  maxNewTokens: 8,
  temperature: 0,
  seed: 3,
  stop: [],
  stream: false,
};
const all: Capabilities = {
  chat: true,
  thinkingSwitch: true,
  jsonObject: true,
  jsonSchema: true,
  choice: true,
  logprobs: true,
  embeddings: true,
  vision: true,
};

describe("the server behind an endpoint", () => {
  it.each([
    ["https://open.bigmodel.cn/api/paas/v4", undefined, "bigmodel"],
    ["https://api.z.ai/api/coding/paas/v4/", undefined, "bigmodel"],
    ["http://proxy.local:8080/api/paas/v4", "someone", "bigmodel"],
    ["http://vllm:8000/v1", "vllm", "vllm"],
    ["http://sglang:30000/v1", "sglang", "sglang"],
    ["http://localhost:11434/v1", "library", "ollama"],
    ["https://notz.ai.example/v1", "someone", "openai"],
    ["http://other/v1", undefined, "openai"],
  ])("of %s, owned by %s, is %s", (url, ownedBy, flavour) => {
    expect(flavourOf(url, ownedBy)).toBe(flavour);
  });
});

describe("a request", () => {
  const body = (flavour: Parameters<typeof chatBody>[0], fields: Partial<ChatRequest> = {}, can = all) =>
    chatBody(flavour, can, "glm", "request-1", { ...request, ...fields });

  it("to the hosted API is greedy by do_sample, and clamps what it samples by", () => {
    expect(body("bigmodel")).toEqual({
      model: "glm",
      messages: request.messages,
      max_tokens: 8,
      do_sample: false,
      request_id: "request-1",
      thinking: { type: "disabled" },
    });
    expect(body("bigmodel", { temperature: 2, topP: 1, stop: ["a", "b"] })).toMatchObject({
      do_sample: true,
      temperature: 0.99,
      top_p: 0.99,
      stop: ["a"],
    });
  });

  it("asks for the form of the answer as the server knows it, and only for what it can", () => {
    const schema = { type: "object" };
    const choice = ["a.b", "c"];
    expect(body("vllm", { choice })).toMatchObject({ structured_outputs: { choice } });
    expect(body("sglang", { choice })).toMatchObject({ regex: "(a\\.b|c)" });
    expect(body("ollama", { choice })).not.toHaveProperty("response_format");
    expect(body("ollama", { schema })).toMatchObject({ response_format: { json_schema: { schema } } });
    expect(body("bigmodel", { schema }, { ...all, jsonSchema: false })).toMatchObject({
      response_format: { type: "json_object" },
    });
    expect(
      body("vllm", { schema, choice }, { ...all, jsonSchema: false, jsonObject: false, choice: false }),
    ).toEqual(body("vllm"));
  });

  it("brings an image as a part of its message", () => {
    const messages = [{ role: "user" as const, content: "what?", imageUrl: "data:image/png;base64,AA==" }];
    expect(body("vllm", { messages })["messages"]).toEqual([
      {
        role: "user",
        content: [
          { type: "image_url", image_url: { url: "data:image/png;base64,AA==" } },
          { type: "text", text: "what?" },
        ],
      },
    ]);
  });
});

describe("role markers in a text", () => {
  it("are broken up, and whole again in the answer", () => {
    const parts = ["<|user|>", "<|im_start|>", "[gMASK]", "<sop>", "</think>", "a", "<|", "|>", "\n", "好"];
    fc.assert(
      fc.property(fc.array(fc.constantFrom(...parts)), (chosen) => {
        const text = chosen.join("");
        const plain = asPlainText(text);
        expect(plain).not.toMatch(/<\|[^|<>\n]{1,32}\|>|\[gMASK\]|<sop>|<\/think>/);
        expect(withoutJoiners(plain)).toBe(text);
      }),
    );
  });
});
