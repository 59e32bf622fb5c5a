/** From an answer that fits its schema to the output of a task type. */
import type { ItemOutput } from "@autoglm/api";
import { isObject } from "./schemas.ts";
import { SpanFinder } from "./spans.ts";

type OutputOf<Type extends ItemOutput["type"]> = Extract<ItemOutput, { type: Type }>;

export interface Structured<Type extends ItemOutput["type"]> {
  readonly output: OutputOf<Type>;
  /** What the model named and the text does not have, or has with a label that nobody asked for. */
  readonly dropped: number;
}

/** Without labels every kind is taken. */
const isAsked = (label: string, labels: readonly string[]) => labels.length === 0 || labels.includes(label);

/** `{"entities": [{"text", "type"}]}`; undefined for another form. */
export function entitiesOf(
  value: unknown,
  text: string,
  labels: readonly string[],
): Structured<"token-classification"> | undefined {
  const named = listIn(value, "entities");
  if (named === undefined) return undefined;
  const finder = new SpanFinder(text);
  const entities = named.flatMap((entity) => {
    const word = stringIn(entity, "text");
    const group = stringIn(entity, "type");
    if (word === undefined || group === undefined || !isAsked(group, labels)) return [];
    const span = finder.take(word);
    if (span === undefined) return [];
    return [{ entity_group: group, score: null, word: text.slice(span.start, span.end), ...span }];
  });
  return {
    output: {
      type: "token-classification",
      entities: entities.sort((a, b) => a.start - b.start),
      scoreSource: "none",
    },
    dropped: named.length - entities.length,
  };
}

/** `{"relations": [{"head", "relation", "tail", "head_type"?, "tail_type"?}]}`; undefined for another form. */
export function relationsOf(
  value: unknown,
  text: string,
  labels: readonly string[],
): Structured<"relation-extraction"> | undefined {
  const named = listIn(value, "relations");
  if (named === undefined) return undefined;
  const finder = new SpanFinder(text);
  const mention = (word: string | undefined, type: string | undefined) => {
    // An entity may have several relations: its first occurrence serves them all.
    const span = word === undefined ? undefined : finder.first(word);
    if (span === undefined) return undefined;
    return { text: text.slice(span.start, span.end), ...span, ...(type === undefined ? {} : { type }) };
  };
  const relations = named.flatMap((element) => {
    const relation = stringIn(element, "relation");
    const head = mention(stringIn(element, "head"), stringIn(element, "head_type"));
    const tail = mention(stringIn(element, "tail"), stringIn(element, "tail_type"));
    if (relation === undefined || !isAsked(relation, labels) || head === undefined || tail === undefined) {
      return [];
    }
    return [{ head, relation, tail, score: null }];
  });
  return {
    output: { type: "relation-extraction", relations, scoreSource: "none" },
    dropped: named.length - relations.length,
  };
}

/** What an answer of a question says: of `{"answer": …}`, or the plain text. Empty when there is none. */
export function answerOf(value: unknown): string | undefined {
  if (typeof value === "string") return value.trim();
  if (!isObject(value) || !("answer" in value)) return undefined;
  const { answer } = value;
  if (answer === null) return "";
  return typeof answer === "string" ? answer.trim() : undefined;
}

/** What a summary says: of `{"summary": …}`, or the plain text. */
export function summaryOf(value: unknown): string | undefined {
  if (typeof value === "string") return value.trim();
  return stringIn(value, "summary")?.trim();
}

function listIn(value: unknown, name: string): readonly unknown[] | undefined {
  const list = isObject(value) ? value[name] : value;
  return Array.isArray(list) ? list : undefined;
}

function stringIn(value: unknown, name: string): string | undefined {
  const member = isObject(value) ? value[name] : undefined;
  return typeof member === "string" ? member : undefined;
}
