import { AutoglmError, type ErrorCode } from "@autoglm/api";
import { expect, test } from "vitest";
import { decideRetry } from "./backoff.ts";

const decide = (code: ErrorCode, failures: number, retry?: "never") =>
  decideRetry(new AutoglmError(code, "", retry ? { retry } : {}), failures, 0).kind;

test.each<[string, ErrorCode, number, "fail" | "retry"]>([
  ["a missing file", "InputFileNotFound", 1, "fail"],
  ["a wrong digest", "ModelDigestMismatch", 1, "fail"],
  ["a bus that is gone", "BusUnavailable", 1, "retry"],
  ["a bus that is gone for long", "BusUnavailable", 1000, "retry"],
  ["a source that is gone", "ModelUnavailable", 50, "retry"],
  ["a model that did not load", "ModelLoadFailed", 2, "retry"],
  ["a model that never loads", "ModelLoadFailed", 3, "fail"],
  ["a bug", "Internal", 4, "retry"],
  ["a bug that stays", "Internal", 5, "fail"],
])("%s leads to what it should", (_, code, failures, expected) => {
  expect(decide(code, failures)).toBe(expected);
});

test("an error that says never is not tried again", () => {
  expect(decide("InvalidMessage", 1, "never")).toBe("fail");
});

test("waits longer each time, with jitter, at most a minute", () => {
  const waits = [1, 2, 3, 20].map((failures) => {
    const low = decideRetry(new AutoglmError("BusUnavailable", ""), failures, 0);
    const high = decideRetry(new AutoglmError("BusUnavailable", ""), failures, 1);
    return [low.kind === "retry" && low.afterMs, high.kind === "retry" && high.afterMs];
  });
  expect(waits).toEqual([
    [500, 1000],
    [1000, 2000],
    [2000, 4000],
    [30_000, 60_000],
  ]);
});
