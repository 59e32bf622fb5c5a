import { hasErrorCode, type InputFormat } from "@autoglm/api";
import { parse as csvParse } from "csv-parse/sync";
import * as fc from "fast-check";
import { describe, expect, test } from "vitest";
import { parseDocument } from "./document.ts";
import type { ParsedItem } from "./items.ts";

async function* inPieces(bytes: Uint8Array, size: number): AsyncGenerator<Uint8Array> {
  for (let at = 0; at < bytes.length; at += size) yield bytes.subarray(at, at + size);
}

interface Options {
  readonly format?: InputFormat;
  readonly field?: string;
  readonly fields?: Readonly<Record<string, readonly string[]>>;
  readonly maxItemBytes?: number;
  readonly pieceBytes?: number;
}

async function parsed(document: string | Uint8Array, options: Options = {}): Promise<ParsedItem[]> {
  const { format = "auto", pieceBytes = 65_536, ...rest } = options;
  const bytes = typeof document === "string" ? Buffer.from(document) : document;
  const items: ParsedItem[] = [];
  for await (const item of parseDocument(inPieces(bytes, pieceBytes), { format, ...rest })) items.push(item);
  return items;
}

const outcome = (item: ParsedItem) => ("text" in item ? item.text : item.error.code);

async function outcomes(document: string | Uint8Array, options?: Options): Promise<string[]> {
  const items = await parsed(document, options);
  expect(items.map(({ item }) => item)).toEqual(items.map((_, index) => index));
  return items.map(outcome);
}

describe("formats, recognised by content", () => {
  test.each<[name: string, document: string, texts: string[]]>([
    ["lines of text", "很好\n\n  \n不好\r\n一般", ["很好", "不好", "一般"]],
    [
      "text with commas",
      "Well, yes.\nNo, not now.\nMaybe, later.",
      ["Well, yes.", "No, not now.", "Maybe, later."],
    ],
    ["text that starts with a bracket", "[1] a footnote\n[2] another", ["[1] a footnote", "[2] another"]],
    ["csv with a well-known column", "id,review,label\n1,很好,positive\n2,差,negative\n", ["很好", "差"]],
    ["csv with one column of prose", "id,comment\n1,nice\n2,bad\n", ["nice", "bad"]],
    ["csv of one well-known column", "Review\nnice\nbad\n", ["nice", "bad"]],
    ["csv with quotes", 'id,text\n1,"a ""b"", c\nd"\n2,e\n', ['a "b", c\nd', "e"]],
    ["csv with semicolons", "id;text\n1;a, b\n2;c\n", ["a, b", "c"]],
    ["csv with bars", "id|text\n1|a\n2|b\n", ["a", "b"]],
    ["tsv", "id\ttext\n1\ta, b\n2\tc\n", ["a, b", "c"]],
    ["csv with empty cells", "id,text\n1,\n2,x\n", ["", "x"]],
    ["an array of texts", '["a", "b"]', ["a", "b"]],
    ["an array of records", '[\n {"id": 1, "text": "a"},\n {"id": 2, "text": "b"}\n]', ["a", "b"]],
    [
      "an object with one array",
      '{"total": 2,\n "rows": [{"content": "a"},\n {"content": "b"}\n]}',
      ["a", "b"],
    ],
    ["one record", '{"prompt": "a", "lang": "en"}', ["a"]],
    ["one JSON text", '"a"', ["a"]],
    ["json lines", '{"text": "a"}\n\n{"text": "b"}\n', ["a", "b"]],
    ["json lines of texts", '["x", "y"]\n["z"]\n', ["ItemInvalid", "ItemInvalid"]],
  ])("%s", async (_, document, texts) => {
    expect(await outcomes(document)).toEqual(texts);
    expect(await outcomes(document, { pieceBytes: 1 })).toEqual(texts);
  });

  test("a table by declaration may lack a header: its columns are numbered", async () => {
    expect(await outcomes("1,很好\n2,不好\n", { format: "csv" })).toEqual(["很好", "不好"]);
    expect(await outcomes("a b\t7\nd e\t2\n", { format: "tsv", field: "1" })).toEqual(["a b", "d e"]);
  });

  test("text by declaration is text, whatever it looks like", async () => {
    expect(await outcomes('{"text": "a"}\n', { format: "text" })).toEqual(['{"text": "a"}']);
  });
});

describe("charsets", () => {
  const text = "酒店很好，下次还来\n房间太小\n";
  // "酒店很好，下次还来\n房间太小\n" in GB18030.
  const gb18030 = Buffer.from("bec6b5eabadcbac3a3accfc2b4cebbb9c0b40ab7bfbce4ccabd0a10a", "hex");
  test.each<[string, Uint8Array]>([
    ["UTF-8", Buffer.from(text)],
    ["UTF-8 with BOM", Buffer.from(`\uFEFF${text}`)],
    ["UTF-16LE with BOM", Buffer.from(`\uFEFF${text}`, "utf16le")],
    ["UTF-16BE with BOM", Buffer.from(`\uFEFF${text}`, "utf16le").swap16()],
    ["GB18030", gb18030],
    ["GB18030 far behind ASCII", Buffer.concat([Buffer.from("\n".repeat(200_000)), gb18030])],
  ])("%s", async (_, bytes) => {
    expect(await outcomes(bytes)).toEqual(["酒店很好，下次还来", "房间太小"]);
  });

  test("UTF-16 without BOM", async () => {
    expect(await outcomes(Buffer.from("id,text\n1,nice\n2,好\n", "utf16le"))).toEqual(["nice", "好"]);
  });
});

describe("what is broken fails alone", () => {
  test("a json line", async () => {
    const document = '{"text": "a"}\n{"text": "b\n{"text": 7}\n{"other": 1}\n[]\n{"text": "c"}\n';
    expect(await outcomes(document)).toEqual([
      "a",
      "ItemInvalid",
      "ItemInvalid",
      "ItemInvalid",
      "ItemInvalid",
      "c",
    ]);
    const items = await parsed(document);
    expect(JSON.stringify(items)).toContain("field text is a number, not text");
  });

  test("a csv row with an open quote, with text behind a quote, with too many cells", async () => {
    const document = 'id,text\n1,a\n2,"b\n3,c\n4,"d"e\n5,f,g\n6,h\n';
    expect(await outcomes(document)).toEqual(["a", "ItemInvalid", "c", "ItemInvalid", "ItemInvalid", "h"]);
  });

  test("an element of an array", async () => {
    expect(await outcomes('[{"text": "a"}, null, 3, "b"]')).toEqual(["a", "ItemInvalid", "ItemInvalid", "b"]);
  });

  test("a record whose list of labels is deeper than the stack", async () => {
    const deep = `${"[".repeat(20_000)}${"]".repeat(20_000)}`;
    const document = `{"text": "a", "labels": ${deep}}\n{"text": "b", "labels": ["x", 1, true]}\n`;
    const [first, second] = await parsed(document, { fields: { labels: ["labels"] } });
    expect(first).toMatchObject({
      error: { code: "ItemInvalid", message: expect.stringContaining("line 1: field labels is a list of") },
    });
    expect(second).toMatchObject({ text: "b", fields: { labels: '["x",1,true]' } });
  });

  test("a document that makes its parser throw", async () => {
    const document = "%YAML 1.1\n---\n<<: 5\ntext: a\n";
    expect(await outcomes(document, { format: "yaml" })).toEqual(["ItemInvalid"]);
  });

  test("a line, a cell and an open quote beyond the limit, without keeping them", async () => {
    const long = "x".repeat(300);
    const limited = { maxItemBytes: 100, pieceBytes: 64 };
    expect(await outcomes(`a\n${long}\nb`, limited)).toEqual(["a", "ItemTooLong", "b"]);
    expect(await outcomes(`${"好".repeat(40)}\nb`, limited)).toEqual(["ItemTooLong", "b"]);
    expect(await outcomes(`id,text\n1,${long}\n2,b\n`, limited)).toEqual(["ItemTooLong", "b"]);
    expect(await outcomes(`id,text\n1,"${"y\n".repeat(3)}3,c\n`, { ...limited, format: "csv" })).toEqual([
      "ItemInvalid",
      "ItemInvalid",
      "ItemInvalid",
      "c",
    ]);
  });
});

describe("what is wrong as a whole", () => {
  test.each<
    [name: string, document: string | Uint8Array, options: Options, code: Parameters<typeof hasErrorCode>[1]]
  >([
    ["nothing", "", {}, "InputEmpty"],
    ["blank lines", " \n\n", {}, "InputEmpty"],
    ["a header alone", "id,text\n", {}, "InputEmpty"],
    ["an empty array", "[]", {}, "InputEmpty"],
    [
      "bytes of no known kind",
      Buffer.from("000102030405060789aabbccddeeff0089504e47", "hex"),
      {},
      "InputFormatNotRecognised",
    ],
    ["cut JSON", '[{"text": "a"}, {"te', {}, "InputFormatNotRecognised"],
    ["an unknown field", "id,text\n1,a\n", { field: "body" }, "InputFieldNotFound"],
    ["two columns of prose", "title,body\na,b\nc,d\n", {}, "InputFieldNotFound"],
    ["a field for plain texts", '["a"]', { field: "text" }, "InputFieldNotFound"],
    ["a field for lines of text", "a\nb\n", { field: "text" }, "InputFieldNotFound"],
    [
      "more columns than memory",
      `${Array.from({ length: 5000 }, () => "1").join(",")}\n`,
      { format: "csv" },
      "InputTooLarge",
    ],
    ["a JSON document of 33 MiB", `["${"x".repeat(33 * 1024 * 1024)}"]`, {}, "InputTooLarge"],
  ])("%s", async (_, document, options, code) => {
    await expect(parsed(document, options)).rejects.toSatisfy((error) => hasErrorCode(error, code));
  });
});

// Where a pattern tries anew from each of the marks or blanks, most of these take longer than a test may last.
describe("marks and blanks without an end pass once", () => {
  test("comments in front of a text", async () => {
    const document = `${"<!---->".repeat(40)}text`;
    expect(await outcomes(document)).toEqual([document]);
  });

  test("a cell that is nearly an address", async () => {
    const cell = `${"@.".repeat(20_000)} x`;
    expect(await outcomes(`id,body\n1,${cell}\n`)).toEqual([cell]);
    const short = `${"@.".repeat(4000)} x`;
    expect(await outcomes(`id,body\n1,${short}\n`)).toEqual([short]);
  });

  test.each<[what: string, line: string]>([
    ["comments", "<!--".repeat(50_000)],
    ["tags", "<a ".repeat(60_000).trim()],
    ["images", "![".repeat(100_000)],
    ["links", "[".repeat(200_000)],
    ["targets of links", "[a](".repeat(50_000)],
    ["titles of links", '[a](b "'.repeat(30_000)],
    ["references", "[a][".repeat(50_000)],
    ["bold text", "**a ".repeat(50_000).trim()],
    ["bold italics", "***a ".repeat(40_000).trim()],
    ["struck text", "~~a ".repeat(50_000).trim()],
    ["a long run of stars", `a ${"*".repeat(200_000)}`],
    ["a long run of code marks", `a ${"`".repeat(100_000)} ${"b".repeat(100_000)}`],
    ["code marks of each length", Array.from({ length: 600 }, (_, length) => "`".repeat(length)).join("b")],
    ["rules", `${"_ ".repeat(100_000)}b`],
    ["cells of a table", `|${" |".repeat(100_000)} b`],
  ])("markdown: %s", async (_, line) => {
    expect(await outcomes(line, { format: "markdown" })).toEqual([line]);
  });

  test("markdown: blanks within a heading", async () => {
    const text = `a${" ".repeat(20_000)}b`;
    expect(await outcomes(`# ${text}`, { format: "markdown" })).toEqual([text]);
    expect(await outcomes(`# ${text} ##${" ".repeat(20_000)}`, { format: "markdown" })).toEqual([text]);
  });

  test("html: tags that nobody closes end the page with an error, within the piece", async () => {
    const document = `<html><body><p>one</p>${"<b>".repeat(1_000_000)}two`;
    expect(await outcomes(document, { pieceBytes: document.length })).toEqual(["one", "InputTooLarge"]);
    const [, error] = await parsed(document);
    expect(JSON.stringify(error)).toContain("block 2: more than 10000 tags of the page are open");
    const nested = `<html><body>${"<b>".repeat(9000)}deep${"</b>".repeat(9000)}`;
    expect(await outcomes(`${nested}${"<br>".repeat(20_000)}<p>two`)).toEqual(["deep", "two"]);
  });
});

test.each<[line: string, text: string]>([
  ["# a", "a"],
  ["  ### a b ###  ", "a b"],
  ["# C#", "C#"],
  ["# a \\#", "a #"],
  ['## `a` and **b** ![c](d) [e](f "g") [h][i]', "a and b c e h"],
  ["`` a`b `` ***c*** <!-- d -->_e_ ~~f~~", "a`b  c e f"],
])("markdown: %s is %s", async (line, text) => {
  expect(await outcomes(line, { format: "markdown" })).toEqual([text]);
});

test("markdown: a heading without a text is none", async () => {
  expect(await outcomes("# #\n\ntext\n## ##\n#  ", { format: "markdown" })).toEqual(["text"]);
});

test("closes its source when the reader leaves early", async () => {
  let closed = false;
  async function* source() {
    try {
      for (;;) yield Buffer.from("a line\n");
    } finally {
      closed = true;
    }
  }
  for await (const { item } of parseDocument(source(), { format: "text" })) if (item === 50) break;
  expect(closed).toBe(true);
});

const cell = fc.string({
  unit: fc.constantFrom("a", "好", '"', ",", "\n", " ", "7", "\u{1F600}"),
  maxLength: 12,
});
const quoted = (text: string) => `"${text.replaceAll('"', '""')}"`;

test("csv: what was written is read again, in pieces of any size, as csv-parse reads it", async () => {
  await fc.assert(
    fc.asyncProperty(
      fc.array(cell, { minLength: 1, maxLength: 30 }),
      fc.integer({ min: 1, max: 50 }),
      async (cells, pieceBytes) => {
        const document = `id,text\r\n${cells.map((text, id) => `${id},${quoted(text)}`).join("\r\n")}\r\n`;
        const texts = await outcomes(document, { pieceBytes });
        expect(texts).toEqual(cells);
        const oracle: { text: string }[] = csvParse(document, { columns: true });
        expect(texts).toEqual(oracle.map(({ text }) => text));
      },
    ),
  );
});

test("html: a tag without an end ends the page with an error, after what was read", async () => {
  const document = `<html><body><p>one</p><p>two</p><img src="${"A".repeat(17 * 1024 * 1024)}"><p>three</p>`;
  expect(await outcomes(document)).toEqual(["one", "two", "InputTooLarge"]);
  const image = `<html><body><p>one</p><img src="${"A".repeat(15 * 1024 * 1024)}"><p>two</p>`;
  expect(await outcomes(image)).toEqual(["one", "two"]);
});

test("jsonl: what was written is read again, in pieces of any size", async () => {
  const anyText = fc.string({ unit: "binary", maxLength: 20 });
  await fc.assert(
    fc.asyncProperty(
      fc.array(anyText, { minLength: 2, maxLength: 30 }),
      fc.integer({ min: 1, max: 50 }),
      async (texts, pieceBytes) => {
        const document = texts.map((text) => JSON.stringify({ text })).join("\n");
        expect(await outcomes(document, { pieceBytes })).toEqual(texts);
      },
    ),
  );
});

describe("a first line that is longer than what the format is recognised by", () => {
  const long = "a long text, ".repeat(6000);
  const record = (text: string) => JSON.stringify({ text });
  const shortened = (texts: readonly string[]) => texts.map((text) => (text === long ? "long" : text));

  test.each<[name: string, document: string, texts: readonly string[]]>([
    [
      "records of JSON Lines",
      `${record(long)}\n${record(long)}\r\n\n${record("b")}\n`,
      ["long", "long", "b"],
    ],
    [
      "a short record before long ones",
      `${record("a")}\n${record(long)}\n${record(long)}`,
      ["a", "long", "long"],
    ],
    ["a broken record after it", `${record(long)}\n{"text":\n${record("c")}\n`, ["long", "ItemInvalid", "c"]],
    ["a JSON document of one line", `[${record(long)}, ${record("b")}]\n`, ["long", "b"]],
    ["a JSON document of several lines", `[${record(long)},\n${record("b")}\n]\n`, ["long", "b"]],
    ["a JSON document with its commas in front", `[${record(long)}\n, ${record("b")}]`, ["long", "b"]],
    ["a record whose object goes on", `{"title": "x", "text": ${JSON.stringify(long)}\n}\n`, ["long"]],
  ])("%s", async (_, document, texts) => {
    for (const pieceBytes of [1024, 65_537, 10_000_000])
      expect(shortened(await outcomes(document, { pieceBytes }))).toEqual(texts);
  });

  test("is an item of its own where it is longer than an item may be", async () => {
    const document = `${record(long)}\n${record("b")}\n`;
    expect(await outcomes(document, { maxItemBytes: 1000 })).toEqual(["ItemTooLong", "b"]);
  });
});

test("any bytes give items numbered from 0, or a closed set of errors; the size of the pieces changes nothing", async () => {
  const codes = ["InputFormatNotRecognised", "InputFieldNotFound", "InputEmpty"] as const;
  const documents = fc.oneof(
    fc.uint8Array({ maxLength: 300 }),
    fc.string({
      unit: fc.constantFrom("{", "}", "[", "]", '"', ",", ":", "\n", "\r", "a", "1", "text", "\t"),
      maxLength: 40,
    }),
  );
  const settle = (document: string | Uint8Array, pieceBytes: number) =>
    outcomes(document, { pieceBytes }).catch((error: unknown) =>
      codes.find((code) => hasErrorCode(error, code)),
    );
  await fc.assert(
    fc.asyncProperty(documents, fc.integer({ min: 1, max: 20 }), async (document, pieceBytes) => {
      const result = await settle(document, 65_536);
      expect(result).toBeDefined();
      expect(await settle(document, pieceBytes)).toEqual(result);
    }),
    { numRuns: 500 },
  );
});
