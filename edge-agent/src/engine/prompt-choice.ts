import type { WorkPrompt } from "@autoglm/api";

const HAN = /\p{Script=Han}/gu;
/** Share of Chinese characters from which a text counts as Chinese: names in Latin letters are common in one. */
const CHINESE_SHARE = 0.15;

/** The prompt for the language of the text, else one for any language, else the first. */
export function choosePrompt(
  prompts: readonly WorkPrompt[] | undefined,
  text: string,
): WorkPrompt | undefined {
  if (prompts === undefined || prompts.length < 2) return prompts?.[0];
  const beginning = text.slice(0, 2000);
  const language = (beginning.match(HAN)?.length ?? 0) > beginning.length * CHINESE_SHARE ? "zh" : "en";
  return (
    prompts.find((prompt) => prompt.language === language) ??
    prompts.find((prompt) => prompt.language === "any") ??
    prompts[0]
  );
}
