/**
 * The language of a text by its script: one rule for the prompt of each text, the model of a task that names none, and the
 * preprocessing step that filters by language.
 *
 * A Han character says about as much as a word of another script, so "iPhone 15 很好用" is Chinese and "a week in 北京" is
 * not. Languages of one script are not told apart here: what is written in Latin letters counts as English.
 */

/** Languages that models and prompts of the library are made for. */
export type TextLanguage = "zh" | "en";

/** The script that says most in a text; `none` for a text without letters. */
export type TextScript = "han" | "kana" | "hangul" | "latin" | "other" | "none";

const HAN = /\p{Script=Han}/gu;
const KANA = /[\p{Script=Hiragana}\p{Script=Katakana}]/gu;
const HANGUL = /\p{Script=Hangul}/gu;
const LATIN_WORD = /\p{Script=Latin}+/gu;
const OTHER_WORD =
  /[^\P{L}\p{Script=Latin}\p{Script=Han}\p{Script=Hiragana}\p{Script=Katakana}\p{Script=Hangul}]+/gu;
const SAMPLE_CHARACTERS = 4096;
/** Japanese is never without kana for long; a brand name in kana makes no Japanese of a Chinese text. */
const KANA_SHARE = 1 / 8;

export function scriptOf(text: string): TextScript {
  const count = (pattern: RegExp) => text.match(pattern)?.length ?? 0;
  const han = count(HAN);
  const kana = count(KANA);
  const hangul = count(HANGUL);
  const latin = count(LATIN_WORD);
  const eastAsian = han + kana + hangul;
  if (eastAsian > 0 && eastAsian >= latin) {
    if (hangul > han + kana) return "hangul";
    return kana > 0 && kana >= (han + kana) * KANA_SHARE ? "kana" : "han";
  }
  const other = count(OTHER_WORD);
  if (latin + other === 0) return "none";
  return latin >= other ? "latin" : "other";
}

/** Which of the two a text would be read as, by its beginning; undefined for one without letters or in another script. */
export function languageOf(texts: readonly string[]): TextLanguage | undefined {
  const script = scriptOf(texts.join("\n").slice(0, SAMPLE_CHARACTERS));
  return script === "han" ? "zh" : script === "latin" ? "en" : undefined;
}
