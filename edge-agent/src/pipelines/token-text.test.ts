import * as fc from "fast-check";
import { describe, expect, test } from "vitest";
import { TokenText } from "./token-text.ts";

/** Tokens are bytes: every character beyond ASCII is several. */
const bytesOf = (text: string) => [...new TextEncoder().encode(text)];
const decode = (ids: readonly number[]) => new TextDecoder().decode(Uint8Array.from(ids));

function stream(tokens: readonly number[], stops: readonly string[] = []) {
  const pieces: string[] = [];
  const text = new TokenText({ decode, stops, onText: (piece) => pieces.push(piece) });
  const isStopped = tokens.some((token) => text.push(token)) || text.end();
  return { pieces, text: text.text, isStopped };
}

/** A text may have the replacement itself; then a piece may. */
const word = fc.string({ unit: "grapheme", maxLength: 20 }).map((text) => text.replaceAll("\uFFFD", "?"));

describe("without a stop text", () => {
  test("the pieces are the text, whole characters each", () => {
    fc.assert(
      fc.property(word, (text) => {
        const streamed = stream(bytesOf(text));
        expect(streamed).toMatchObject({ text, isStopped: false });
        expect(streamed.pieces.join("")).toBe(text);
        for (const piece of streamed.pieces) expect(piece).not.toContain("\uFFFD");
      }),
    );
  });

  test("tokens that end within characters, one after the other, are whole characters all the same", () => {
    const sizes = fc.array(fc.integer({ min: 1, max: 5 }), { minLength: 1, maxLength: 40 });
    fc.assert(
      fc.property(
        fc.string({ unit: fc.constantFrom("a", "é", "中", "🙂"), maxLength: 40 }),
        sizes,
        (text, sizes) => {
          const parts: number[][] = [];
          const bytes = bytesOf(text);
          for (let at = 0, turn = 0; at < bytes.length; turn++) {
            const size = sizes[turn % sizes.length] ?? 1;
            parts.push(bytes.slice(at, at + size));
            at += size;
          }
          const decodeParts = (ids: readonly number[]) => decode(ids.flatMap((id) => parts[id] ?? []));
          const pieces: string[] = [];
          const stream = new TokenText({
            decode: decodeParts,
            stops: [],
            onText: (piece) => pieces.push(piece),
          });
          for (const id of parts.keys()) stream.push(id);
          stream.end();
          expect(pieces.join("")).toBe(text);
          for (const piece of pieces) expect(piece).not.toContain("\uFFFD");
        },
      ),
    );
  });

  test("a long row of them holds nothing back for long", () => {
    const bytes = bytesOf("中".repeat(50));
    const decodePairs = (ids: readonly number[]) => {
      // The first token ends within the first character, and each after it within the next.
      return decode(ids.flatMap((id) => bytes.slice(id === 0 ? 0 : 3 * id - 2, 3 * id + 1)));
    };
    const text = new TokenText({ decode: decodePairs, stops: [] });
    for (let id = 0; id < 40; id++) text.push(id);
    expect(text.text.length).toBeGreaterThan(37);
    expect("中".repeat(50).startsWith(text.text)).toBe(true);
  });

  test("a replacement that the text itself has is text", () => {
    for (const text of ["\uFFFD", "a\uFFFDb", "\uFFFD\uFFFD\uFFFD\uFFFD\uFFFD\uFFFD", "中\uFFFD"])
      expect(stream(bytesOf(text)).text).toBe(text);
  });

  test("bytes that are no character are replaced and hold nothing back for good", () => {
    const { pieces, text } = stream([0x61, 0xff, 0xff, 0xff, 0xff, 0xff, 0x62, 0x63]);
    expect(text.replaceAll("\uFFFD", "")).toBe("abc");
    expect(pieces.length).toBeGreaterThan(2);
    expect(stream([0x61, 0xe4, 0xbd]).text).toBe("a\uFFFD");
  });

  test("each token decodes a few tokens, however long the answer is", () => {
    let longest = 0;
    const counting = (ids: readonly number[]) => {
      longest = Math.max(longest, ids.length);
      return decode(ids);
    };
    const text = new TokenText({ decode: counting, stops: [] });
    for (const token of bytesOf("长的回答 ".repeat(200))) text.push(token);
    expect(longest).toBeLessThan(10);
  });
});

describe("with stop texts", () => {
  test("the text ends before the first stop that is complete, wherever tokens end", () => {
    const letters = fc.string({ unit: fc.constantFrom("a", "b", "中"), maxLength: 30 });
    const stops = fc.array(fc.string({ unit: fc.constantFrom("a", "b", "中"), minLength: 1, maxLength: 4 }), {
      maxLength: 3,
    });
    fc.assert(
      fc.property(letters, stops, (whole, stops) => {
        const { text, pieces, isStopped } = stream(bytesOf(whole), stops);
        let expected = whole;
        for (let length = 1; length <= whole.length; length++) {
          const starts = stops.map((stop) => whole.slice(0, length).indexOf(stop)).filter((at) => at >= 0);
          if (starts.length === 0) continue;
          expected = whole.slice(0, Math.min(...starts));
          break;
        }
        expect({ text, isStopped }).toEqual({ text: expected, isStopped: expected !== whole });
        expect(pieces.join("")).toBe(expected);
      }),
    );
  });

  test("what may begin a stop waits, and comes out when it does not", () => {
    const { pieces } = stream(bytesOf("a<|b<|end"), ["<|end|>"]);
    expect(pieces).toEqual(["a", "<|b", "<|end"]);
  });
});
