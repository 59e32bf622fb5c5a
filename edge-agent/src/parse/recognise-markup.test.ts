import { expect, test } from "vitest";
import { recogniseMarkup } from "./recognise-markup.ts";

test.each([
  ["comments and a document type", '<!-- a -->\n<!DOCTYPE r [<!ELEMENT r ANY>]>\n<!-- b --><r a="1">x</r>\n'],
  ["a comment that holds an element", "<!-- <a> --><r>x</r>"],
])("XML behind %s", (_, text) => {
  expect(recogniseMarkup(text, true)).toBe("xml");
});

// Where a pattern tries anew from each of the marks or blanks, most of these take longer than a test may last.
test.each([
  ["comments in front of text", `${"<!---->".repeat(40)}text`],
  ["comments without an end", "<!--".repeat(2000)],
  ["document types without an end", "<!DOCTYPE a [".repeat(600)],
  ["open brackets", "[".repeat(1_000_000)],
  ["open links", "[a](".repeat(50_000)],
  ["open bold text", "**a ".repeat(50_000)],
])("%s are no markup", (_, text) => {
  expect(recogniseMarkup(text, true)).toBeUndefined();
});
