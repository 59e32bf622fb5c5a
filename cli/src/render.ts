import { assertNever, huggingFaceShape, type ItemOutput, type ResultRecord } from "@autoglm/api";
import { printable } from "./printable.ts";

export type ResultFormat = "json" | "text";

/**
 * One line per result. json: what the Hugging Face pipeline returns for the item under `output`, ours beside it.
 * text: item number, tab, the answer.
 * @param task named in each line when several tasks write to the same output
 */
export function renderResult(record: ResultRecord, format: ResultFormat, task?: string): string {
  // JSON escapes the lower half of what controls a terminal, not the upper.
  return format === "json" ? printable(renderJson(record, task)) : renderText(record, task);
}

function renderJson(record: ResultRecord, task?: string): string {
  const { item, run, stage, output, error, withheld, answeredBy, gate, source, node, ms } = record;
  return JSON.stringify({
    ...(task !== undefined && { task }),
    item,
    ...(run > 0 && { run }),
    ...(stage === "provisional" && { stage }),
    ...(output === undefined
      ? { error, withheld }
      : { output: huggingFaceShape(output), ...besideOutput(output) }),
    answeredBy,
    gate,
    source,
    node,
    ms,
  });
}

/** What our record has and the pipeline's return value has not. */
function besideOutput(output: ItemOutput): Record<string, unknown> {
  if (output.type !== "text-generation") return { scoreSource: output.scoreSource };
  const { score, scoreSource, finish_reason, prompt_tokens, completion_tokens } = output;
  return { scoreSource, score, finish_reason, prompt_tokens, completion_tokens };
}

function renderText({ item, output, error, withheld, stage }: ResultRecord, task?: string): string {
  const answer =
    output !== undefined
      ? textOf(output)
      : withheld !== undefined
        ? `withheld on the node, sha256 ${withheld.sha256}`
        : `error ${error?.code ?? ""}: ${error?.message ?? ""}`;
  const fields = [...(task === undefined ? [] : [task]), item, oneLine(answer)];
  if (stage === "provisional") fields.push("(provisional)");
  return fields.join("\t");
}

function textOf(output: ItemOutput): string {
  switch (output.type) {
    case "text-classification":
    case "zero-shot-classification":
    case "image-classification":
    case "image-text-matching":
      return output.labels.map(({ label, score }) => `${label}${scoreText(score)}`).join(" ");
    case "token-classification":
      return output.entities.map(({ word, entity_group }) => `${word}/${entity_group}`).join(" ");
    case "relation-extraction":
      return output.relations
        .map(({ head, relation, tail }) => `${head.text} -${relation}-> ${tail.text}`)
        .join("; ");
    case "question-answering":
      return output.answer;
    case "summarization":
      return output.summary_text;
    case "text-generation":
    case "image-to-text":
      return output.generated_text;
    case "feature-extraction":
      return output.embedding.join(" ");
    case "object-detection":
      return output.objects
        .map(
          ({ label, score, box }) =>
            `${label}${scoreText(score)} [${[box.xmin, box.ymin, box.xmax, box.ymax].map(Math.round).join(",")}]`,
        )
        .join("; ");
    case "automatic-speech-recognition":
      return output.text;
    case "tensor":
      return output.outputs
        .map(({ name, datatype, shape, data }) => `${name} ${datatype}[${shape.join(",")}] ${data.join(" ")}`)
        .join("; ");
    default:
      return assertNever(output);
  }
}

const scoreText = (score: number | null) => (score === null ? "" : ` ${score.toFixed(4)}`);

/** A line break inside a text must not look like the next result. */
const oneLine = (text: string) => printable(text.replaceAll("\\", "\\\\"));
