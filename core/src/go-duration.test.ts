import { describe, expect, it } from "vitest";
import { parseGoDurationMs } from "./go-duration.ts";

describe("parseGoDurationMs", () => {
  it.each([
    ["0", 0],
    ["0s", 0],
    ["24h", 86_400_000],
    ["1h30m", 5_400_000],
    ["-1s", -1000],
    ["1.5h", 5_400_000],
    ["+100ms", 100],
    [".5s", 500],
    ["2us", 0.002],
  ])("reads %s", (text, ms) => {
    expect(parseGoDurationMs(text)).toBeCloseTo(ms, 9);
  });

  it.each(["", "5", "1d", "s", "1h 30m", "1,5h", "--1s", "1h-30m"])("does not read %j", (text) => {
    expect(parseGoDurationMs(text)).toBeUndefined();
  });
});
