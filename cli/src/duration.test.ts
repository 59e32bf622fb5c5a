import { expect, it } from "vitest";
import { parseDurationMs } from "./duration.ts";

it.each([
  ["90s", 90_000],
  ["1h30m", 5_400_000],
  ["0.5s", 500],
  ["250ms", 250],
  ["2d", 172_800_000],
])("reads %s", (text, expected) => {
  expect(parseDurationMs(text)).toBe(expected);
});

it.each(["", "5", "s", "5x", "1h 30m", "-5s", "5s!"])("refuses %j", (text) => {
  expect(() => parseDurationMs(text)).toThrowError(expect.objectContaining({ code: "InvalidOption" }));
});
