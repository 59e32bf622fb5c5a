/**
 * What each server takes, field by field, and how it says no. Stricter than the real ones where those ignore what they don't
 * know: a client that passes here sends nothing that any of them could stumble over.
 */
import { z } from "zod";
import type { Flavour } from "../../../edge-agent/src/remote/flavour.ts";

const textPart = z.strictObject({ type: z.literal("text"), text: z.string() });
const imagePart = z.strictObject({
  type: z.literal("image_url"),
  image_url: z.strictObject({ url: z.string().regex(/^(https?:|data:image\/(png|jpeg|webp);base64,)/) }),
});
const messageSchema = z.strictObject({
  role: z.enum(["system", "user", "assistant"]),
  content: z.union([z.string().min(1), z.array(z.union([textPart, imagePart])).min(1)]),
});

const common = {
  model: z.string().min(1),
  messages: z.array(messageSchema).min(1),
  max_tokens: z.int().min(1).optional(),
  seed: z.int().min(0).optional(),
  stream: z.boolean().optional(),
};
const stop = z.array(z.string().min(1));
const jsonSchemaFormat = z.strictObject({
  type: z.literal("json_schema"),
  json_schema: z.strictObject({
    name: z.string().regex(/^[\w-]{1,64}$/),
    strict: z.boolean().optional(),
    schema: z.record(z.string(), z.unknown()),
  }),
});
const jsonObjectFormat = z.strictObject({ type: z.literal("json_object") });
const openai = {
  ...common,
  temperature: z.number().min(0).max(2).optional(),
  top_p: z.number().gt(0).max(1).optional(),
  stop: stop.max(4).optional(),
  stream_options: z.strictObject({ include_usage: z.boolean() }).optional(),
  response_format: z.union([jsonObjectFormat, jsonSchemaFormat]).optional(),
  logprobs: z.boolean().optional(),
  top_logprobs: z.int().min(0).max(20).optional(),
};
const selfHosted = {
  ...openai,
  top_k: z.int().min(-1).optional(),
  repetition_penalty: z.number().gt(0).optional(),
  chat_template_kwargs: z.strictObject({ enable_thinking: z.boolean() }).optional(),
};

const chatSchemas = {
  bigmodel: z.strictObject({
    ...common,
    temperature: z.number().gt(0).lt(1).optional(),
    top_p: z.number().min(0.01).lt(1).optional(),
    do_sample: z.boolean().optional(),
    stop: stop.max(1).optional(),
    response_format: jsonObjectFormat.optional(),
    thinking: z.strictObject({ type: z.enum(["enabled", "disabled"]) }).optional(),
    request_id: z.string().min(6).max(64).optional(),
  }),
  vllm: z.strictObject({
    ...selfHosted,
    structured_outputs: z.strictObject({ choice: z.array(z.string()).min(1) }).optional(),
  }),
  sglang: z.strictObject({ ...selfHosted, regex: z.string().optional() }),
  ollama: z.strictObject({
    ...openai,
    reasoning_effort: z.enum(["none", "low", "medium", "high"]).optional(),
  }),
  openai: z.strictObject(openai),
} as const satisfies Record<Flavour, z.ZodType>;

/** Every field that any of them takes: what the server reads after the flavour's own schema has let it through. */
const anyBody = z.looseObject({
  ...openai,
  request_id: z.string().optional(),
  thinking: z.looseObject({ type: z.string() }).optional(),
  reasoning_effort: z.string().optional(),
  chat_template_kwargs: z.looseObject({ enable_thinking: z.boolean() }).optional(),
  structured_outputs: z.looseObject({ choice: z.array(z.string()) }).optional(),
  regex: z.string().optional(),
});
export type ChatBody = z.infer<typeof anyBody>;

export const embeddingBody = z.strictObject({
  model: z.string(),
  input: z.array(z.string().min(1)).min(1).max(64),
});

/** @returns the body, or what is wrong with it */
export function readChatBody(
  flavour: Flavour,
  value: unknown,
): { readonly body: ChatBody } | { readonly problem: string } {
  const strict = chatSchemas[flavour].safeParse(value);
  if (!strict.success) return { problem: z.prettifyError(strict.error) };
  const body = anyBody.parse(value);
  if (body.stream_options !== undefined && body.stream !== true) {
    return { problem: "stream_options is for streams" };
  }
  if (body.top_logprobs !== undefined && body.logprobs !== true) {
    return { problem: "top_logprobs needs logprobs" };
  }
  return { body };
}

/** An error as the flavour words it. */
export function errorBody(
  flavour: Flavour,
  status: number,
  code: string | undefined,
  message: string,
): unknown {
  switch (flavour) {
    case "bigmodel":
      return { error: { code: code ?? String(status), message } };
    case "sglang":
      return { object: "error", message, type: "BadRequestError", param: null, code: status };
    case "ollama":
      return { error: { message, type: "api_error", param: null, code: null } };
    case "vllm":
      return { error: { message, type: "BadRequestError", param: null, code: status } };
    case "openai":
      return { error: { message, type: "invalid_request_error", code: code ?? null } };
    default:
      throw new Error(`unknown flavour ${String(flavour satisfies never)}`);
  }
}
