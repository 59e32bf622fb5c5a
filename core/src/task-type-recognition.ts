/**
 * What kind of work a sample of texts asks for, when nobody said it.
 *
 * A question or an instruction asks for an answer (text-generation), an opinion for its polarity (text-classification), a
 * report of names, places and dates for its entities (token-classification). Each text gets shares of the three by a small
 * linear model over its tokens; the sample decides by their mean, when one of them is far ahead: a wrong guess costs the user
 * a whole run, an undecided one a word. Tensors are recognised by their form.
 */
import type { TaskType } from "@autoglm/api";
import { bucketsOf, tokensOf } from "./type-recognition/features.ts";
import { BUCKETS, CLASSES, SCALE, WEIGHTS } from "./type-recognition/weights.ts";

const SAMPLE_TEXTS = 32;
const NEEDED_SHARE = 0.6;
/** The second may have at most this part of the first. */
const TOLERATED_RIVAL = 0.6;
const CANDIDATE_SHARE = 0.15;
/** A text of less says nothing. */
const LEAST_TOKENS = 3;
const TENSORS = /^\s*\{\s*"inputs"\s*:\s*\[/;

export type TypeRecognition =
  | {
      readonly isDecided: true;
      readonly type: TaskType;
      /** Mean share over the sampled texts. */
      readonly share: number;
    }
  /** What it might be, likeliest first; all of the three when nothing speaks for any. */
  | { readonly isDecided: false; readonly candidates: readonly TaskType[] };

/** Same texts, same answer: order does not matter beyond the sample's size. */
export function recogniseTaskType(texts: readonly string[]): TypeRecognition {
  const sample = texts.slice(0, SAMPLE_TEXTS).filter((text) => text.trim() !== "");
  if (sample.length > 0 && sample.every((text) => TENSORS.test(text))) {
    return { isDecided: true, type: "tensor", share: 1 };
  }
  const judged = sample.map(sharesOf).filter((shares) => shares !== undefined);
  // Sorted, so that the order of the texts does not get into the last digit.
  const means = CLASSES.map((type, index) => {
    const column = judged.map((shares) => shares[index] ?? 0).sort((a, b) => a - b);
    return { type, share: column.reduce((sum, share) => sum + share, 0) / Math.max(1, judged.length) };
  }).sort((a, b) => b.share - a.share);
  const [first, second] = means;
  if (judged.length === 0 || first === undefined) return { isDecided: false, candidates: CLASSES };
  const rival = second?.share ?? 0;
  if (first.share >= NEEDED_SHARE && rival <= TOLERATED_RIVAL * first.share)
    return { isDecided: true, ...first };
  const likely = means.filter(({ share }) => share >= CANDIDATE_SHARE);
  return { isDecided: false, candidates: likely.map(({ type }) => type) };
}

/** Softmax over {@link CLASSES}; undefined for a text that says too little. */
function sharesOf(text: string): readonly number[] | undefined {
  if (tokensOf(text).length < LEAST_TOKENS) return undefined;
  const buckets = bucketsOf(text);
  const scale = SCALE / Math.sqrt(buckets.length);
  const logits = CLASSES.map((_, index) => {
    const sum = buckets.reduce((total, bucket) => total + weightAt(bucket, index), 0);
    return sum * scale + weightAt(BUCKETS, index) * SCALE;
  });
  const top = Math.max(...logits);
  const exponents = logits.map((logit) => Math.exp(logit - top));
  const total = exponents.reduce((sum, one) => sum + one, 0);
  return exponents.map((one) => one / total);
}

const TABLE = Int8Array.from(atob(WEIGHTS), (byte) => byte.charCodeAt(0));

const weightAt = (bucket: number, index: number) => TABLE[bucket * CLASSES.length + index] ?? 0;
