/** What an answer says of itself, and whether two answers say the same. */
import { assertNever, type ItemOutput } from "@autoglm/api";

export interface AnswerSignal {
  /** 0..1; null where the answer has no score. */
  readonly score: number | null;
  /** Lead of the best label over the second; null where there are no two. */
  readonly margin: number | null;
}

const NO_SIGNAL: AnswerSignal = { score: null, margin: null };

/** A graph that gives no numbers is sure of nothing: NaN would be neither below nor above any threshold. */
export function answerSignalOf(output: ItemOutput): AnswerSignal {
  const { score, margin } = signalIn(output);
  return { score: Number.isFinite(score) ? score : null, margin: Number.isFinite(margin) ? margin : null };
}

function signalIn(output: ItemOutput): AnswerSignal {
  if (output.scoreSource === "none") return NO_SIGNAL;
  switch (output.type) {
    case "text-classification":
    case "zero-shot-classification":
    case "image-classification":
    case "image-text-matching": {
      const [best, second] = output.labels.map(({ score }) => score);
      const hasTwo = typeof best === "number" && typeof second === "number";
      return { score: best ?? null, margin: hasTwo ? best - second : null };
    }
    case "token-classification":
      return meanOf(output.entities);
    case "relation-extraction":
      return meanOf(output.relations);
    case "object-detection":
      return meanOf(output.objects);
    case "image-to-text":
      return meanOf(output.lines);
    case "question-answering":
    case "summarization":
    case "text-generation":
    case "automatic-speech-recognition":
      return { score: output.score, margin: null };
    default:
      return assertNever(output);
  }
}

/** An answer of several parts is as sure as they are on average; one without a part has nothing to be sure of. */
function meanOf(parts: readonly { readonly score: number | null }[]): AnswerSignal {
  const scores = parts.flatMap(({ score }) => score ?? []);
  if (scores.length === 0) return NO_SIGNAL;
  return { score: scores.reduce((sum, score) => sum + score, 0) / scores.length, margin: null };
}

/**
 * Whether the edge gave the answer of the deep model: what a consumer of the result acts on, not its scores. null where
 * texts would have to be compared by their meaning.
 */
export function answersAgree(edge: ItemOutput, deep: ItemOutput): boolean | null {
  switch (edge.type) {
    case "text-classification":
    case "zero-shot-classification":
    case "image-classification":
    case "image-text-matching":
      return "labels" in deep ? edge.labels[0]?.label === deep.labels[0]?.label : null;
    case "token-classification":
      if (deep.type !== edge.type) return null;
      return sameSet(edge.entities, deep.entities, (e) => `${e.entity_group} ${e.start} ${e.end}`);
    case "relation-extraction":
      if (deep.type !== edge.type) return null;
      return sameSet(edge.relations, deep.relations, ({ head, relation, tail }) =>
        JSON.stringify([head.text, relation, tail.text]),
      );
    case "question-answering":
      return deep.type === edge.type ? folded(edge.answer) === folded(deep.answer) : null;
    case "image-to-text":
      return deep.type === edge.type ? folded(edge.generated_text) === folded(deep.generated_text) : null;
    case "automatic-speech-recognition":
      return deep.type === edge.type ? folded(edge.text) === folded(deep.text) : null;
    case "summarization":
    case "text-generation":
    case "object-detection":
    case "feature-extraction":
    case "tensor":
      return null;
    default:
      return assertNever(edge);
  }
}

function sameSet<Part>(a: readonly Part[], b: readonly Part[], keyOf: (part: Part) => string): boolean {
  const [one, other] = [new Set(a.map(keyOf)), new Set(b.map(keyOf))];
  return one.size === other.size && [...one].every((key) => other.has(key));
}

/** Case, width and spacing are no other answer. */
function folded(text: string): string {
  return text
    .normalize("NFKC")
    .toLowerCase()
    .replaceAll(/[\s\p{P}]+/gu, "");
}
