import { describe, expect, test } from "vitest";
import fc from "fast-check";
import { hashId, hashString } from "./spacy-hash.ts";
import { shapeOf } from "./spacy-rows.ts";
import { isWhiteSpace, SpacyTokenizer } from "./spacy-tokenizer.ts";
import { SpacyTransitions } from "./spacy-transitions.ts";

const tokenizer = new SpacyTokenizer({
  patterns: {
    prefix: '^["(]',
    suffix: "[\")!.,]$|(?<=\\p{L})'s$",
    infix: "(?<=\\p{L})-(?=\\p{L})",
    url: "https?://[^\\s]+$",
  },
  exceptions: { "don't": [["do"], ["n't", "not"]], "U.K.": [["U.K."]], ":)": [[":)"]] },
});
const words = (text: string) => tokenizer.tokenize(text).map((token) => token.text);

describe("hashes", () => {
  test("are those of the reference implementations", () => {
    // spaCy's StringStore and thinc's NumpyOps.hash gave these.
    expect(hashString("apple")).toBe(8566208034543834098n);
    expect(hashString("Ein längerer Text — mit Umlauten")).toBe(6130256619969939853n);
    expect(hashId(8566208034543834098n, 8)).toEqual([2653853934, 3922826080, 3980780901, 3736755472]);
  });
});

describe("tokens", () => {
  test("affixes come off, special cases stay", () => {
    expect(words('("Don-Quixote\'s" U.K.!)')).toEqual(
      Array.of("(", '"', "Don", "-", "Quixote", "'s", '"', "U.K.", "!", ")"),
    );
    expect(tokenizer.tokenize("I don't").map(({ norm }) => norm)).toEqual([undefined, undefined, "not"]);
  });

  test("an address is one token, and a special case that the affixes split is put together again", () => {
    expect(words("(https://a.example/b-c, :)")).toEqual(["(", "https://a.example/b-c", ",", ":)"]);
  });

  test("white space beyond one space between words is a token", () => {
    expect(words(" a  b\n\n c ")).toEqual([" ", "a", " ", "b", "\n\n ", "c"]);
  });

  test("every token stands where it says, and only single spaces are left out", () => {
    const text = fc.string({ unit: fc.constantFrom(...Array.from(" \n\t\"().,!-'sabU.K:)don’tΑ😀")) });
    fc.assert(
      fc.property(text, (text) => {
        let at = 0;
        for (const { text: token, start } of tokenizer.tokenize(text)) {
          expect(["", " "]).toContain(text.slice(at, start));
          expect(text.slice(start, start + token.length)).toBe(token);
          at = start + token.length;
        }
        expect(["", " "]).toContain(text.slice(at));
      }),
    );
  });

  test("what Python calls white space is white space", () => {
    expect(["\x1c", "\x85", "\u00a0", "\u3000"].every(isWhiteSpace)).toBe(true);
    expect(["\ufeff", "\u200b", "a", ""].some(isWhiteSpace)).toBe(false);
  });
});

test.each([
  ["Monday", "Xxxxx"],
  ["iPhone", "xXxxxx"],
  ["12,500", "dd,ddd"],
  ["10²", "ddd"],
  ["20061231", "dddd"],
  ["x".repeat(100), "LONG"],
])("the shape of %s is %s", (word, shape) => {
  expect(shapeOf(word)).toBe(shape);
});

describe("moves", () => {
  const MOVES = ["B-X", "I-X", "L-X", "U-X", "U-", "O"];
  /** One hidden unit for each move, whose score is that feature of the token. */
  const transitions = new SpacyTransitions({
    moves: MOVES,
    lower: {
      hidden: MOVES.length,
      pieces: 1,
      bias: MOVES.map(() => 0),
      pad: [[], MOVES.map(() => 0), MOVES.map(() => 0)],
    },
    upper: {
      weights: MOVES.map((_, move) => MOVES.map((_, unit) => (unit === move ? 1 : 0))),
      bias: MOVES.map(() => 0),
    },
  });
  const parse = (scores: readonly (readonly number[])[], space = -1) => {
    const features = Float32Array.from(
      scores.flatMap((row) => [...row, ...MOVES.map(() => 0), ...MOVES.map(() => 0)]),
    );
    return transitions
      .parse(features, scores.length, (token) => token === space)
      .map(({ start, end }) => [start, end]);
  };

  test("an entity that began is ended by the last token, and none begins there", () => {
    expect(parse([[9], [0, 9], [0, 9]].map((row) => [...row, 0, 0, 0, 0, 0].slice(0, 6)))).toEqual([[0, 3]]);
    expect(parse([[9, 0, 0, 0, 0, 1]])).toEqual([]);
  });

  test("white space is no entity and begins none", () => {
    expect(
      parse(
        [
          [0, 0, 0, 9, 0, 1],
          [0, 0, 0, 9, 0, 1],
        ],
        0,
      ),
    ).toEqual([[1, 2]]);
  });

  test("entities ascend without overlap whatever the scores", () => {
    const row = fc.array(fc.float({ min: -5, max: 5, noNaN: true }), {
      minLength: MOVES.length,
      maxLength: MOVES.length,
    });
    fc.assert(
      fc.property(fc.array(row, { maxLength: 12 }), (scores) => {
        let last = 0;
        for (const [start = -1, end = -1] of parse(scores)) {
          expect(start).toBeGreaterThanOrEqual(last);
          expect(end).toBeGreaterThan(start);
          last = end;
        }
        expect(last).toBeLessThanOrEqual(scores.length);
      }),
    );
  });
});
