import { AutoglmError } from "@autoglm/api";
import { describe, expect, it } from "vitest";
import { createLogger, type Log, type LogLevel } from "./log.ts";

function recordingLog(level: LogLevel = "debug"): {
  log: Log;
  lines: () => Record<string, unknown>[];
  raw: () => string;
} {
  let written = "";
  const log = createLogger({ name: "test", level, destination: { write: (line) => void (written += line) } });
  const lines = () =>
    written
      .split("\n")
      .filter(Boolean)
      .map((line): Record<string, unknown> => JSON.parse(line));
  return { log, lines, raw: () => written };
}

const SEED = `SU${"A2B3C4D5".repeat(7)}`;
const JWT = "eyJ0eXAiOiJKV1QifQ.eyJzdWIiOiJVQUJDIn0.c2lnbmF0dXJl_-";

describe("createLogger", () => {
  it("writes one JSON line with level, time, name, fields and message", () => {
    const { log, lines } = recordingLog();
    log.child({ controller: "task" }).warn({ node: "edge-1", count: 3 }, "node is gone");
    expect(lines()).toEqual([
      {
        level: "warn",
        time: expect.stringMatching(/^\d{4}-\d\d-\d\dT[\d:.]+Z$/),
        name: "test",
        controller: "task",
        node: "edge-1",
        count: 3,
        msg: "node is gone",
      },
    ]);
  });

  it("writes nothing below its level", () => {
    const { log, raw } = recordingLog("warn");
    log.info({}, "quiet");
    expect(raw()).toBe("");
  });

  it.each([
    ["a secret by its key", { bus: { seed: "abc", userJwt: "x", enrolToken: "hunter2" } }, /abc|hunter2|"x"/],
    ["input text", { input: { inline: ["今天很开心"] } }, /今天/],
    ["result text at any depth", { a: [{ b: { output: { labels: ["positive"] } } }] }, /positive/],
    ["text in a map", { items: new Map([["text", "private"]]) }, /private/],
    ["a seed inside a sentence", { reason: `key ${SEED} was refused` }, /SUA2B3/],
    ["a JWT inside a list", { urls: [`nats://x?jwt=${JWT}`] }, /eyJ/],
    ["credentials in an address", { url: "nats://user:pass@hub:4222" }, /pass/],
    [
      "a secret in the details of an error",
      { error: new AutoglmError("BusRefused", "no", { details: { token: "t0k3n" } }) },
      /t0k3n/,
    ],
    [
      "a secret in the message of a cause",
      { error: new Error("a", { cause: new Error(`Bearer ${JWT}`) }) },
      /eyJ/,
    ],
  ])("keeps out %s", (_what, fields, leak) => {
    const { log, raw } = recordingLog();
    log.error(fields, "failed");
    log.child(fields).error({}, "failed");
    expect(raw()).toMatch(/\[(secret|content|seed|jwt|token|credentials)\]/);
    expect(raw()).not.toMatch(leak);
  });

  it("keeps secrets out of the message itself", () => {
    const { log, lines } = recordingLog();
    log.error({}, `refused ${SEED} and ${JWT}`);
    expect(lines()[0]).toMatchObject({ msg: "refused [seed] and [jwt]" });
  });

  it("keeps counts under keys that name content", () => {
    const { log, lines } = recordingLog();
    log.info({ input: 3, prompt_tokens: 7, tokenSha256: "ab" }, "done");
    expect(lines()[0]).toMatchObject({ input: 3, prompt_tokens: 7, tokenSha256: "ab" });
  });

  it("shows code, family, details and cause of an error, and a stack for bugs alone", () => {
    const { log, lines } = recordingLog();
    const cause = new AutoglmError("BusUnavailable", "hub is gone", { details: { url: "nats://hub" } });
    log.error({ error: new AutoglmError("Internal", "broken", { cause }) }, "pass failed");
    expect(lines()[0]?.["error"]).toEqual({
      name: "Internal",
      message: "broken",
      family: "bug",
      details: {},
      stack: expect.stringContaining("log.test.ts"),
      cause: {
        name: "BusUnavailable",
        message: "hub is gone",
        family: "operational",
        details: { url: "nats://hub" },
      },
    });
  });

  it("survives what can't be serialised", () => {
    const circular: Record<string, unknown> = { big: 1n, at: new Date(0), bytes: new Uint8Array(3) };
    circular["self"] = circular;
    const { log, lines } = recordingLog();
    log.info(circular, "odd");
    expect(lines()[0]).toMatchObject({ big: "1", at: "1970-01-01T00:00:00.000Z", bytes: "[3 bytes]" });
  });

  it("cuts what is too long between words: no half of a secret is left", () => {
    const { log, raw } = recordingLog();
    log.info({ note: `${"word ".repeat(1636)}${SEED} ${"more ".repeat(100_000)}` }, "long");
    log.info({ note: "-eyJ".repeat(50_000) }, "hostile");
    expect(raw().length).toBeLessThan(10_000);
    expect(raw()).toContain("word word");
    expect(raw()).not.toContain(SEED.slice(0, 8));
  });
});
