import * as fc from "fast-check";
import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { coalesced } from "./coalesced.ts";
import { reconnectDelayMs } from "./reconnect-delay.ts";

describe("the delay before a reconnect", () => {
  const random = fc.double({ min: 0, max: 1, noNaN: true, maxExcluded: true });

  it("is under a second in the first minute and under thirty at any time", () => {
    fc.assert(
      fc.property(fc.nat(10_000_000), random, (outageMs, draw) => {
        const delayMs = reconnectDelayMs(outageMs, () => draw);
        expect(delayMs).toBeGreaterThanOrEqual(0);
        expect(delayMs).toBeLessThan(outageMs <= 60_000 ? 1_000 : 30_000);
      }),
    );
  });

  it("never has a lower ceiling later in the outage, and reaches thirty seconds", () => {
    const ceiling = (outageMs: number) => reconnectDelayMs(outageMs, () => 1);
    fc.assert(
      fc.property(fc.nat(200_000), fc.nat(200_000), (outageMs, later) => {
        expect(ceiling(outageMs + later)).toBeGreaterThanOrEqual(ceiling(outageMs));
      }),
    );
    expect(ceiling(120_000)).toBe(30_000);
  });
});

describe("coalesced calls", () => {
  beforeEach(() => vi.useFakeTimers());
  afterEach(() => vi.useRealTimers());

  it("come at once, once more after a burst, and at once again after a rest", () => {
    const listener = vi.fn<() => void>();
    const { call } = coalesced(listener, 50);
    for (let index = 0; index < 10; index++) call();
    expect(listener).toHaveBeenCalledTimes(1);
    vi.advanceTimersByTime(50);
    expect(listener).toHaveBeenCalledTimes(2);
    vi.advanceTimersByTime(1_000);
    expect(listener).toHaveBeenCalledTimes(2);
    call();
    expect(listener).toHaveBeenCalledTimes(3);
  });

  it("come at most once per interval under a steady stream", () => {
    const listener = vi.fn<() => void>();
    const { call } = coalesced(listener, 50);
    for (let elapsedMs = 0; elapsedMs < 1_000; elapsedMs += 10) {
      call();
      vi.advanceTimersByTime(10);
    }
    expect(listener).toHaveBeenCalledTimes(21);
  });

  it("end when stopped", () => {
    const listener = vi.fn<() => void>();
    const { call, stop } = coalesced(listener, 50);
    call();
    call();
    stop();
    vi.advanceTimersByTime(1_000);
    expect(listener).toHaveBeenCalledTimes(1);
  });
});
