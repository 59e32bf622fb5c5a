/**
 * A folder of awkward files, each made with the program that people make such files with (make_awkward.py): every one ends
 * in items or in an error that names the file, the place and what mends it.
 */
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import sharp from "sharp";
import { describe, expect, test } from "vitest";
import { openDataFile, parseDocument, type ParseOptions } from "../../../edge-agent/src/parse/index.ts";
import { AWKWARD, fileOutcomes, outcomes, streamOf } from "./documents.ts";

const REVIEWS = [
  "酒店很好，下次还来",
  "房间太小，隔音很差",
  "The breakfast was great",
  "Never again, the room was dirty",
];
const IMAGE = { media: "image" } as const;
const error = (code: string, ...parts: string[]) =>
  expect.stringMatching(new RegExp([code, ...parts].join(".*"), "s"));
const isImage = (name: string) => error("ItemInvalid", `${name}: it is an image`, "use type image-to-text");

/** File → what becomes of it where the task takes text. */
const TEXT: Record<string, readonly unknown[]> = {
  "bom-utf8.txt": REVIEWS,
  "bom-utf16le.txt": REVIEWS,
  "bom-utf16be.txt": REVIEWS,
  "gb18030.txt": REVIEWS,
  "gb18030.csv": ["很好", "很差"],
  "utf16-no-bom.csv": ["nice", "好"],
  "mixed-newlines.txt": ["one", "two", "three", "four", "five"],
  "mac-newlines.csv": ["one", "two"],
  "quoted-newlines.csv": ['first\nsecond "quoted", third', "plain"],
  "open-quote.csv": [
    "a",
    error("ItemInvalid", "open-quote.csv, row 3: a quote of the row is not closed"),
    "c",
  ],
  "tabs.tsv": ["a, b", "c"],
  "labels-and-prose.csv": [
    "The room was clean and the staff were kind",
    "Noise from the street all night long",
    "Soup was cold when it came to the table",
  ],
  "broken.jsonl": [
    "a",
    error("ItemInvalid", "broken.jsonl, line 2: the line is not valid JSON"),
    error("ItemInvalid", "line 3: the item is a list, not text"),
    error("ItemInvalid", "line 4: field text is a number, not text"),
    "c",
  ],
  "cut.json": [error("thrown InputFormatNotRecognised", "cut.json: .*not valid JSON", "as jsonl")],
  "questions.jsonl": ["Who came?", "When?"],
  "records.yaml": ["first", "second\nline\n"],
  "documents.yaml": ["first", "second"],
  "records.xml": ["good & cheap", "a < b"],
  "broken.xml": [error("thrown InputFormatNotRecognised", "broken.xml: .*not well-formed XML \\(line 2\\)")],
  "page.html": [
    "News & more",
    "First bold paragraph.",
    "Second one",
    "after a break",
    "name\tprice",
    "tea\t3",
    "one",
    "two",
  ],
  "notes.md": [
    "Heading one",
    "A paragraph over two lines with a link and code.",
    "item one",
    "item two",
    "a\tb",
    "1\t2",
    "let x = 1;",
  ],
  "binary.txt": [error("thrown InputFormatNotRecognised", "binary.txt: the input is not text")],

  "billion-laughs.xml": [
    error("ItemInvalid", "billion-laughs.xml: .*declares entities \\(line 3\\)", "write their text out"),
  ],
  "external-entity.xml": [
    error("ItemInvalid", "declares entities \\(line 2\\)", "never expanded or fetched"),
  ],
  "billion-laughs.yaml": [
    error("ItemInvalid", "billion-laughs.yaml: .*more than 100 aliases", "write them out"),
  ],
  "entities.docx": [error("ItemInvalid", "entities.docx: part word/document.xml declares a document type")],

  "merged-cells.xlsx": [
    "很好",
    "太差了",
    "fine & cheap",
    "服务周到",
    error("ItemInvalid", "merged-cells.xlsx, sheet Numbers: no field of the input holds text"),
  ],
  "merged-text.xlsx": ["one", "two", "shared by both rows", "shared by both rows"],
  "letter.docx": [
    "Heading",
    "First paragraph with 中文.",
    "an item",
    "name\tprice",
    "tea\t3",
    "Last <paragraph> & end.",
  ],
  "broken.docx": [error("ItemInvalid", "broken.docx: the zip archive is damaged or cut off")],
  "no-body.docx": [error("ItemInvalid", "no-body.docx: the docx document is damaged", "save it again")],
  "scanned-page.pdf": [
    "The first page has text.\nIn two lines.",
    error("ItemInvalid", "scanned-page.pdf, page 2: the page has no text layer", "use type image-to-text"),
    "The third page has text again.",
  ],
  "bitonal-scan.pdf": [error("ItemInvalid", "page 1: the page has no text layer")],
  "cut.pdf": [error("ItemInvalid", "cut.pdf: the pdf is damaged or cut off", "save it again")],
  "not-a.pdf": [error("ItemInvalid", "not-a.pdf: the pdf is damaged")],
  "password.pdf": [error("ItemInvalid", "password.pdf: the pdf is protected by a password")],
  "chinese-cid.pdf": [
    error("ItemInvalid", "page 1: the page's fonts don't say which characters", "embedded fonts"),
  ],
  "snappy.parquet": REVIEWS,
  "gzip.parquet": REVIEWS,
  "zstd.parquet": REVIEWS,
  "brotli.parquet": REVIEWS,
  "none.parquet": REVIEWS,
  "truncated.parquet": [
    error("ItemInvalid", "truncated.parquet: .*footer is missing", "copy or write it again"),
  ],
  "damaged.parquet": [error("ItemInvalid", "damaged.parquet: row group 1 .*damaged")],
  "images.parquet": [error("thrown InputFieldNotFound", "images.parquet: no field of the input holds text")],

  "image.png": [isImage("image.png")],
  "image.jpg": [isImage("image.jpg")],
  "image.webp": [isImage("image.webp")],
  "cut.png": [isImage("cut.png")],
  "image.gif": [error("thrown InputFormatNotRecognised", "image.gif: it is a GIF", "convert it to png")],

  "nested.zip": [
    'first\nsecond "quoted", third',
    "plain",
    "inner one",
    "inner two",
    isImage("nested.zip/a/inner.zip/scan.png"),
    "from tar",
    error("ItemInvalid", "nested.zip/broken.parquet: the parquet file is cut off"),
    "Heading",
    "First paragraph with 中文.",
    "an item",
    "name\tprice",
    "tea\t3",
    "Last <paragraph> & end.",
    "最后",
  ],
  "too-deep.zip": [error("InputTooLarge", "level2: it lies 5 archives deep", "pack it flatter")],
  "traversal.zip": [
    error("ItemInvalid", "cron.d/x: its name leads out of the archive"),
    error("ItemInvalid", "abs.txt: its name leads out of the archive"),
    "good",
  ],
  "traversal.tar": [error("ItemInvalid", "evil.txt: its name leads out of the archive"), "good"],
  "cut.zip": [error("ItemInvalid", "cut.zip: the zip archive is damaged or cut off")],
  "cut.tar": [
    "one",
    error("ItemInvalid", "cut.tar/b.txt: the tar archive is damaged or cut off"),
    error("ItemInvalid", "cut.tar: the tar archive is damaged or cut off"),
  ],
  "cut.csv.gz": [error("ItemInvalid", "cut.csv.gz: its gzip data is damaged or cut off")],
  "data.csv.gz": ['first\nsecond "quoted", third', "plain"],
  "files.tar.gz": ["one", "two 二"],
  "gbk-name.zip": ["name in gbk"],
  "images.zip": [
    "a word",
    "nothing",
    "evil",
    "another",
    isImage("images.zip/imgs/1.png"),
    isImage("images.zip/imgs/2.jpg"),
  ],
  "bag-of-images.zip": [
    isImage("1.png"),
    isImage("2.jpg"),
    isImage("3.webp"),
    error("InputFormatNotRecognised", "bag-of-images.zip/4.gif: it is a GIF"),
  ],
};

test("every file of the folder is in the table", () => {
  expect(Object.keys(TEXT).sort()).toEqual(readdirSync(AWKWARD).sort());
});

describe("as a file that is read in place, and as a stream in pieces", () => {
  test.each(Object.entries(TEXT))("%s", async (name, expected) => {
    expect(await fileOutcomes(name)).toEqual(expected);
    const bytes = readFileSync(join(AWKWARD, name));
    expect(await outcomes(streamOf(bytes), { name })).toEqual(expected);
  });
});

describe("where the task takes images", () => {
  test.each<[name: string, expected: readonly unknown[]]>([
    ["image.png", ["[image/png]"]],
    ["image.jpg", ["[image/jpeg]"]],
    ["image.webp", ["[image/webp]"]],
    // Whether it is whole, only its decoder can say.
    ["cut.png", ["[image/png]"]],
    [
      "scanned-page.pdf",
      [
        error("ItemInvalid", "page 1: the page has text and no scanned image"),
        "[image/png]",
        error("ItemInvalid", "page 3: the page has text and no scanned image"),
      ],
    ],
    ["bitonal-scan.pdf", ["[image/png]"]],
    ["images.parquet", ["[image/png]"]],
    ["tabs.tsv", Array(2).fill(error("ItemInvalid", "tabs.tsv: it is text, and the task takes images"))],
    [
      "images.zip",
      [
        "[image/png]a word",
        error(
          "ItemInvalid",
          "images.zip/metadata.csv, row 3: the archive has no image of the name in field file_name",
        ),
        error("ItemInvalid", "row 4: the archive has no image"),
        "[image/jpeg]another",
      ],
    ],
    [
      "bag-of-images.zip",
      [
        "[image/png]",
        "[image/jpeg]",
        "[image/webp]",
        error("InputFormatNotRecognised", "4.gif: it is a GIF"),
      ],
    ],
  ])("%s", async (name, expected) => {
    expect(await fileOutcomes(name, IMAGE)).toEqual(expected);
  });

  test.each(["scanned-page.pdf", "bitonal-scan.pdf"])(
    "the page of %s is the image that was drawn on it",
    async (name) => {
      const images = [];
      for await (const item of parseDocument(await openDataFile(AWKWARD, name), {
        format: "auto",
        ...IMAGE,
      })) {
        if ("media" in item && item.media !== undefined) images.push(sharp(item.media.bytes));
      }
      expect(images).toHaveLength(1);
      const [image] = images;
      expect(await image?.metadata()).toMatchObject({ format: "png", width: 620, height: 320 });
      // Black letters on white paper.
      const { channels } = (await image?.stats()) ?? { channels: [] };
      expect(channels[0]).toMatchObject({ min: 0, max: 255 });
      expect(channels[0]?.mean).toBeGreaterThan(200);
    },
  );
});

describe("what one item is", () => {
  test.each<[name: string, expected: string]>([
    [
      "page.html",
      "News & more\nFirst bold paragraph.\nSecond one\nafter a break\nname\tprice\ntea\t3\none\ntwo",
    ],
    [
      "letter.docx",
      "Heading\nFirst paragraph with 中文.\nan item\nname\tprice\ntea\t3\nLast <paragraph> & end.",
    ],
  ])("the whole of %s where the task works on documents", async (name, expected) => {
    expect(await fileOutcomes(name, { unit: "document" })).toEqual([expected]);
  });

  test("other fields of a record, where they are asked for", async () => {
    const options: ParseOptions = {
      format: "auto",
      textFields: ["context"],
      fields: { question: ["question"], missing: ["nowhere"] },
    };
    const items = await Array.fromAsync(
      parseDocument(await openDataFile(AWKWARD, "questions.jsonl"), options),
    );
    expect(items).toEqual([
      { item: 0, text: "Ann came on Monday.", fields: { question: "Who came?" } },
      { item: 1, text: "Ann came on Monday.", fields: { question: "When?" } },
    ]);
  });

  test("a field by name, in every sheet that has it", async () => {
    expect(await fileOutcomes("merged-cells.xlsx", { field: "date" })).toEqual([
      "2025-03-04",
      "2025-03-05 12:30:00",
      "2025-04-01",
      error("ItemInvalid", "sheet 中文: .*no field date: set inputField to one of 评论, 分数"),
      error("ItemInvalid", "sheet Numbers"),
    ]);
    expect((await fileOutcomes("merged-cells.xlsx", { field: "hotel" })).slice(0, 3)).toEqual([
      "Blue",
      "Blue",
      "Red",
    ]);
  });
});

test("a format that is declared against the bytes is refused with what they are", async () => {
  expect(await fileOutcomes("letter.docx", { format: "pdf" })).toEqual([
    expect.stringContaining("not pdf; set inputFormat to auto"),
  ]);
  expect(await fileOutcomes("scanned-page.pdf", { format: "csv" })).toEqual([
    error("thrown InputFormatNotRecognised", "its bytes are pdf, not csv"),
  ]);
  expect(await fileOutcomes("tabs.tsv", { format: "parquet" })).toEqual([
    error("thrown InputFormatNotRecognised", "its bytes are text, not parquet"),
  ]);
  expect(await fileOutcomes("data.csv.gz", { format: "csv" })).toEqual(TEXT["data.csv.gz"]);
});
