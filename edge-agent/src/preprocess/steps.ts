/** The steps that change a text. Each is pure and total: text in, text with its origin out. */
import { Parser } from "htmlparser2";
import { compose, slice, TextBuilder, unchanged, type MappedText } from "./offsets.ts";

/** A character with what may join it in normal form: marks, Hangul vowels and finals, half-width voicing. */
const CLUSTER = /[\s\S][\p{M}\u1160-\u11ff\uff9e\uff9f]*/gu;
const WORD = /\s+|[^\s]+/gu;

/** Unicode compatibility forms become plain ones: Ｋ → K, ﬁ → fi, ① → 1. */
export function nfkc(text: string): MappedText {
  const normal = text.normalize("NFKC");
  if (normal === text) return unchanged(text);
  // Rare scripts join beyond a cluster; words are wide enough for them, and the whole text always is.
  for (const unit of [CLUSTER, WORD]) {
    const mapped = normaliseBy(text, unit);
    if (mapped.text === normal) return mapped;
  }
  const builder = new TextBuilder();
  builder.add(normal, 0, text.length);
  return builder.build();
}

function normaliseBy(text: string, unit: RegExp): MappedText {
  const builder = new TextBuilder();
  for (const { 0: part, index } of text.matchAll(unit)) {
    builder.add(part.normalize("NFKC"), index, index + part.length);
  }
  return builder.build();
}

/** Runs of blanks, line ends and invisible characters become one blank; none stays at the ends. */
export function collapseWhitespace(text: string): MappedText {
  const builder = new TextBuilder();
  let at = 0;
  for (const { 0: blank, index } of text.matchAll(/[\s\u200b\u2060\ufeff]+/gu)) {
    builder.add(text.slice(at, index), at, index);
    const end = index + blank.length;
    if (index > 0 && end < text.length) builder.add(" ", index, end);
    at = end;
  }
  builder.add(text.slice(at), at, text.length);
  return builder.build();
}

/** Elements whose content is no text for readers. */
export const UNREAD_ELEMENTS: ReadonlySet<string> = new Set([
  "script",
  "style",
  "noscript",
  "template",
  "svg",
]);
/** Elements that stand on a line of their own. */
export const BLOCK_ELEMENTS: ReadonlySet<string> = new Set(
  (
    "address article aside blockquote body br caption center dd details dialog div dl dt fieldset figcaption figure footer " +
    "form h1 h2 h3 h4 h5 h6 head header hgroup hr html legend li main menu nav ol option p pre section select summary table " +
    "tbody textarea tfoot thead title tr ul"
  ).split(" "),
);

/** Open elements of a page. The parser moves and searches the list of their names with every tag; browsers keep 512. */
export const MAX_DEPTH = 10_000;

/**
 * Tags go, entities become characters, blocks are kept apart by a line end. Text without `<` and `&` stays as it is, and so
 * does one with more than 10,000 open elements, which is no page.
 */
export function stripHtml(text: string): MappedText {
  if (!/[<&]/.test(text)) return unchanged(text);
  const builder = new TextBuilder();
  let depth = 0;
  let unread = 0;
  let isEmpty = true;
  let breakAt: { from: number; to: number } | undefined;
  const parser = new Parser(
    {
      onopentagname(name) {
        if (++depth > MAX_DEPTH) parser.pause();
        if (UNREAD_ELEMENTS.has(name)) unread++;
        noteBreak(name);
      },
      onclosetag(name) {
        depth--;
        if (UNREAD_ELEMENTS.has(name)) unread = Math.max(0, unread - 1);
        noteBreak(name);
      },
      ontext(piece) {
        if (unread > 0) return;
        if (breakAt !== undefined && !isEmpty) builder.add("\n", breakAt.from, breakAt.to);
        breakAt = undefined;
        isEmpty = false;
        builder.add(piece, parser.startIndex, Math.min(text.length, parser.endIndex + 1));
      },
    },
    { decodeEntities: true },
  );
  function noteBreak(name: string): void {
    if (unread > 0 || !BLOCK_ELEMENTS.has(name)) return;
    breakAt ??= { from: parser.startIndex, to: Math.min(text.length, parser.endIndex + 1) };
  }
  parser.write(text);
  if (depth > MAX_DEPTH) return unchanged(text);
  parser.end();
  return builder.build();
}

const SENTENCE_ENDS = /[。！？；!?;\n]|[.](?=\s)/gu;

/**
 * Pieces of at most `maxCharacters` UTF-16 units, cut behind the last sentence of a piece's second half, else at its last
 * blank, else hard, but never inside a character. Together they cover the text; each begins up to `overlap` units before
 * the end of the one before.
 */
export function splitByLength(
  mapped: MappedText,
  { maxCharacters, overlap }: { readonly maxCharacters: number; readonly overlap: number },
): readonly MappedText[] {
  const { text } = mapped;
  if (text.length <= maxCharacters) return [mapped];
  const pieces: MappedText[] = [];
  let start = 0;
  for (;;) {
    const end =
      start + maxCharacters >= text.length ? text.length : cutBefore(text, start, start + maxCharacters);
    pieces.push(slice(mapped, start, end));
    if (end === text.length) return pieces;
    start = Math.max(start + 1, notInsideCharacter(text, end - overlap));
    // A pair whose first half is where the last piece began.
    if (isInsideCharacter(text, start)) start++;
  }
}

function cutBefore(text: string, start: number, limit: number): number {
  const half = start + Math.ceil((limit - start) / 2);
  const window = text.slice(half, limit);
  const sentence = [...window.matchAll(SENTENCE_ENDS)].at(-1);
  if (sentence !== undefined) return half + sentence.index + sentence[0].length;
  const blank = Math.max(window.lastIndexOf(" "), window.lastIndexOf("\t"));
  if (blank >= 0) return half + blank + 1;
  return notInsideCharacter(text, limit);
}

const isInsideCharacter = (text: string, at: number) =>
  /[\udc00-\udfff]/.test(text[at] ?? "") && /[\ud800-\udbff]/.test(text[at - 1] ?? "");

const notInsideCharacter = (text: string, at: number) => (isInsideCharacter(text, at) ? at - 1 : at);

/** A step on a text that earlier steps have changed. */
export const onto = (mapped: MappedText, step: (text: string) => MappedText): MappedText => {
  const changed = step(mapped.text);
  return changed.text === mapped.text ? mapped : compose(mapped, changed);
};
