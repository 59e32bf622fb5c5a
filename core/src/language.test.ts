import { expect, it } from "vitest";
import { languageOf, scriptOf } from "./language.ts";

it.each([
  [["这家酒店很干净，服务也好"], "zh"],
  [["The room was clean and quiet."], "en"],
  [["iPhone 15 很好用"], "zh"],
  [["iPhone 15 Pro Max 的屏幕很好，电池也耐用"], "zh"],
  [["We stayed in 北京 for a week and loved it"], "en"],
  [["味の素很好用，做菜放一点就鲜"], "zh"],
  [["Das Zimmer war sauber"], "en"],
  [["お部屋はとても綺麗でした"], undefined],
  [["방이 깨끗했어요"], undefined],
  [["Телефон iPhone очень хороший"], undefined],
  [["12345 !!!"], undefined],
  [["👍👍"], undefined],
  [["10/10", "👍", "房间很干净"], "zh"],
  [[], undefined],
])("reads %j as %s", (texts, language) => {
  expect(languageOf(texts)).toBe(language);
});

it.each([
  ["お部屋はとても綺麗でした", "kana"],
  ["방이 깨끗했어요", "hangul"],
  ["Телефон iPhone очень хороший", "other"],
  ["12345 👍", "none"],
])("finds the script of %j to be %s", (text, script) => {
  expect(scriptOf(text)).toBe(script);
});

it("judges a long text by its beginning", () => {
  expect(languageOf([`${"好".repeat(4096)} ${"word ".repeat(10_000)}`])).toBe("zh");
});
