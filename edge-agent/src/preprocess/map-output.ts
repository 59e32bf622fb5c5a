import type { ItemOutput } from "@autoglm/api";
import type { ItemSource } from "../parse/index.ts";
import { originOf } from "./offsets.ts";
import { mappedTextOf } from "./preprocess.ts";

/**
 * The output with its offsets in the record's text instead of the item's. Words and answers stay as the model read them.
 * @param text the item's
 */
export function mapOutputToRecord(output: ItemOutput, text: string, source: ItemSource): ItemOutput {
  const mapped = mappedTextOf(text, source);
  const moved = <T extends { readonly start: number; readonly end: number }>(span: T): T => ({
    ...span,
    ...originOf(mapped, span.start, span.end),
  });
  if (output.type === "token-classification") return { ...output, entities: output.entities.map(moved) };
  if (output.type === "relation-extraction") {
    const relations = output.relations.map((one) => ({
      ...one,
      head: moved(one.head),
      tail: moved(one.tail),
    }));
    return { ...output, relations };
  }
  if (output.type === "question-answering") {
    const { start, end } = output;
    return start === null || end === null ? output : { ...output, ...originOf(mapped, start, end) };
  }
  return output;
}
