import { describe, expect, it } from "vitest";
import { errorFromConnection, errorFromResponse, errorFromWatchEvent } from "./errors.ts";

const subject = { method: "get", resource: "autoglmtasks.autoglm.io", key: "demo/reviews" };
const status = (reason: string, more: object = {}): string =>
  JSON.stringify({ kind: "Status", reason, message: "in the server's words", ...more });

describe("an answer of the API server", () => {
  it.each([
    [401, "Unauthorized", "Forbidden"],
    [403, "Forbidden", "Forbidden"],
    [404, "NotFound", "NotFound"],
    [409, "AlreadyExists", "AlreadyExists"],
    [409, "Conflict", "Conflict"],
    [410, "Expired", "WatchExpired"],
    [422, "Invalid", "Invalid"],
    [400, "BadRequest", "Invalid"],
    [415, "UnsupportedMediaType", "Internal"],
    [429, "TooManyRequests", "TooManyRequests"],
    [500, "InternalError", "ApiUnavailable"],
    [503, "ServiceUnavailable", "ApiUnavailable"],
  ] as const)("%i %s is %s", (httpStatus, reason, code) => {
    const error = errorFromResponse(subject, httpStatus, status(reason));
    expect(error).toMatchObject({ code, details: { httpStatus, reason, key: "demo/reviews" } });
    expect(error.message).toBe("get autoglmtasks.autoglm.io demo/reviews: in the server's words");
  });

  it("says when to come back, in the header or in the body", () => {
    expect(errorFromResponse(subject, 429, "", "7").retry).toEqual({ afterMs: 7000 });
    const body = status("TooManyRequests", { details: { retryAfterSeconds: 2 } });
    expect(errorFromResponse(subject, 429, body).retry).toEqual({ afterMs: 2000 });
    expect(errorFromResponse(subject, 503, "", "Wed, 21 Oct 2026 07:28:00 GMT").retry).toBe("backoff");
  });

  it("may come from a proxy that knows no Status", () => {
    const error = errorFromResponse(subject, 502, "<html>Bad Gateway</html>");
    expect(error).toMatchObject({ code: "ApiUnavailable", retry: "backoff" });
    expect(error.message).toContain("HTTP 502");
  });

  it("may come inside a watch", () => {
    const expired = { kind: "Status", code: 410, reason: "Expired", message: "too old resource version" };
    expect(errorFromWatchEvent(subject, expired).code).toBe("WatchExpired");
  });
});

describe("a failed connection", () => {
  it("is told apart from a caller who gave up, and keeps its cause", () => {
    const reset = Object.assign(new Error("read ECONNRESET"), { code: "ECONNRESET" });
    expect(errorFromConnection(subject, reset, false)).toMatchObject({
      code: "ApiUnavailable",
      cause: reset,
    });
    const timeout = new DOMException("too long", "TimeoutError");
    expect(errorFromConnection(subject, timeout, false).code).toBe("Timeout");
    expect(errorFromConnection(subject, timeout, true).code).toBe("Aborted");
  });
});
