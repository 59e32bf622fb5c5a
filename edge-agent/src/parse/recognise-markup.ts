/** Which of the formats with marks in their text a sample has: HTML, XML, Markdown, YAML. */
import { parseAllDocuments } from "yaml";

/** Longest sample that is parsed to tell YAML from lines of text. */
const YAML_SAMPLE_LENGTH = 8 * 1024;

const DOCUMENT_TYPE = /^<!DOCTYPE[^>[]*(?:\[[^\]]*\])?>/;
/** No bracket inside of brackets: else each that is open is looked for the end of the whole line. */
const LINK = /\[[^[\]]+\]\([^()\s]+\)/;

export type MarkupFormat = "html" | "xml" | "markdown" | "yaml";

/** @param complete whether the sample is all of the text */
export function recogniseMarkup(sample: string, complete: boolean): MarkupFormat | undefined {
  const start = sample.trimStart();
  if (isHtml(start)) return "html";
  if (/^<\?xml[\s?]/i.test(start) || isElement(start, complete)) return "xml";
  if (isMarkdown(sample)) return "markdown";
  return isYaml(sample, complete) ? "yaml" : undefined;
}

function isHtml(start: string): boolean {
  const head = start.slice(0, 2048);
  const body = head.replace(/^(<\?xml[^>]*\?>\s*|<!--[\s\S]*?-->\s*)+/i, "");
  if (/^<(!doctype\s+html|html)[\s/>]/i.test(body)) return true;
  // Any other element may be XML's own where the prologue says that it is XML.
  return (
    !/^<\?xml/i.test(head) &&
    /^<(head|body|title|meta|link|script|style|div|p|span|section|main|nav|table|ul|ol|h[1-6]|br|img)[\s/>]/i.test(
      body,
    )
  );
}

/** An element that is the whole text: its end tag stands last, where the end can be seen. */
function isElement(start: string, complete: boolean): boolean {
  const name = /^<([\p{L}_][\p{L}\p{N}_.:-]*)(?:\s+[\p{L}_][\w.:-]*\s*=\s*["']|\s*\/?>)/u.exec(
    withoutProlog(start.slice(0, 8192)),
  )?.[1];
  if (name === undefined) return false;
  if (!complete) return /<\/[\p{L}_]|\/>/u.test(start);
  return start.trimEnd().endsWith(`</${name}>`) || /^<[^<>]*\/>\s*$/.test(start);
}

/**
 * Without the comments and document types in front. One at a time: a pattern that repeats them tries every way to
 * divide them among its repetitions before it gives up, and there are 2^n.
 */
function withoutProlog(text: string): string {
  let rest = text;
  for (;;) {
    const end = rest.startsWith("<!--") ? commentEnd(rest) : (DOCUMENT_TYPE.exec(rest)?.[0].length ?? 0);
    if (end === 0) return rest;
    rest = rest.slice(end).trimStart();
  }
}

/** 0 for a comment without an end. */
function commentEnd(text: string): number {
  const at = text.indexOf("-->", "<!--".length);
  return at < 0 ? 0 : at + "-->".length;
}

/** A heading and one more mark, or two headings: a # in front of a single line of text is not enough. */
function isMarkdown(sample: string): boolean {
  const lines = sample.split("\n", 400).map((line) => line.trimEnd());
  const count = (pattern: RegExp) => lines.filter((line) => pattern.test(line)).length;
  const headings = count(/^#{1,6} \S/);
  const fences = count(/^ {0,3}(```|~~~)/);
  const underlined = lines.filter(
    (line, index) => /^(={3,}|-{3,})$/.test(line) && /^\p{L}/u.test(lines[index - 1] ?? ""),
  ).length;
  const others =
    count(/^\s*[-*+] \S/) + count(LINK) + count(/^> \S/) + count(/^\|.*\|$/) + count(/\*\*\S.*\*\*/);
  const marks = headings + fences + underlined;
  return headings + underlined >= 2 || fences >= 2 || (marks > 0 && others > 0);
}

/**
 * Keys and structure: `key:` lines alone may be a dialogue, a list of dashes may be a list of sentences. So one of them
 * nests in the other, or a document mark stands first, and the sample has to parse.
 */
function isYaml(sample: string, complete: boolean): boolean {
  const whole = complete && sample.length <= YAML_SAMPLE_LENGTH;
  const text = whole ? sample : sample.slice(0, YAML_SAMPLE_LENGTH).replace(/\n[^\n]*$/, "\n");
  const lines = text.split("\n").filter((line) => line.trim() !== "" && !/^\s*#/.test(line));
  const isKey = (line: string) =>
    /^\s*(- +)*("[^"]*"|'[^']*'|[\p{L}_][\p{L}\p{N}_ ./-]{0,63}):( |$)/u.test(line);
  const keys = lines.filter(isKey).length;
  const records = lines.filter((line) =>
    /^\s*- +("[^"]*"|[\p{L}_][\p{L}\p{N}_ ./-]{0,63}):( |$)/u.test(line),
  ).length;
  const nests = lines.some(
    (line, index) =>
      /^[^\s#-][^#]*:\s*([&!]\S+\s*)?$/u.test(line) && /^(\s+\S|- )/.test(lines[index + 1] ?? ""),
  );
  const marked = /^(%YAML[^\n]*\n)?---\s*\n/.test(text);
  if (keys === 0 || !(records > 0 || nests || (marked && keys >= lines.length / 3))) return false;
  try {
    // A cut sample may end in an open quote or list: what it is is clear by then.
    return parseAllDocuments(text, { logLevel: "silent", prettyErrors: false }).every(
      (document) =>
        (document.errors.length === 0 || !whole) &&
        document.contents !== null &&
        isCollection(document.contents),
    );
  } catch {
    return false;
  }
}

const isCollection = (node: object) => "items" in node;
