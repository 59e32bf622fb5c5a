/** Markup to blocks of plain text, read as it comes: paragraphs, headings, list items, rows of tables. */
import { Parser } from "htmlparser2";
import { BLOCK_ELEMENTS, MAX_DEPTH, UNREAD_ELEMENTS } from "../preprocess/steps.ts";
import { tooLong, type Row } from "./items.ts";
import { splitLines } from "./lines.ts";

/** UTF-16 units of one tag or comment, which the parser holds until its end; images inside of attributes fit. */
const MAX_MARK_LENGTH = 16 * 1024 * 1024;

/**
 * Blocks of a page. Broken markup is read as browsers do; nothing is fetched or run. htmlparser2 (what cheerio is built
 * on) keeps no tree but the names of the open elements, so the size of a page takes no memory.
 * A tag or comment without an end within 16 Mi characters is an error, and the last row; so are 10,000 open elements.
 */
export async function* readHtml(text: AsyncIterable<string>, maxItemBytes: number): AsyncGenerator<Row> {
  const blocks = new HtmlBlocks(maxItemBytes);
  for await (const piece of text) {
    blocks.write(piece);
    yield* blocks.take();
    if (blocks.isGivenUp) return;
  }
  blocks.end();
  yield* blocks.take();
}

/** Blocks of a page that is there as a whole. */
export function htmlBlocks(html: string, maxItemBytes: number): readonly Row[] {
  const blocks = new HtmlBlocks(maxItemBytes);
  blocks.write(html);
  blocks.end();
  return blocks.take();
}

class HtmlBlocks {
  readonly #parser: Parser;
  readonly #maxItemBytes: number;
  #rows: Row[] = [];
  #block = "";
  #isTooLong = false;
  #count = 0;
  /** Open elements whose text nobody reads. */
  #unread = 0;
  #tableRows = 0;
  #preformatted = 0;
  #depth = 0;
  /** Units since the parser gave something. */
  #markLength = 0;
  #isGivenUp = false;

  constructor(maxItemBytes: number) {
    this.#maxItemBytes = maxItemBytes;
    this.#parser = new Parser({
      onopentagname: (name) => this.#open(name),
      onclosetag: (name) => this.#close(name),
      ontext: (piece) => this.#text(piece),
      onattribute: () => (this.#markLength = 0),
      oncomment: () => (this.#markLength = 0),
      onprocessinginstruction: () => (this.#markLength = 0),
    });
  }

  write(piece: string): void {
    this.#markLength += piece.length;
    this.#parser.write(piece);
    if (this.#markLength <= MAX_MARK_LENGTH || this.#isGivenUp) return;
    this.#giveUp(
      `a tag or comment of the page has no end within ${MAX_MARK_LENGTH} characters; save the page again without it`,
    );
  }

  #giveUp(message: string): void {
    this.#flush();
    this.#rows.push({ error: { code: "InputTooLarge", message }, place: `block ${++this.#count}` });
    this.#isGivenUp = true;
    // Ends within the piece: a whole page may come as one.
    this.#parser.pause();
  }

  get isGivenUp(): boolean {
    return this.#isGivenUp;
  }

  end(): void {
    if (this.#isGivenUp) return;
    this.#parser.end();
    this.#flush();
  }

  take(): readonly Row[] {
    const rows = this.#rows;
    this.#rows = [];
    return rows;
  }

  #open(name: string): void {
    this.#markLength = 0;
    if (++this.#depth > MAX_DEPTH) {
      this.#giveUp(
        `more than ${MAX_DEPTH} tags of the page are open inside of each other; close them, or save the page as text`,
      );
      return;
    }
    if (UNREAD_ELEMENTS.has(name) || name === "title") this.#unread++;
    if (name === "pre" || name === "textarea") this.#preformatted++;
    this.#border(name);
    if (name === "tr") this.#tableRows++;
  }

  #close(name: string): void {
    this.#markLength = 0;
    // Void elements (br, img) are opened and closed too.
    this.#depth--;
    if (UNREAD_ELEMENTS.has(name) || name === "title") this.#unread = Math.max(0, this.#unread - 1);
    if (name === "pre" || name === "textarea") this.#preformatted = Math.max(0, this.#preformatted - 1);
    if (name === "tr") this.#tableRows = Math.max(0, this.#tableRows - 1);
    this.#border(name);
  }

  /** Blocks inside a cell are part of its row; a table inside a cell is not. */
  #border(name: string): void {
    if (name === "td" || name === "th") this.#add("\t");
    else if (name === "tr" || name === "table") this.#flush();
    else if (!BLOCK_ELEMENTS.has(name)) return;
    else if (this.#tableRows > 0) this.#add(" ");
    else if (name === "br" && this.#preformatted > 0) this.#add("\n");
    else this.#flush();
  }

  #text(piece: string): void {
    this.#markLength = 0;
    if (this.#unread === 0) this.#add(this.#preformatted > 0 ? piece : piece.replaceAll(/\s+/g, " "));
  }

  #add(piece: string): void {
    if (this.#isTooLong) return;
    this.#block += piece;
    // A character is up to three bytes; what blanks take is not known before the end.
    if (this.#block.length > this.#maxItemBytes * 2) {
      this.#block = "";
      this.#isTooLong = true;
    }
  }

  #flush(): void {
    const text = this.#block
      .replaceAll(/[ \u00a0]+/g, " ")
      .replaceAll(/ *\t[ \t]*/g, "\t")
      .trim();
    if (this.#isTooLong)
      this.#rows.push({ error: tooLong(this.#maxItemBytes), place: `block ${++this.#count}` });
    else if (text !== "") this.#rows.push({ value: text, place: `block ${++this.#count}` });
    this.#block = "";
    this.#isTooLong = false;
  }
}

const FENCE = /^ {0,3}(`{3,}|~{3,})/;
const HEADING = /^ {0,3}#{1,6}(?=\s)/;
const UNDERLINE = /^ {0,3}(=+|-+)\s*$/;
const RULE = /^ {0,3}([-*_])( *\1){2,}\s*$/;
const LIST_ITEM = /^\s*([-*+]|\d{1,9}[.)])\s+(\[[ xX]\]\s+)?/;
const TABLE_ROW = /^\s*\|.*\|\s*$/;
const TABLE_RULE = /^[\s|:-]+$/;

/** Blocks of a Markdown text: what a reader would call a paragraph, without its marks. Front matter is left out. */
export async function* readMarkdown(text: AsyncIterable<string>, maxItemBytes: number): AsyncGenerator<Row> {
  let block: string[] = [];
  let length = 0;
  let isTooLong = false;
  let first = 1;
  let fence: string | undefined;
  let inFrontMatter = false;

  function* flush(): Generator<Row> {
    const place = `line ${first}`;
    const plain = fence === undefined ? plainText(block.join(" ")) : block.join("\n");
    if (isTooLong) yield { error: tooLong(maxItemBytes), place };
    else if (plain.trim() !== "") yield { value: plain.trim(), place };
    block = [];
    length = 0;
    isTooLong = false;
  }
  function add(line: string, number: number): void {
    if (block.length === 0) first = number;
    length += line.length + 1;
    if (length > maxItemBytes) isTooLong = true;
    else block.push(line);
  }

  for await (const line of splitLines(text, maxItemBytes)) {
    if ("tooLong" in line) {
      isTooLong = true;
      first = line.number;
      continue;
    }
    const { text: content, number } = line;
    if (number === 1 && content === "---") inFrontMatter = true;
    else if (inFrontMatter) inFrontMatter = content !== "---" && content !== "...";
    else if (fence !== undefined) {
      if (content.trim().startsWith(fence)) {
        yield* flush();
        fence = undefined;
      } else add(content, number);
    } else if (FENCE.test(content)) {
      yield* flush();
      fence = FENCE.exec(content)?.[1];
    } else if (content.trim() === "" || (RULE.test(content) && block.length === 0)) yield* flush();
    else if (HEADING.test(content)) {
      yield* flush();
      add(headingText(content), number);
      yield* flush();
    } else if (UNDERLINE.test(content)) yield* flush();
    else if (TABLE_ROW.test(content)) {
      yield* flush();
      if (!TABLE_RULE.test(content))
        add(
          content
            .trim()
            .slice(1, -1)
            .split("|")
            .map((cell) => cell.trim())
            .join("\t"),
          number,
        );
      yield* flush();
    } else if (LIST_ITEM.test(content)) {
      yield* flush();
      add(content.replace(LIST_ITEM, ""), number);
    } else add(content.replace(/^\s*(>\s?)+/, "").trim(), number);
  }
  yield* flush();
}

/** Without its marks; a # at the end that touches a word is part of it: `# C#`. */
function headingText(line: string): string {
  const text = line.replace(HEADING, "").trimEnd();
  let end = text.length;
  while (text[end - 1] === "#") end--;
  return (/\s/.test(text[end - 1] ?? " ") ? text.slice(0, end) : text).trim();
}

/**
 * Every pattern stops where its own opening mark comes again (brackets hold no bracket, a code span has a mark of its
 * length on both sides), so a line of marks that nothing closes is passed once and not once for each of them.
 */
function plainText(markdown: string): string {
  return withoutComments(markdown)
    .replaceAll(/<\/?[a-zA-Z][^<>]*>/g, "")
    .replaceAll(/!\[([^[\]]*)\]\([^()\s]*(?:\s+"[^"]*")?\)/g, "$1")
    .replaceAll(/\[([^[\]]+)\]\([^()\s]*(?:\s+"[^"]*")?\)/g, "$1")
    .replaceAll(/\[([^[\]]+)\]\[[^[\]]*\]/g, "$1")
    .replaceAll(/(?<!`)(`{1,16})(?!`)(.+?)(?<!`)\1(?!`)/g, "$2")
    .replaceAll(/(\*\*\*|\*\*|___|__|~~)(?=\S)((?:(?!\1).)+?)(?<=\S)\1/g, "$2")
    .replaceAll(/(?<![\p{L}\p{N}*_])([*_])(?=\S)([^*_]+?)(?<=\S)\1(?![\p{L}\p{N}*_])/gu, "$2")
    .replaceAll(/\\([\\`*_{}[\]()#+\-.!|>~])/g, "$1");
}

function withoutComments(markdown: string): string {
  let kept = "";
  let from = 0;
  for (;;) {
    const start = markdown.indexOf("<!--", from);
    const end = start < 0 ? -1 : markdown.indexOf("-->", start + "<!--".length);
    if (end < 0) return kept + markdown.slice(from);
    kept += markdown.slice(from, start);
    from = end + "-->".length;
  }
}
