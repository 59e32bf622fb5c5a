import { describe, expect, test } from "vitest";
import fc from "fast-check";
import { overlapOf, suppressOverlaps, type Candidate } from "./overlap.ts";
import { readWav, resample } from "./wav.ts";

function wav(options: { kind: number; channels: number; bits: number; size?: number }, body: Uint8Array) {
  const { kind, channels, bits, size = body.length } = options;
  const bytes = Buffer.alloc(44 + body.length);
  bytes.write("RIFF", 0);
  bytes.write("WAVEfmt ", 8);
  bytes.writeUInt32LE(16, 16);
  bytes.writeUInt16LE(kind, 20);
  bytes.writeUInt16LE(channels, 22);
  bytes.writeUInt32LE(8000, 24);
  bytes.writeUInt16LE(bits, 34);
  bytes.write("data", 36);
  bytes.writeUInt32LE(size, 40);
  bytes.set(body, 44);
  return bytes;
}

describe("WAV files", () => {
  test.each([
    { bits: 8, kind: 1, body: [192, 64] },
    { bits: 16, kind: 1, body: [0, 64, 0, 192] },
    { bits: 24, kind: 1, body: [0, 0, 64, 0, 0, 192] },
    { bits: 32, kind: 1, body: [0, 0, 0, 64, 0, 0, 0, 192] },
    { bits: 32, kind: 3, body: [0, 0, 0, 63, 0, 0, 0, 191] },
  ])("of $bits bits, kind $kind, are read", ({ bits, kind, body }) => {
    const file = wav({ kind, channels: 1, bits }, Uint8Array.from(body));
    expect(readWav(file)).toEqual({ sampleRate: 8000, samples: Float32Array.of(0.5, -0.5) });
  });

  test("channels are mixed, and a size beyond the end is what there is", () => {
    const body = Uint8Array.from([0, 64, 0, 0, 0, 64, 0, 64]);
    const file = wav({ kind: 1, channels: 2, bits: 16, size: 0xffffffff }, body);
    expect(readWav(file)?.samples).toEqual(Float32Array.of(0.25, 0.5));
  });

  test("any other bytes are none, whatever they are", () => {
    expect(readWav(wav({ kind: 6, channels: 1, bits: 8 }, Uint8Array.of(1)))).toBeUndefined();
    expect(readWav(wav({ kind: 1, channels: 0, bits: 16 }, Uint8Array.of(1, 2)))).toBeUndefined();
    const start = Buffer.from("RIFF\0\0\0\0WAVE");
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 60 }), (bytes) => {
        expect(() => readWav(Buffer.concat([start, bytes]))).not.toThrow();
      }),
    );
  });
});

test.each([
  [8000, 16_000],
  [44_100, 16_000],
])("a tone of 440 Hz at %i samples a second is the same tone at %i", (from, to) => {
  const tone = (rate: number) =>
    Float32Array.from({ length: rate / 4 }, (_, at) => Math.sin((2 * Math.PI * 440 * at) / rate));
  const found = resample({ sampleRate: from, samples: tone(from) }, to);
  const wanted = tone(to);
  expect(Math.abs(found.length - wanted.length)).toBeLessThanOrEqual(1);
  for (let at = 100; at < found.length - 100; at++)
    expect(Math.abs((found[at] ?? 9) - (wanted[at] ?? 0))).toBeLessThan(0.01);
});

test("what is above half of the new rate is gone", () => {
  const samples = Float32Array.from({ length: 12_000 }, (_, at) =>
    Math.sin((2 * Math.PI * 12_000 * at) / 48_000),
  );
  const found = resample({ sampleRate: 48_000, samples }, 16_000).subarray(100, -100);
  expect(found.every((value) => Math.abs(value) < 0.01)).toBe(true);
});

describe("overlapping boxes", () => {
  const edge = fc.integer({ min: 0, max: 20 });
  const box = fc.tuple(edge, edge, edge, edge).map(([a, b, c, d]) => ({
    xmin: Math.min(a, c),
    ymin: Math.min(b, d),
    xmax: Math.max(a, c),
    ymax: Math.max(b, d),
  }));
  const candidate: fc.Arbitrary<Candidate> = fc.record({
    label: fc.constantFrom("cat", "dog"),
    score: fc.double({ min: 0, max: 1, noNaN: true }),
    box,
  });

  test("half of one is a third of both", () => {
    const a = { xmin: 0, ymin: 0, xmax: 2, ymax: 2 };
    expect(overlapOf(a, { ...a, xmin: 1, xmax: 3 })).toBeCloseTo(1 / 3);
    expect(overlapOf(a, { xmin: 2, ymin: 0, xmax: 2, ymax: 0 })).toBe(0);
  });

  test("none that are kept lie on each other, and each that went has a likelier one of its label", () => {
    fc.assert(
      fc.property(fc.array(candidate, { maxLength: 25 }), (candidates) => {
        const kept = suppressOverlaps(candidates, 0.4, 100);
        const covers = (a: Candidate, b: Candidate) => a.label === b.label && overlapOf(a.box, b.box) > 0.4;
        for (const [index, one] of kept.entries())
          expect(kept.slice(index + 1).some((other) => covers(one, other))).toBe(false);
        for (const gone of candidates.filter((candidate) => !kept.includes(candidate)))
          expect(kept.some((one) => covers(one, gone) && one.score >= gone.score)).toBe(true);
      }),
    );
  });
});
