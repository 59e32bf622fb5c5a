/**
 * Which language a text is in: by its script where that decides, else by n-grams (eld's small table).
 *
 * Short Latin texts fit several languages. A text is therefore left out only when another language is clearly likelier
 * than each that is wanted, and a text without letters, or too short to tell, stays.
 */
import type { eld as Detector } from "eld";

/** Part of the likeliest language's score that a wanted one needs. */
const NEAR = 0.9;
/** Letters below which n-grams of Latin script say little. */
const MIN_LETTERS = 12;

export type LanguageTest = (text: string) => boolean;

/** @param languages ISO 639-1 codes to keep */
export async function languageTest(languages: readonly string[]): Promise<LanguageTest> {
  const wanted = new Set(languages.map((language) => language.toLowerCase().slice(0, 2)));
  const { eld } = await import("eld/small");
  return (text) => isIn(text, wanted, eld);
}

function isIn(text: string, wanted: ReadonlySet<string>, detector: typeof Detector): boolean {
  const script = scriptLanguage(text);
  if (script === "none") return true;
  if (script !== undefined) return wanted.has(script);
  const letters = text.match(/\p{L}/gu)?.length ?? 0;
  const scores = detector.detect(text).getScores();
  const best = Math.max(0, ...Object.values(scores));
  const near = Object.entries(scores).some(
    ([language, score]) => wanted.has(language) && score >= best * NEAR,
  );
  // "ok" is a word of most languages that are written like this.
  return near || (letters < MIN_LETTERS && hasLatin(wanted) && !/[^\p{Script=Latin}\P{L}]/u.test(text));
}

const LATIN = [
  "en",
  "de",
  "fr",
  "es",
  "it",
  "pt",
  "nl",
  "sv",
  "da",
  "no",
  "fi",
  "pl",
  "cs",
  "tr",
  "id",
  "vi",
  "ro",
  "hu",
];
const hasLatin = (wanted: ReadonlySet<string>) => LATIN.some((language) => wanted.has(language));

/**
 * The language of a script that one language of those that are told apart is written in; "none" for no letters. A Han
 * character says as much as a word, so a Chinese sentence with English names stays Chinese.
 */
function scriptLanguage(text: string): string | undefined {
  const count = (pattern: RegExp) => text.match(pattern)?.length ?? 0;
  const han = count(/\p{Script=Han}/gu);
  const kana = count(/[\p{Script=Hiragana}\p{Script=Katakana}]/gu);
  const hangul = count(/\p{Script=Hangul}/gu);
  const words = count(/\p{Script=Latin}+/gu);
  if (han + kana + hangul > 0 && han + kana + hangul >= words) {
    if (hangul > han + kana) return "ko";
    // Japanese is never without kana for long; a brand name in kana makes no Japanese of a Chinese text.
    return kana > 0 && kana >= (han + kana) / 8 ? "ja" : "zh";
  }
  if (count(/\p{L}/gu) === 0) return "none";
  return undefined;
}
