/**
 * Which language a text is in: by its script where that decides, else by n-grams (eld's small table).
 *
 * Short Latin texts fit several languages. A text is therefore left out only when another language is clearly likelier
 * than each that is wanted, and a text without letters, or too short to tell, stays.
 */
import { scriptOf, type TextScript } from "@autoglm/core";
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
  const script = scriptOf(text);
  if (script === "none") return true;
  const written = LANGUAGE_OF_SCRIPT[script];
  if (written !== undefined) return wanted.has(written);
  const letters = text.match(/\p{L}/gu)?.length ?? 0;
  const scores = detector.detect(text).getScores();
  const best = Math.max(0, ...Object.values(scores));
  const near = Object.entries(scores).some(
    ([language, score]) => wanted.has(language) && score >= best * NEAR,
  );
  // "ok" is a word of most languages that are written like this.
  return near || (letters < MIN_LETTERS && hasLatin(wanted) && !/[^\p{Script=Latin}\P{L}]/u.test(text));
}

/** Scripts that one language of those that are told apart is written in. */
const LANGUAGE_OF_SCRIPT: Partial<Record<TextScript, string>> = { han: "zh", kana: "ja", hangul: "ko" };

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
