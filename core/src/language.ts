/** Languages that models and prompts of the library are made for. */
export type TextLanguage = "zh" | "en";

const HAN = /\p{Script=Han}/gu;
const LATIN = /\p{Script=Latin}/gu;
/** Kana and Hangul stand beside Han characters in texts that are not Chinese. */
const OTHER_EAST_ASIAN = /[\p{Script=Hiragana}\p{Script=Katakana}\p{Script=Hangul}]/u;
const SAMPLE_CHARACTERS = 4096;
/** A Han character says about as much as a word of some letters. */
const LETTERS_PER_HAN = 3;

/**
 * Chinese or English, by script: which of the two a text would be read as. Undefined for a text with letters of neither,
 * or with kana or Hangul. Latin script counts as English: other languages are not told apart here.
 */
export function languageOf(texts: readonly string[]): TextLanguage | undefined {
  const sample = texts.join("\n").slice(0, SAMPLE_CHARACTERS);
  if (OTHER_EAST_ASIAN.test(sample)) return undefined;
  const han = (sample.match(HAN)?.length ?? 0) * LETTERS_PER_HAN;
  const latin = sample.match(LATIN)?.length ?? 0;
  if (han === 0 && latin === 0) return undefined;
  return han >= latin ? "zh" : "en";
}
