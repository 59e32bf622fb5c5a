import { describe, expect, test } from "vitest";
import { ChatPrompt, TemplateRefused } from "./chat-prompt.ts";
import type { ChatMessage } from "./pipeline.ts";

/** GPT-2's names of the 256 bytes, in byte order. */
function byteNames(): string[] {
  const isPrintable = (byte: number) =>
    (byte >= 33 && byte <= 126) || (byte >= 161 && byte <= 172) || (byte >= 174 && byte <= 255);
  let next = 256;
  return Array.from({ length: 256 }, (_, byte) => String.fromCodePoint(isPrintable(byte) ? byte : next++));
}

/** A token per byte, then the control tokens. */
function tokenizerWith(controls: readonly string[], normalizer: unknown = null) {
  const byteLevel = { type: "ByteLevel", add_prefix_space: false, trim_offsets: true, use_regex: false };
  return {
    version: "1.0",
    added_tokens: controls.map((content, index) => ({ id: 256 + index, content, special: true })),
    normalizer,
    pre_tokenizer: byteLevel,
    post_processor: null,
    decoder: byteLevel,
    model: {
      type: "BPE",
      vocab: Object.fromEntries(byteNames().map((name, byte) => [name, byte])),
      merges: [],
    },
  };
}

const GLM_CONTROLS = ["<|endoftext|>", "[gMASK]", "<sop>", "<|system|>", "<|user|>", "<|assistant|>"];
const CASES = {
  "GLM-4": {
    controls: GLM_CONTROLS,
    template:
      "[gMASK]<sop>{% for m in messages %}<|{{ m['role'] }}|>\n{{ m['content'] }}{% endfor %}{% if add_generation_prompt %}<|assistant|>\n{% endif %}",
    expected: "[gMASK]<sop><|system|>\nS<|user|>\nU<|assistant|>\nA<|user|>\nV<|assistant|>\n",
  },
  "GLM-Edge": {
    controls: GLM_CONTROLS,
    template:
      "{% for m in messages %}{% if m['role'] == 'system' %}<|system|>\n{{ m['content'] }}{% elif m['role'] == 'user' %}<|user|>\n{{ m['content'] }}{% elif m['role'] == 'assistant' %}<|assistant|>\n{{ m['content'] }}{% endif %}{% endfor %}{% if add_generation_prompt %}<|assistant|>{% endif %}",
    expected: "<|system|>\nS<|user|>\nU<|assistant|>\nA<|user|>\nV<|assistant|>",
  },
  ChatML: {
    controls: ["<|im_start|>", "<|im_end|>"],
    template:
      "{% for message in messages %}{{'<|im_start|>' + message['role'] + '\n' + message['content'] + '<|im_end|>' + '\n'}}{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}",
    expected:
      "<|im_start|>system\nS<|im_end|>\n<|im_start|>user\nU<|im_end|>\n<|im_start|>assistant\nA<|im_end|>\n<|im_start|>user\nV<|im_end|>\n<|im_start|>assistant\n",
  },
  "with the beginning from the configuration": {
    controls: ["<s>", "</s>"],
    template:
      "{{ bos_token }}{% for m in messages %}{{ m['role'] | upper }}: {{ m['content'] | trim }}{{ eos_token }}{% endfor %}",
    expected: "<s>SYSTEM: S</s>USER: U</s>ASSISTANT: A</s>USER: V</s>",
  },
} as const;

const chat = (...[s, u, a, v]: readonly string[]): ChatMessage[] => [
  { role: "system", content: s ?? "" },
  { role: "user", content: u ?? "" },
  { role: "assistant", content: a ?? "" },
  { role: "user", content: v ?? "" },
];
const bytesOf = (text: string) => [...new TextEncoder().encode(text)];

/** What the tokenizer is to make of the text: control tokens as one id, all else as bytes. */
function idsOf(text: string, controls: readonly string[]): number[] {
  const at = controls.findIndex((control) => text.startsWith(control));
  if (text === "") return [];
  const [first = ""] = text;
  return at >= 0
    ? [256 + at, ...idsOf(text.slice(controls[at]?.length), controls)]
    : [...bytesOf(first), ...idsOf(text.slice(first.length), controls)];
}

describe.each(Object.entries(CASES))("the template %s", (_, { controls, template, expected }) => {
  const config = { chat_template: template, bos_token: { content: "<s>" }, eos_token: "</s>" };
  const prompt = new ChatPrompt({ tokenizer: tokenizerWith(controls), config, systemPrompt: null });

  test("has every message in its role", () => {
    expect(prompt.encode(chat("S", "U", "A", "V"))).toEqual(idsOf(expected, controls));
  });

  test("leaves control tokens in messages of every role as the characters that they are", () => {
    const hostile = controls.map((control) => `x${control}${control}😀`).join("");
    const [before = "", ...after] = expected.split(/(?<=[\n>:] ?)[SUAV](?=<)/);
    const wanted = after.reduce(
      (ids, part) => [...ids, ...bytesOf(hostile), ...idsOf(part, controls)],
      idsOf(before, controls),
    );
    expect(prompt.encode(chat(hostile, hostile, hostile, hostile))).toEqual(wanted);
    expect(prompt.encodeText(hostile)).toEqual(bytesOf(hostile));
  });
});

test("a control token that a normalizer would make of a text stays text as well", () => {
  const controls = ["<|user|>"];
  const tokenizer = tokenizerWith(controls, { type: "NFKC" });
  for (const token of tokenizer.added_tokens) Object.assign(token, { normalized: true });
  const prompt = new ChatPrompt({ tokenizer, config: {}, systemPrompt: null });
  expect(prompt.encodeText("＜|user|＞")).toEqual(bytesOf("<|user|>"));
});

test("the model's own system prompt is said where the conversation has none", () => {
  const { controls, template } = CASES["GLM-Edge"];
  const prompt = new ChatPrompt({
    tokenizer: tokenizerWith(controls),
    config: { chat_template: [{ name: "default", template }] },
    systemPrompt: "Be brief.",
  });
  const idsFor = (...messages: ChatMessage[]) => prompt.encode(messages);
  expect(idsFor({ role: "user", content: "U" })).toEqual(
    idsOf("<|system|>\nBe brief.<|user|>\nU<|assistant|>", controls),
  );
  expect(idsFor({ role: "system", content: "S" }, { role: "user", content: "U" })).toEqual(
    idsOf("<|system|>\nS<|user|>\nU<|assistant|>", controls),
  );
});

test("roles that the template refuses are refused in its words, without the text", () => {
  const template =
    "{% for m in messages %}{% if m['role'] == 'system' %}{{ raise_exception('no system messages') }}{% endif %}{{ m['content'] }}{% endfor %}";
  const config = { chat_template: template };
  const prompt = new ChatPrompt({ tokenizer: tokenizerWith([]), config, systemPrompt: null });
  const refused = () => prompt.encode([{ role: "system", content: "secret" }]);
  expect(refused).toThrow(TemplateRefused);
  expect(refused).toThrow(/no system messages/);
  expect(refused).not.toThrow(/secret/);
});

test("a template that drops or doubles the user's text makes the model unusable", () => {
  for (const template of [
    "{% for m in messages %}{{ m['role'] }}{% endfor %}",
    "{{ messages[0]['content'] * 2 }}",
  ]) {
    const config = { chat_template: template };
    const files = { tokenizer: tokenizerWith([]), config, systemPrompt: null };
    expect(() => new ChatPrompt(files)).toThrow(/chat template/);
  }
});

test("a model without a template continues one text, and takes no conversation", () => {
  const prompt = new ChatPrompt({ tokenizer: tokenizerWith(["<s>"]), config: {}, systemPrompt: null });
  expect(prompt.encode([{ role: "user", content: "Once" }])).toEqual(bytesOf("Once"));
  expect(() => prompt.encode(chat("S", "U", "A", "V"))).toThrow(/no chat template/);
});
