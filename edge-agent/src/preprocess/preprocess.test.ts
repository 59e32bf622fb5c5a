import type { ItemOutput, PreprocessStep } from "@autoglm/api";
import * as fc from "fast-check";
import { describe, expect, test } from "vitest";
import type { ItemSource, ParsedItem } from "../parse/index.ts";
import { mapOutputToRecord } from "./map-output.ts";
import { originOf } from "./offsets.ts";
import { mappedTextOf, preprocess } from "./preprocess.ts";

type Processed = Extract<ParsedItem, { text: string }> & { readonly source: ItemSource };

async function processed(texts: readonly string[], steps: readonly PreprocessStep[]): Promise<Processed[]> {
  async function* items(): AsyncGenerator<ParsedItem> {
    for (const [item, text] of texts.entries()) yield { item, text };
  }
  const out: Processed[] = [];
  for await (const item of preprocess(items(), steps)) out.push(item as Processed);
  expect(out.map(({ item }) => item)).toEqual(out.map((_, index) => index));
  return out;
}

const textsOf = async (texts: readonly string[], steps: readonly PreprocessStep[]) =>
  (await processed(texts, steps)).map(({ text }) => text);

describe("each step", () => {
  test.each<[name: string, step: PreprocessStep, text: string, result: string]>([
    ["nfkc", { step: "nfkc" }, "Ｋ８ｓ ㎏ ﬁne ①ｶﾞ e\u0301 한", "K8s kg fine 1ガ é 한"],
    ["whitespace", { step: "whitespace" }, "\u3000 a \t\r\n b\u00a0\u200bc ", "a b c"],
    [
      "stripHtml",
      { step: "stripHtml" },
      "<p>Tea &amp; <b>milk</b>&nbsp;3&#8364;<script>x<y</script></p><p>a < b</p>",
      "Tea & milk\u00a03€\na < b",
    ],
    ["stripHtml leaves plain text", { step: "stripHtml" }, "no marks here", "no marks here"],
  ])("%s", async (_, step, text, result) => {
    expect(await textsOf([text], [step])).toEqual([result]);
  });

  test("stripHtml leaves what is no page, however deep it is", async () => {
    const deep = "<b>".repeat(300_000);
    expect(await textsOf([deep], [{ step: "stripHtml" }])).toEqual([deep]);
  });

  test("dedupe leaves out what came before, after the steps in front of it", async () => {
    const texts = ["Ａ b", "A  b", "c", "A b"];
    expect(await textsOf(texts, [{ step: "dedupe" }])).toEqual(texts);
    const steps = [{ step: "nfkc" }, { step: "whitespace" }, { step: "dedupe" }] as const;
    const left = await processed(texts, steps);
    expect(left.map(({ text, source }) => [text, source.record])).toEqual([
      ["A b", 0],
      ["c", 2],
    ]);
  });

  test("dedupe keeps the same context with another question", async () => {
    async function* items(): AsyncGenerator<ParsedItem> {
      for (const [item, question] of ["a", "b", "a"].entries())
        yield { item, text: "x", fields: { question } };
    }
    const left = await Array.fromAsync(preprocess(items(), [{ step: "dedupe" }]));
    expect(left.map((item) => "fields" in item && item.fields?.["question"])).toEqual(["a", "b"]);
  });

  test("language keeps what is wanted, what has no letters, and what is too short to tell", async () => {
    const texts = [
      "酒店的位置很好，下次还来",
      "The hotel was close to the station and quiet",
      "Das Hotel war nahe am Bahnhof und sehr ruhig",
      "ホテルは駅から近くてとても静かでした",
      "호텔은 역에서 가깝고 조용했습니다",
      "Отель был рядом с вокзалом и очень тихий",
      "iPhone 15 很好用",
      "ok",
      "12.5",
    ];
    const kept = async (...languages: string[]) =>
      (await textsOf(texts, [{ step: "language", languages }])).map((text) => texts.indexOf(text));
    expect(await kept("zh")).toEqual([0, 6, 8]);
    expect(await kept("en")).toEqual([1, 7, 8]);
    expect(await kept("ja", "ko")).toEqual([3, 4, 8]);
    expect(await kept("de", "ru")).toEqual([2, 5, 7, 8]);
  });

  test("split cuts behind sentences, else at blanks, else hard, and never inside a character", async () => {
    const split = (text: string, maxCharacters: number, overlap = 0) =>
      textsOf([text], [{ step: "split", maxCharacters, overlap }]);
    expect(await split("这是第一句话。这是第二句话。三", 16)).toEqual(["这是第一句话。这是第二句话。三"]);
    expect(await split("这是第一句话很长很长。这是第二句话。三", 16)).toEqual([
      "这是第一句话很长很长。",
      "这是第二句话。三",
    ]);
    expect(await split("one two three four five six", 16)).toEqual(["one two three ", "four five six"]);
    expect(await split("😀".repeat(20), 17)).toEqual(["😀".repeat(8), "😀".repeat(8), "😀".repeat(4)]);
    expect(await split("abcdefghij".repeat(3), 16, 4)).toEqual([
      "abcdefghijabcdef",
      "cdefghijabcdefgh",
      "efghij",
    ]);
  });

  test("images and broken items pass", async () => {
    async function* items(): AsyncGenerator<ParsedItem> {
      yield { item: 0, error: { code: "ItemInvalid", message: "x" } };
      yield { item: 1, text: "", media: { type: "image/png", bytes: new Uint8Array(1) } };
    }
    const passed = await Array.fromAsync(preprocess(items(), [{ step: "dedupe" }, { step: "nfkc" }]));
    expect(passed).toEqual(await Array.fromAsync(items()));
  });
});

const piece = fc.constantFrom(
  ...Array.from("aB 7.。！\n\t\u3000\u00a0Ａｶﾞ㎏ﬁ①é한好😀"),
  "e\u0301",
  "ﾊﾟ",
  "\u1112\u1161\u11ab",
  "😀",
  "<b>",
  "</b>",
  "<p class='x'>",
  "<br>",
  "&amp;",
  "&#x4e2d;",
  "&nope;",
  "<",
  "<!-- c -->",
  "<script>1<2</script>",
);
const record = fc.array(piece, { maxLength: 60 }).map((pieces) => pieces.join(""));
const changing = fc.constantFrom<PreprocessStep>(
  { step: "nfkc" },
  { step: "whitespace" },
  { step: "stripHtml" },
);
const splitting = fc
  .record({ maxCharacters: fc.integer({ min: 16, max: 40 }), overlap: fc.integer({ min: 0, max: 15 }) })
  .map((options): PreprocessStep => ({ step: "split", ...options }));
const chain = fc
  .tuple(fc.array(changing, { maxLength: 4 }), fc.option(splitting), fc.array(changing, { maxLength: 2 }))
  .map(([before, split, after]) => [...before, ...(split === null ? [] : [split]), ...after])
  .filter((steps) => steps.length > 0);

/** What a reader takes two texts for the same by, whatever steps lie between them. */
const modulo = (text: string) =>
  text
    .replaceAll(/<script>.*?<\/script>/gs, "")
    .normalize("NFKC")
    .replaceAll(/\s+/gu, "");

test("a span that maps one to one holds the same text, modulo the steps", async () => {
  await fc.assert(
    fc.asyncProperty(record, chain, fc.nat(), fc.nat(), async (text, steps, a, b) => {
      for (const { text: item, source } of await processed([text], steps)) {
        const mapped = mappedTextOf(item, source);
        // Ends of runs are where a span can be cut; inside a run that maps as a whole it widens.
        const cuts = [...new Set([...mapped.runs.map(({ out }) => out), item.length])];
        const start = cuts[a % cuts.length] ?? 0;
        const end = cuts[b % cuts.length] ?? 0;
        if (start >= end) continue;
        const origin = originOf(mapped, start, end);
        expect(0 <= origin.start && origin.start <= origin.end && origin.end <= text.length).toBe(true);
        const covered = mapped.runs
          .filter(({ out }) => start <= out && out < end)
          .map(({ from, to }) => text.slice(from, to));
        const has = (name: PreprocessStep["step"]) => steps.some(({ step }) => step === name);
        // Tags between runs are dropped, and entities are what their step made of them.
        if (!has("stripHtml")) {
          const [whole, part] = [modulo(covered.join("")), modulo(item.slice(start, end))];
          // A piece may end in the middle of what was one character.
          if (has("split")) expect(whole).toContain(part);
          else expect(whole).toBe(part);
        }
        expect(text.slice(origin.start, origin.end)).toContain(covered[0]);
        expect(text.slice(origin.start, origin.end).endsWith(covered.at(-1) ?? "")).toBe(true);
      }
    }),
    { numRuns: 2000 },
  );
});

test("runs ascend without overlap in both texts and cover the whole item", async () => {
  await fc.assert(
    fc.asyncProperty(record, chain, async (text, steps) => {
      for (const { text: item, source } of await processed([text], steps)) {
        const { runs } = mappedTextOf(item, source);
        if (item === "") continue;
        expect(runs[0]?.out).toBe(0);
        for (const [index, { out, from, to }] of runs.entries()) {
          const before = runs[index - 1];
          expect(from).toBeLessThanOrEqual(to);
          if (before === undefined) continue;
          expect(out).toBeGreaterThan(before.out);
          expect(from).toBeGreaterThanOrEqual(before.to);
        }
      }
    }),
    { numRuns: 1000 },
  );
});

test("pieces of a split cover the text, keep to the length, and go on", async () => {
  await fc.assert(
    fc.asyncProperty(record, splitting, async (text, split) => {
      const items = await processed([text], [split]);
      let covered = 0;
      for (const { text: item, source } of items) {
        const { start, end } = source;
        expect(item.length).toBeLessThanOrEqual(split.maxCharacters ?? 0);
        expect(text.slice(start, end)).toBe(item);
        expect(item).toBe(item.toWellFormed());
        expect(start).toBeLessThanOrEqual(covered);
        expect(end).toBeGreaterThanOrEqual(covered);
        covered = end;
      }
      expect(covered).toBe(text.length);
    }),
    { numRuns: 1000 },
  );
});

describe("outputs go back to the record", () => {
  const text = "<p>我在Ｂｅｉｊｉｎｇ工作。</p><p>Ann works at ACME.</p>";
  const steps: PreprocessStep[] = [
    { step: "stripHtml" },
    { step: "nfkc" },
    { step: "split", maxCharacters: 16, overlap: 0 },
  ];

  test("entities, relations and answers", async () => {
    const items = await processed([text], steps);
    expect(items.map((item) => item.text)).toEqual(["我在Beijing工作。\n", "Ann works at ", "ACME."]);
    const [first, , third] = items;
    const entities = (output: ItemOutput) => (output.type === "token-classification" ? output.entities : []);
    const mapped = mapOutputToRecord(
      {
        type: "token-classification",
        scoreSource: "marginal",
        entities: [{ entity_group: "LOC", score: 1, word: "Beijing", start: 2, end: 9 }],
      },
      first?.text ?? "",
      first?.source as ItemSource,
    );
    const [place] = entities(mapped);
    expect(text.slice(place?.start, place?.end)).toBe("Ｂｅｉｊｉｎｇ");
    const answer = mapOutputToRecord(
      { type: "question-answering", scoreSource: "probability", answer: "ACME", start: 0, end: 4, score: 1 },
      third?.text ?? "",
      third?.source as ItemSource,
    );
    expect(answer).toMatchObject({ answer: "ACME" });
    const { start, end } = answer as { start: number; end: number };
    expect(text.slice(start, end)).toBe("ACME");
    const relation = mapOutputToRecord(
      {
        type: "relation-extraction",
        scoreSource: "none",
        relations: [
          {
            head: { text: "AC", start: 0, end: 2 },
            relation: "r",
            tail: { text: "ME", start: 2, end: 4 },
            score: null,
          },
        ],
      },
      third?.text ?? "",
      third?.source as ItemSource,
    );
    const spans = relation.type === "relation-extraction" ? relation.relations : [];
    expect(text.slice(spans[0]?.head.start, spans[0]?.tail.end)).toBe("ACME");
  });
});
