import * as fc from "fast-check";
import { describe, expect, test } from "vitest";
import { Sampler, type SamplerOptions } from "./sampler.ts";

const greedy: SamplerOptions = { temperature: 0, topK: 0, topP: 1, repetitionPenalty: 1, seed: 0 };
const choose = (logits: readonly number[], options: Partial<SamplerOptions> = {}, prompt: number[] = []) =>
  new Sampler({ ...greedy, ...options }, prompt).next(Float32Array.from(logits));

describe("greedy", () => {
  test("takes the largest logit, the first on a tie", () => {
    expect(choose([1, 3, 3, -2])).toEqual({ id: 1, logit: 3 });
  });

  test("the penalty weakens what occurred, in the prompt and since, and leaves the model's logit alone", () => {
    expect(choose([2, 1.75], { repetitionPenalty: 1.2 }, [0])).toEqual({ id: 1, logit: 1.75 });
    expect(choose([-1, -1.125], { repetitionPenalty: 1.2 }, [0])).toEqual({ id: 1, logit: -1.125 });
    expect(choose([4, 1], { repetitionPenalty: 1.2 }, [0])).toEqual({ id: 0, logit: 4 });
    const sampler = new Sampler({ ...greedy, repetitionPenalty: 2 }, []);
    const next = () => sampler.next(Float32Array.from([2, 1.5])).id;
    expect([next(), next(), next()]).toEqual([0, 1, 0]);
  });
});

const logits = fc.array(fc.double({ min: -10, max: 10, noNaN: true }), { minLength: 2, maxLength: 30 });
const sampling = fc.record({
  temperature: fc.double({ min: 0.1, max: 2, noNaN: true }),
  topP: fc.double({ min: 0.05, max: 1, noNaN: true }),
  seed: fc.nat(),
});

test("a sample is in the smallest set of tokens with the mass topP", () => {
  fc.assert(
    fc.property(logits, sampling, (logits, options) => {
      const weights = logits.map((logit) => Math.exp(Math.fround(logit) / options.temperature));
      const total = weights.reduce((sum, weight) => sum + weight, 0);
      const { id } = choose(logits, options);
      const likelier = weights.filter((weight) => weight > (weights[id] ?? 0));
      // The rounding of sums in another order.
      expect(likelier.reduce((sum, weight) => sum + weight, 0) / total).toBeLessThan(options.topP + 1e-9);
    }),
  );
});

test("a sample is among the k likeliest, and with k = 1 it is the likeliest", () => {
  fc.assert(
    fc.property(logits, sampling, fc.integer({ min: 1, max: 40 }), (logits, options, topK) => {
      const { id } = choose(logits, { ...options, topK });
      const own = Math.fround(logits[id] ?? 0);
      expect(logits.filter((logit) => Math.fround(logit) > own).length).toBeLessThan(topK);
    }),
  );
});

test("the k likeliest share what they have alone, and the nucleus is taken from them", () => {
  // Of the two likeliest, the first has 0.6 of their mass: a nucleus of 0.55 is the first alone.
  const weights = [0.3, 0.2, 0.15, 0.15, 0.1, 0.1].map(Math.log);
  for (let seed = 0; seed < 200; seed++) {
    expect(choose(weights, { temperature: 1, topK: 2, topP: 0.55, seed }).id).toBe(0);
    expect(choose(weights, { temperature: 1, topK: 2, seed }).id).toBeLessThan(2);
  }
});

test("the same seed gives the same tokens, and samples follow the probabilities", () => {
  const draw = (seed: number) => {
    const sampler = new Sampler({ ...greedy, temperature: 1, seed }, []);
    return Array.from(
      { length: 2000 },
      () => sampler.next(Float32Array.from([Math.log(0.7), Math.log(0.3)])).id,
    );
  };
  expect(draw(5)).toEqual(draw(5));
  expect(draw(5)).not.toEqual(draw(6));
  const ones = draw(5).reduce((sum, id) => sum + id, 0);
  expect(ones / 2000).toBeGreaterThan(0.26);
  expect(ones / 2000).toBeLessThan(0.34);
});
