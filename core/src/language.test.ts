import { expect, it } from "vitest";
import { languageOf } from "./language.ts";

it.each([
  [["这家酒店很干净，服务也好"], "zh"],
  [["The room was clean and quiet."], "en"],
  [["iPhone 15 Pro Max 的屏幕很好，电池也耐用"], "zh"],
  [["We stayed in 北京 for a week and loved it"], "en"],
  [["お部屋はとても綺麗でした"], undefined],
  [["방이 깨끗했어요"], undefined],
  [["12345 !!!"], undefined],
  [[], undefined],
])("reads %j as %s", (texts, language) => {
  expect(languageOf(texts)).toBe(language);
});
