/** How answers are judged against gold, each task type by the measure that its field uses. Pure. */
import { assertNever, huggingFaceShape, type ItemOutput, type TaskType } from "@autoglm/api";
import { bootstrap, proportion, seededRandom, type Estimate } from "./intervals.ts";

/** What is right for an item, as far as the type needs it. */
export interface Gold {
  /** Classification of any kind. */
  readonly label?: string | undefined;
  /** token-classification: offsets in UTF-16 units. */
  readonly entities?:
    | readonly { readonly entity_group: string; readonly start: number; readonly end: number }[]
    | undefined;
  readonly relations?:
    | readonly { readonly head: string; readonly relation: string; readonly tail: string }[]
    | undefined;
  /** Answer, summary, recognised text, generated text. */
  readonly text?: string | undefined;
}

export interface Judged {
  readonly gold: Gold;
  /** Undefined for an item that got an error: it counts as wrong. */
  readonly output: ItemOutput | undefined;
}

export interface Quality {
  readonly measure: string;
  readonly estimate: Estimate;
  /** Of a trivial answer to the same items: the most frequent label, nothing at all, the first sentence. */
  readonly baseline?: { readonly name: string; readonly estimate: Estimate } | undefined;
  /** Expected calibration error over ten bins; for labels with scores. */
  readonly calibrationError?: number | undefined;
}

const SEED = 1;

/** Undefined for a type that gold can't judge: embeddings and tensors. */
export function judgeQuality(type: TaskType, items: readonly Judged[]): Quality | undefined {
  switch (type) {
    case "text-classification":
    case "zero-shot-classification":
    case "image-classification":
    case "image-text-matching":
      return judgeLabels(items);
    case "token-classification":
      return judgeSets("entity F1 (exact)", items, entitiesOf, goldEntitiesOf);
    case "relation-extraction":
      return judgeSets("relation F1 (exact)", items, relationsOf, goldRelationsOf);
    case "question-answering":
      return judgeTexts("token F1", items, tokenF1);
    case "summarization":
      return judgeTexts("ROUGE-L F1", items, rougeL);
    case "text-generation":
      return judgeTexts("token F1", items, tokenF1);
    case "image-to-text":
    case "automatic-speech-recognition":
      return judgeTexts("1 - character error rate", items, (answer, gold) =>
        Math.max(0, 1 - characterErrorRate(answer, gold)),
      );
    case "feature-extraction":
    case "object-detection":
    case "tensor":
      return undefined;
    default:
      return assertNever(type);
  }
}

/** Code points that differ, of those of the gold. */
function characterErrorRate(answer: string, gold: string): number {
  const [found, wanted] = [Array.from(answer), Array.from(gold)];
  return editDistance(found, wanted) / Math.max(1, wanted.length);
}

function judgeLabels(items: readonly Judged[]): Quality {
  const isRight = ({ gold, output }: Judged) => labelsOf(output)[0]?.label === gold.label;
  const counts = new Map<string, number>();
  for (const { gold } of items) counts.set(gold.label ?? "", (counts.get(gold.label ?? "") ?? 0) + 1);
  return {
    measure: "accuracy",
    estimate: proportion(items.filter(isRight).length, items.length),
    baseline: {
      name: "most frequent label",
      estimate: proportion(Math.max(0, ...counts.values()), items.length),
    },
    calibrationError: calibrationError(items, isRight),
  };
}

function calibrationError(items: readonly Judged[], isRight: (item: Judged) => boolean): number | undefined {
  const scored = items.flatMap((item) => {
    const score = labelsOf(item.output)[0]?.score;
    return typeof score === "number" ? [{ score, isRight: isRight(item) }] : [];
  });
  if (scored.length === 0) return undefined;
  let error = 0;
  for (let bin = 0; bin < 10; bin++) {
    const inside = scored.filter(({ score }) => Math.min(9, Math.floor(score * 10)) === bin);
    if (inside.length === 0) continue;
    const confidence = inside.reduce((sum, { score }) => sum + score, 0) / inside.length;
    const accuracy = inside.filter((one) => one.isRight).length / inside.length;
    error += (Math.abs(confidence - accuracy) * inside.length) / scored.length;
  }
  return error;
}

function judgeSets(
  measure: string,
  items: readonly Judged[],
  found: (output: ItemOutput | undefined) => ReadonlySet<string>,
  wanted: (gold: Gold) => ReadonlySet<string>,
): Quality {
  const counted = items.map(({ gold, output }) => {
    const [answer, right] = [found(output), wanted(gold)];
    return {
      hits: [...right].filter((one) => answer.has(one)).length,
      answers: answer.size,
      wanted: right.size,
    };
  });
  const f1 = (sample: readonly (typeof counted)[number][]) => {
    const sum = (key: "hits" | "answers" | "wanted") => sample.reduce((total, one) => total + one[key], 0);
    return (2 * sum("hits")) / Math.max(1, sum("answers") + sum("wanted"));
  };
  return { measure, estimate: bootstrap(counted, f1, seededRandom(SEED)) };
}

function judgeTexts(
  measure: string,
  items: readonly Judged[],
  compare: (answer: string, gold: string) => number,
): Quality {
  const scores = items.map(({ gold, output }) =>
    output === undefined ? 0 : compare(textOf(output), gold.text ?? ""),
  );
  const mean = (sample: readonly number[]) =>
    sample.reduce((sum, one) => sum + one, 0) / Math.max(1, sample.length);
  return { measure, estimate: bootstrap(scores, mean, seededRandom(SEED)) };
}

const labelsOf = (output: ItemOutput | undefined) =>
  output !== undefined && "labels" in output ? output.labels : [];

const entityKey = (entity: { readonly entity_group: string; readonly start: number; readonly end: number }) =>
  `${entity.entity_group} ${entity.start} ${entity.end}`;
const entitiesOf = (output: ItemOutput | undefined) =>
  new Set(output?.type === "token-classification" ? output.entities.map(entityKey) : []);
const goldEntitiesOf = ({ entities = [] }: Gold) => new Set(entities.map(entityKey));

const relationsOf = (output: ItemOutput | undefined) =>
  new Set(
    output?.type === "relation-extraction"
      ? output.relations.map(({ head, relation, tail }) => JSON.stringify([head.text, relation, tail.text]))
      : [],
  );
const goldRelationsOf = ({ relations = [] }: Gold) =>
  new Set(relations.map(({ head, relation, tail }) => JSON.stringify([head, relation, tail])));

function textOf(output: ItemOutput): string {
  if (output.type === "question-answering") return output.answer;
  if (output.type === "summarization") return output.summary_text;
  if (output.type === "automatic-speech-recognition") return output.text;
  if ("generated_text" in output) return output.generated_text;
  return JSON.stringify(huggingFaceShape(output));
}

/** Words of Latin script, single characters of Chinese. */
const tokensOf = (text: string): readonly string[] =>
  text
    .normalize("NFKC")
    .toLowerCase()
    .match(/\p{Script=Han}|[\p{L}\p{N}]+/gu) ?? [];

/** SQuAD's: overlap of the bags of tokens. */
export function tokenF1(answer: string, gold: string): number {
  const [left, right] = [tokensOf(answer), tokensOf(gold)];
  if (left.length === 0 || right.length === 0) return Number(left.length === right.length);
  const counts = new Map<string, number>();
  for (const token of right) counts.set(token, (counts.get(token) ?? 0) + 1);
  let common = 0;
  for (const token of left) {
    const remaining = counts.get(token) ?? 0;
    if (remaining > 0) common++;
    counts.set(token, remaining - 1);
  }
  return (2 * common) / (left.length + right.length);
}

/** F1 of the longest common subsequence of tokens. Source: Lin, "ROUGE", 2004. */
export function rougeL(answer: string, gold: string): number {
  const [left, right] = [tokensOf(answer), tokensOf(gold)];
  if (left.length === 0 || right.length === 0) return Number(left.length === right.length);
  let previous = new Uint32Array(right.length + 1);
  for (const token of left) {
    const row = new Uint32Array(right.length + 1);
    for (const [index, other] of right.entries()) {
      row[index + 1] =
        token === other ? (previous[index] ?? 0) + 1 : Math.max(previous[index + 1] ?? 0, row[index] ?? 0);
    }
    previous = row;
  }
  return (2 * (previous[right.length] ?? 0)) / (left.length + right.length);
}

/** Levenshtein's distance. */
export function editDistance(a: readonly string[], b: readonly string[]): number {
  let previous = Uint32Array.from({ length: b.length + 1 }, (_, index) => index);
  for (const [i, left] of a.entries()) {
    const row = new Uint32Array(b.length + 1);
    row[0] = i + 1;
    for (const [j, right] of b.entries()) {
      row[j + 1] = Math.min(
        (previous[j + 1] ?? 0) + 1,
        (row[j] ?? 0) + 1,
        (previous[j] ?? 0) + Number(left !== right),
      );
    }
    previous = row;
  }
  return previous[b.length] ?? 0;
}
