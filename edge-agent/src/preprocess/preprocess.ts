/**
 * Declared steps between reading and the model:
 *
 *     record ─▶ nfkc, whitespace, stripHtml (change a text) ─▶ dedupe, language (leave it out) ─▶ split (several) ─▶ items
 *
 * in the order in which they are declared. Items are numbered anew by what is left, so the same content and steps give
 * the same numbers. Each keeps where it came from: its record and, run by run, the units of the record's text.
 */
import type { PreprocessStep } from "@autoglm/api";
import type { ItemSource, ParsedItem } from "../parse/index.ts";
import { HashSet } from "./hash-set.ts";
import { languageTest } from "./language.ts";
import { originOf, unchanged, type MappedText, type Run } from "./offsets.ts";
import { collapseWhitespace, nfkc, onto, splitByLength, stripHtml } from "./steps.ts";

type TextItem = Extract<ParsedItem, { readonly text: string }>;
/** One text to any number of texts. */
type Step = (mapped: MappedText, item: TextItem) => readonly MappedText[];

/**
 * Images and broken items pass as they are.
 * @throws AutoglmError `InputTooLarge` when dedupe has more different texts than it can remember
 */
export async function* preprocess(
  items: AsyncIterable<ParsedItem>,
  declared: readonly PreprocessStep[],
): AsyncGenerator<ParsedItem> {
  const steps = await Promise.all(declared.map(makeStep));
  let item = 0;
  for await (const parsed of items) {
    if ("error" in parsed || parsed.media !== undefined) {
      yield { ...parsed, item: item++ };
      continue;
    }
    for (const mapped of runSteps(steps, parsed)) {
      const source = sourceOf(parsed.item, mapped);
      yield { ...parsed, item: item++, text: mapped.text, source };
    }
  }
}

/** The texts that the steps make of one. */
function runSteps(steps: readonly Step[], item: TextItem): readonly MappedText[] {
  let texts: readonly MappedText[] = [unchanged(item.text)];
  for (const step of steps) texts = texts.flatMap((mapped) => step(mapped, item));
  return texts;
}

async function makeStep(declared: PreprocessStep): Promise<Step> {
  switch (declared.step) {
    case "nfkc":
      return (mapped) => [onto(mapped, nfkc)];
    case "whitespace":
      return (mapped) => [onto(mapped, collapseWhitespace)];
    case "stripHtml":
      return (mapped) => [onto(mapped, stripHtml)];
    case "dedupe": {
      const seen = new HashSet();
      return (mapped, { fields }) => (seen.add(dedupeKey(mapped.text, fields)) ? [mapped] : []);
    }
    case "language": {
      const isWanted = await languageTest(declared.languages ?? []);
      return (mapped) => (isWanted(mapped.text) ? [mapped] : []);
    }
    case "split": {
      const { maxCharacters = Infinity, overlap = 0 } = declared;
      return (mapped) => splitByLength(mapped, { maxCharacters, overlap });
    }
    default:
      return declared.step satisfies never;
  }
}

/** The same context with another question is another item. */
function dedupeKey(text: string, fields: TextItem["fields"]): string {
  return fields === undefined ? text : `${text}\0${JSON.stringify(fields)}`;
}

function sourceOf(record: number, mapped: MappedText): ItemSource {
  const { start, end } = originOf(mapped, 0, mapped.text.length);
  const isShifted = mapped.runs.length <= 1 && end - start === mapped.text.length;
  return {
    record,
    start,
    end,
    ...(!isShifted && { offsets: mapped.runs.flatMap(({ out, from, to }) => [out, from, to]) }),
  };
}

/** The runs of an item's source, for {@link originOf}. */
export function mappedTextOf(text: string, source: ItemSource): MappedText {
  const { offsets } = source;
  if (offsets === undefined) {
    return { text, runs: text === "" ? [] : [{ out: 0, from: source.start, to: source.end }] };
  }
  const runs: Run[] = [];
  for (let index = 0; index + 2 < offsets.length; index += 3) {
    runs.push({ out: offsets[index] ?? 0, from: offsets[index + 1] ?? 0, to: offsets[index + 2] ?? 0 });
  }
  return { text, runs };
}
