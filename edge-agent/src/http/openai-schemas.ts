/** Requests of the OpenAI API, as far as a model on a node can answer them. What it can't is refused, never ignored. */
import { z } from "zod";
import { HttpProblem } from "./problems.ts";

const textPart = z.looseObject({ type: z.literal("text"), text: z.string() });
const content = z.union([
  z.string(),
  z.array(textPart).transform((parts) => parts.map(({ text }) => text).join("")),
]);

const message = z.strictObject({
  role: z.enum(["system", "developer", "user", "assistant"]),
  content: content.nullish().transform((text) => text ?? ""),
  name: z.string().optional(),
});

const stop = z.union([z.string(), z.array(z.string()).max(4)]).nullish();
/** Accepted where it asks for nothing: clients send defaults. */
const only = <T>(value: T) =>
  z.custom<T>((sent) => sent === value, `only ${JSON.stringify(value)} is supported`).nullish();
const nothing = <T>(...values: readonly T[]) =>
  z.custom<T>((sent) => values.includes(sent as T), "is not supported by models on a node").nullish();

const sampling = {
  model: z.string().min(1),
  temperature: z.number().min(0).max(2).nullish(),
  top_p: z.number().gt(0).max(1).nullish(),
  n: only(1),
  seed: z.int().min(0).max(4_294_967_295).nullish(),
  stop,
  stream: z.boolean().nullish(),
  stream_options: z.strictObject({ include_usage: z.boolean().optional() }).nullish(),
  presence_penalty: only(0),
  frequency_penalty: only(0),
  logit_bias: z.strictObject({}).nullish(),
  /** Of the caller; it is not kept. */
  user: z.string().optional(),
  /** As in vLLM. */
  top_k: z.int().min(1).max(1000).optional(),
  repetition_penalty: z.number().min(1).max(2).optional(),
};
const tokenLimit = z.int().min(1).max(4096).nullish();

export const chatSchema = z.strictObject({
  ...sampling,
  messages: z.array(message).min(1).max(1000),
  max_tokens: tokenLimit,
  max_completion_tokens: tokenLimit,
  logprobs: only(false),
  top_logprobs: only(0),
  response_format: z
    .strictObject({ type: z.literal("text", { error: 'only "text" is supported' }) })
    .nullish(),
  tools: z.array(z.unknown()).max(0, "is not supported by models on a node").optional(),
  tool_choice: nothing("none", "auto"),
  parallel_tool_calls: z.boolean().optional(),
  metadata: z.record(z.string(), z.string()).nullish(),
  store: only(false),
  service_tier: nothing("auto", "default"),
});
export type ChatRequest = z.infer<typeof chatSchema>;

export const completionSchema = z.strictObject({
  ...sampling,
  prompt: z.union([z.string(), z.array(z.string()).min(1).max(64)]),
  max_tokens: tokenLimit,
  best_of: only(1),
  echo: only(false),
  logprobs: only(0),
  suffix: only(""),
});
export type CompletionRequest = z.infer<typeof completionSchema>;

export const embeddingSchema = z.strictObject({
  model: z.string().min(1),
  input: z.union([z.string(), z.array(z.string()).min(1).max(2048)], {
    error: "a text or a list of texts is expected; lists of tokens are not supported",
  }),
  encoding_format: z.enum(["float", "base64"]).nullish(),
  dimensions: z.int().min(1).nullish(),
  user: z.string().optional(),
});

/** @throws HttpProblem 400 in the words of the real API for what it does not know */
export function parseOpenAi<T>(schema: z.ZodType<T>, body: unknown): T {
  const parsed = schema.safeParse(body);
  if (parsed.success) return parsed.data;
  const [issue] = parsed.error.issues;
  const field = issue?.path.join(".") ?? "";
  if (issue?.code === "unrecognized_keys") {
    const [key = ""] = issue.keys;
    const whole = field === "" ? key : `${field}.${key}`;
    throw new HttpProblem(
      400,
      `Unrecognized request argument supplied: ${whole.slice(0, 100)}`,
      whole.slice(0, 100),
    );
  }
  throw new HttpProblem(
    400,
    field === "" ? "the body has to be a JSON object" : `${field}: ${issue?.message ?? "is wrong"}`,
    field || undefined,
  );
}
