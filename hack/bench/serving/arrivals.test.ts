import { expect, test } from "vitest";
import { Arrivals, arrivalTimes } from "./arrivals.ts";

const options = { perSecond: 1000, startAt: 500, endAt: 20_500, seed: 7 };

test("arrivals come at random, as many as asked for, and the same ones for the same seed", () => {
  const times = arrivalTimes(options);
  expect(times).toEqual(arrivalTimes(options));
  expect(times).not.toEqual(arrivalTimes({ ...options, seed: 8 }));
  expect(Math.abs(times.length / 20_000 - 1)).toBeLessThan(0.03);
  const gaps = times.map((at, index) => at - (times[index - 1] ?? options.startAt));
  expect(Math.min(...gaps)).toBeGreaterThan(0);
  // Of exponential gaps 1 − 1/e are shorter than the mean.
  const short = gaps.filter((gap) => gap < 1).length / gaps.length;
  expect(Math.abs(short - 0.632)).toBeLessThan(0.02);
});

test("each arrival is given once, in order and not before its time; those who ask after the last get nothing", async () => {
  const now = performance.now();
  const arrivals = new Arrivals([now - 20, now - 10, now + 30]);
  const given = await Promise.all(Array.from({ length: 5 }, () => arrivals.next()));
  expect(given.map((arrival) => arrival?.due)).toEqual([now - 20, now - 10, now + 30, undefined, undefined]);
  expect(performance.now()).toBeGreaterThanOrEqual(now + 29);
});
