import * as fc from "fast-check";
import { describe, expect, test } from "vitest";
import { Sampler, type SamplerOptions } from "./sampler.ts";

const greedy: SamplerOptions = { temperature: 0, topP: 1, repetitionPenalty: 1, seed: 0 };
const choose = (logits: number[], options: Partial<SamplerOptions> = {}, prompt: number[] = []) =>
  new Sampler({ ...greedy, ...options }, prompt).next(Float32Array.from(logits));

describe("greedy", () => {
  test("takes the largest logit, the first on a tie, and says its probability", () => {
    const { id, logprob } = choose([1, 3, 3, -2]);
    expect(id).toBe(1);
    const total = [1, 3, 3, -2].reduce((sum, logit) => sum + Math.exp(logit), 0);
    expect(Math.exp(logprob)).toBeCloseTo(Math.exp(3) / total, 6);
  });

  test("the penalty weakens what occurred, in the prompt and since, and leaves the probability alone", () => {
    expect(choose([2, 1.9], { repetitionPenalty: 1.2 }, [0]).id).toBe(1);
    expect(choose([-1, -1.1], { repetitionPenalty: 1.2 }, [0]).id).toBe(1);
    const sampler = new Sampler({ ...greedy, repetitionPenalty: 2 }, []);
    const logits = Float32Array.from([2, 1.5]);
    expect([sampler.next(logits).id, sampler.next(logits).id]).toEqual([0, 1]);
    expect(choose([2, 1.9], { repetitionPenalty: 1.2 }, [0]).logprob).toBeCloseTo(
      choose([1.9, 2]).logprob - 0.1,
      5,
    );
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

test("the same seed gives the same tokens, and samples follow the probabilities", () => {
  const draw = (seed: number) => {
    const sampler = new Sampler({ ...greedy, temperature: 1, seed }, []);
    const even = Float32Array.from([Math.log(0.7), Math.log(0.3)]);
    return Array.from({ length: 2000 }, () => sampler.next(even).id);
  };
  expect(draw(5)).toEqual(draw(5));
  expect(draw(5)).not.toEqual(draw(6));
  const ones = draw(5).reduce((sum, id) => sum + id, 0);
  expect(ones / 2000).toBeGreaterThan(0.26);
  expect(ones / 2000).toBeLessThan(0.34);
});
