import { describe, expect, it } from "vitest";
import { lostAnswer, mayHaveAnswered, meaningOf, type FailureMeaning } from "./failure.ts";
import { decideRetry, RETRY_RULES } from "./retry.ts";

const nowMs = Date.parse("2026-11-25T12:00:00Z");
const coded = (code: string | number, status?: number) =>
  meaningOf({ status, body: { error: { code, message: "words of the user" } }, nowMs });

describe("whether a request may have been answered although no answer came", () => {
  const lost = (code: string) => lostAnswer(new TypeError("fetch failed", { cause: { code } }));

  it.each(["ECONNRESET", "UND_ERR_SOCKET", "no byte for 60000 ms", "EHOSTUNREACH"])("may be: %s", (code) => {
    expect(mayHaveAnswered(lost(code))).toBe(true);
  });

  it.each(["ECONNREFUSED", "ENOTFOUND", "EAI_AGAIN", "UND_ERR_CONNECT_TIMEOUT"])("can't be: %s", (code) => {
    expect(mayHaveAnswered(lost(code))).toBe(false);
  });

  it("may be of what the server calls a duplicate, and can't be of what it did not take", () => {
    expect(mayHaveAnswered(coded("1231", 400))).toBe(true);
    for (const refused of [coded("1302", 429), coded("1308", 429), coded("", 401), coded("", 400)]) {
      expect(mayHaveAnswered(refused)).toBe(false);
    }
  });
});

describe("the meaning of an error", () => {
  it.each<readonly [string | number, number | undefined, FailureMeaning]>([
    ["1302", 429, "busy"],
    ["1303", 429, "busy"],
    ["1305", 503, "busy"],
    ["1305", undefined, "busy"],
    ["1304", 429, "spent"],
    ["1308", 429, "spent"],
    ["1113", 429, "refused"],
    ["1112", 429, "refused"],
    ["1121", 429, "refused"],
    ["1000", 401, "refused"],
    ["1211", 400, "refused"],
    ["1210", 400, "rejected"],
    ["1214", 400, "rejected"],
    ["1261", 400, "rejected"],
    ["1301", 400, "content"],
    ["1301", undefined, "content"],
    ["1231", 400, "duplicate"],
    ["insufficient_quota", 429, "refused"],
    ["", 429, "busy"],
    ["", 408, "busy"],
    ["", 409, "busy"],
    [500, 500, "busy"],
    [502, 502, "busy"],
    [400, 400, "rejected"],
    ["", 422, "rejected"],
    ["", 401, "refused"],
    ["", 404, "refused"],
    ["", 301, "refused"],
    ["9999", undefined, "lost"],
  ])("of code %j with status %s is %s", (code, status, meaning) => {
    expect(coded(code, status).meaning).toBe(meaning);
  });

  it("is told in codes, never in the server's words", () => {
    expect(coded("1302", 429).what).toBe("HTTP 429, code 1302");
    expect(coded("words of the user", 400).what).toBe("HTTP 400");
    expect(coded("1301").what).toBe("inside the stream, code 1301");
  });

  it.each([
    [{ error: { code: "1302" } }, "busy"],
    [{ object: "error", message: "busy", code: 429 }, "busy"],
    [{ error: "busy" }, "busy"],
    ["<html>", "busy"],
    [undefined, "busy"],
  ])("is read from %j", (body, meaning) => {
    expect(meaningOf({ status: 429, body, nowMs }).meaning).toBe(meaning);
  });

  it("has the time of the reset, which the hosted API names in China's", () => {
    const message = "limit reached, resets at 2026-11-26 09:00:00";
    const named = meaningOf({ status: 429, body: { error: { code: "1308", message } }, nowMs });
    expect(named.resetsAtMs).toBe(Date.parse("2026-11-26T01:00:00Z"));
    expect(coded("1304", 429).resetsAtMs).toBe(Date.parse("2026-11-25T16:00:00Z"));
    expect(coded("1308", 429).resetsAtMs).toBe(nowMs + 3_600_000);
  });

  it("has Retry-After, in seconds or as a date", () => {
    const after = (retryAfter: string) =>
      meaningOf({ status: 429, body: undefined, retryAfter, nowMs }).retryAfterMs;
    expect(after("7")).toBe(7000);
    expect(after("Wed, 25 Nov 2026 12:00:30 GMT")).toBe(30_000);
    expect(after("Wed, 25 Nov 2026 11:00:00 GMT")).toBe(0);
    expect(after("soon")).toBeUndefined();
  });

  it("of a broken connection is a lost answer, by the system's code", () => {
    const cause = Object.assign(new Error("refused"), { code: "ECONNREFUSED" });
    expect(lostAnswer(new TypeError("fetch failed", { cause }))).toEqual({
      meaning: "lost",
      what: "ECONNREFUSED",
      isUnsent: true,
    });
    expect(lostAnswer("?")).toEqual({ meaning: "lost", what: "connection lost" });
  });
});

describe("what follows", () => {
  const decide = (meaning: FailureMeaning, attempts = 1, rest = {}) =>
    decideRetry({ meaning, what: "", ...rest }, attempts, 0.5, nowMs);

  it("is another send after a growing pause", () => {
    expect([1, 2, 3, 4, 5].map((attempts) => decide("busy", attempts))).toEqual(
      [375, 750, 1500, 3000, 6000].map((afterMs) => ({ kind: "again", afterMs, newRequestId: false })),
    );
    expect(decide("busy", RETRY_RULES.maxAttempts)).toEqual({ kind: "unavailable", afterMs: undefined });
  });

  it("waits as long as the server says, and not for hours", () => {
    expect(decide("busy", 1, { retryAfterMs: 30_000 })).toMatchObject({ kind: "again", afterMs: 30_000 });
    expect(decide("busy", 1, { retryAfterMs: 90_000 })).toEqual({ kind: "unavailable", afterMs: 90_000 });
  });

  it("is a new id for a request that the server knows", () => {
    expect(decide("duplicate")).toMatchObject({ kind: "again", newRequestId: true });
    expect(decide("lost")).toMatchObject({ kind: "again", newRequestId: false });
  });

  it("is nothing for what no retry mends", () => {
    expect(decide("refused")).toEqual({ kind: "refused" });
    expect(decide("rejected")).toEqual({ kind: "item" });
    expect(decide("content")).toEqual({ kind: "item" });
    expect(decide("spent", 1, { resetsAtMs: nowMs + 5000 })).toEqual({ kind: "unavailable", afterMs: 5000 });
  });
});
