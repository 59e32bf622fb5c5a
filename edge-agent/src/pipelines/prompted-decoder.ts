import type { TaskType } from "@autoglm/api";
import type { PromptedModel } from "../prompted/answer.ts";
import type { BiasCache } from "../prompted/classify.ts";
import { DecoderChatModel, Turns } from "./decoder-chat-model.ts";
import type { KvDecoder } from "./kv-decoder.ts";
import type { Pipeline, PipelineItem, PipelineResult, RunHooks } from "./pipeline.ts";

const PROMPTED_TYPES: readonly TaskType[] = [
  "text-classification",
  "zero-shot-classification",
  "token-classification",
  "relation-extraction",
  "question-answering",
  "summarization",
];

/**
 * A decoder that serves other types than text generation too, by prompts: the item brings the one that it is asked with.
 * Items without a prompt go to the decoder as they are.
 */
export class PromptedDecoder implements Pipeline {
  readonly taskTypes: readonly TaskType[];
  readonly batching: Pipeline["batching"];
  readonly decoder: KvDecoder;
  readonly #biases: BiasCache = new Map();
  readonly #turns = new Turns();

  constructor(decoder: KvDecoder) {
    this.decoder = decoder;
    this.taskTypes = [...decoder.taskTypes, ...PROMPTED_TYPES];
    this.batching = decoder.batching;
  }

  async run(items: readonly PipelineItem[], hooks: RunHooks): Promise<readonly PipelineResult[]> {
    if (items.every(isPlain)) return this.decoder.run(items, hooks);
    const plain = items.flatMap((item, index) => (isPlain(item) ? [{ item, index }] : []));
    const onToken =
      hooks.onToken && ((at: number, text: string) => hooks.onToken?.(plain[at]?.index ?? at, text));
    const [prompted, generated] = await Promise.all([
      this.#answerByPrompts(
        items.filter((item) => !isPlain(item)),
        hooks,
      ),
      plain.length === 0
        ? []
        : this.decoder.run(
            plain.map(({ item }) => item),
            { ...hooks, onToken },
          ),
    ]);
    const [others, rest] = [[...prompted], [...generated]];
    return items.map((item) => (isPlain(item) ? rest : others).shift() ?? NO_RESULT);
  }

  async #answerByPrompts(
    items: readonly PipelineItem[],
    hooks: RunHooks,
  ): Promise<readonly PipelineResult[]> {
    // Template engine and validator are 10 MB that a process which only generates does without.
    const { PromptedModel } = await import("../prompted/answer.ts");
    const model = new PromptedModel(new DecoderChatModel(this.decoder, this.#turns, hooks), this.#biases);
    return Promise.all(items.map((item) => answerByPrompt(model, item)));
  }
}

const isPlain = ({ type, prompt }: PipelineItem) => type === "text-generation" && prompt === undefined;

const NO_RESULT: PipelineResult = { error: { code: "AnswerInvalid", message: "the model gave no result" } };

async function answerByPrompt(model: PromptedModel, item: PipelineItem): Promise<PipelineResult> {
  const { prompt, type } = item;
  if (prompt === undefined) {
    const message = `${type} by a generating model needs a prompt: set spec.prompt of the task`;
    return { error: { code: "ItemInvalid", message } };
  }
  const result = await model.answer(prompt, item);
  if ("output" in result) return { output: result.output };
  const { code, message } = result.error;
  return { error: { code: code === "PromptInvalid" ? "ItemInvalid" : code, message } };
}
