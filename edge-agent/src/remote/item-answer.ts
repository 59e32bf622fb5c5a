/** Answers one item by an endpoint: by a prompt, by its own words, by an image, or as an embedding. */
import type { ItemOutput, TaskType, WorkPrompt } from "@autoglm/api";
import { promptForText } from "@autoglm/core";
import type { PipelineItem } from "../pipelines/pipeline.ts";
import { PromptedModel } from "../prompted/answer.ts";
import type { BiasCache } from "../prompted/classify.ts";
import { itemError, type PromptedResult } from "../prompted/result.ts";
import type { ChatContent } from "./flavour.ts";
import type { RemoteModel } from "./remote-model.ts";

const DEFAULT_MAX_NEW_TOKENS = 64;
const IMAGE_MAX_NEW_TOKENS = 1024;
/** What is asked of an image when the task has no prompt of its own. */
const READ_IMAGE = "Write down all text in this image, line by line as it stands there, and nothing else.";

export type EndpointItem = Pick<PipelineItem, "text" | "fields" | "media" | "parameters">;

export interface AnswerOptions {
  readonly type: TaskType;
  readonly prompts: readonly WorkPrompt[];
  readonly biases: BiasCache;
  /** Whether the endpoint takes images. */
  readonly sees: () => Promise<boolean>;
}

export async function answerItem(
  model: RemoteModel,
  item: EndpointItem,
  options: AnswerOptions,
): Promise<PromptedResult> {
  const { type, prompts, biases } = options;
  const { media } = item;
  if (type === "image-to-text") {
    if (media === undefined) return itemError("ItemInvalid", "the item is no image");
    if (!(await options.sees())) return itemError("ItemInvalid", "the endpoint's model takes no images");
    return readImage(model, item, media, prompts[0]);
  }
  if (media !== undefined)
    return itemError("ItemInvalid", `the item is a file of ${media.type}, and ${type} takes text`);
  const prompt = promptForText(prompts, item.text);
  if (prompt !== undefined) return new PromptedModel(model, biases).answer(prompt, item);
  return generateText(model, item);
}

async function generateText(model: RemoteModel, { text, parameters }: EndpointItem): Promise<PromptedResult> {
  const asked = [{ role: "user" as const, content: text }];
  if (text.trim() === "") return itemError("ItemInvalid", "empty text");
  const maxNewTokens = parameters.maxNewTokens ?? DEFAULT_MAX_NEW_TOKENS;
  if (model.countTokens(asked) + maxNewTokens > model.contextLength) {
    const message = `the text and an answer of ${maxNewTokens} tokens need more than the ${model.contextLength} tokens that the model takes`;
    return itemError("ItemTooLong", message);
  }
  const generated = await model.generateFor(asked, samplingOf(parameters, maxNewTokens));
  const { meanLogprob } = generated;
  const output: ItemOutput = {
    type: "text-generation",
    generated_text: generated.text,
    finish_reason: generated.finishReason,
    prompt_tokens: generated.promptTokens,
    completion_tokens: generated.completionTokens,
    score: meanLogprob === undefined ? null : Math.min(1, Math.round(Math.exp(meanLogprob) * 1e6) / 1e6),
    scoreSource: meanLogprob === undefined ? "none" : "logprob",
  };
  return { output };
}

async function readImage(
  model: RemoteModel,
  { parameters }: EndpointItem,
  media: NonNullable<PipelineItem["media"]>,
  prompt: WorkPrompt | undefined,
): Promise<PromptedResult> {
  const imageUrl = `data:${media.type};base64,${Buffer.from(media.bytes).toString("base64")}`;
  const messages: readonly ChatContent[] = [
    ...(prompt?.system === undefined ? [] : [{ role: "system" as const, content: prompt.system }]),
    { role: "user", content: prompt?.template ?? READ_IMAGE, imageUrl },
  ];
  const maxNewTokens = parameters.maxNewTokens ?? prompt?.maxNewTokens ?? IMAGE_MAX_NEW_TOKENS;
  const { text } = await model.generateFor(messages, samplingOf(parameters, maxNewTokens));
  // An endpoint gives no places: lines without boxes would be none.
  return { output: { type: "image-to-text", generated_text: text.trim(), lines: [], scoreSource: "none" } };
}

function samplingOf(parameters: PipelineItem["parameters"], maxNewTokens: number) {
  return {
    maxNewTokens,
    temperature: parameters.temperature ?? 0,
    seed: parameters.seed ?? 0,
    stop: parameters.stop ?? [],
    topK: parameters.topK,
    topP: parameters.topP,
    repetitionPenalty: parameters.repetitionPenalty,
  };
}
