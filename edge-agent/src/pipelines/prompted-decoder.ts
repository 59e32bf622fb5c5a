import type { TaskType } from "@autoglm/api";
import { PromptedModel } from "../prompted/answer.ts";
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
    const model = new PromptedModel(new DecoderChatModel(this.decoder, this.#turns, hooks), this.#biases);
    const plain = items.flatMap((item, index) => (isPlain(item) ? [{ item, index }] : []));
    const onToken =
      hooks.onToken && ((at: number, text: string) => hooks.onToken?.(plain[at]?.index ?? at, text));
    const [answers, ...prompted] = await Promise.all([
      plain.length === 0
        ? []
        : this.decoder.run(
            plain.map(({ item }) => item),
            { ...hooks, onToken },
          ),
      ...items.filter((item) => !isPlain(item)).map((item) => answerByPrompt(model, item)),
    ]);
    const [rest, others] = [[...answers], [...prompted]];
    return items.map((item) => (isPlain(item) ? rest : others).shift() ?? NO_RESULT);
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
