import { hasErrorCode, type AutoglmError } from "@autoglm/api";
import { setTimeout as sleep } from "node:timers/promises";
import { describe, expect, it } from "vitest";
import type { ParsedItem } from "../../../edge-agent/src/parse/index.ts";
import type { Fault } from "../../support/openai-server/server.ts";
import { ask, KEY, startSite } from "./harness.ts";

const say = (prompt: string) => `echo of ${prompt}`;
const text = (prompt: string) => expect.objectContaining({ generated_text: `echo of ${prompt}` });
const item = (name: string) => (body: { readonly messages: unknown }) =>
  JSON.stringify(body.messages).includes(name);

describe("an error that may be retried", () => {
  it.each<readonly [string, Fault, number]>([
    ["1302, too many at once", { kind: "error", status: 429, code: "1302" }, 2],
    ["1303, too often", { kind: "error", status: 429, code: "1303" }, 2],
    ["1305, overload", { kind: "error", status: 503, code: "1305" }, 2],
    ["HTTP 500", { kind: "error", status: 500 }, 2],
    ["HTTP 408", { kind: "error", status: 408 }, 2],
    ["HTTP 409", { kind: "error", status: 409 }, 2],
    ["HTTP 429 without a code", { kind: "error", status: 429 }, 2],
    ["a connection that ends before the request is taken", { kind: "reset" }, 2],
  ])("is: %s", async (_what, fault, sends) => {
    await using site = await startSite({ flavour: "bigmodel", key: KEY, say });
    await ask(site, ["before"]);
    site.server.failNext(fault);
    const { results, error } = await ask(site, ["question"]);
    expect(error).toBeUndefined();
    expect(results[0]?.output).toEqual(text("question"));
    const requests = site.server.asked("question");
    expect(requests).toHaveLength(sends);
    // The same request, by its id too.
    expect(new Set(requests.map(({ body }) => JSON.stringify(body))).size).toBe(1);
    expect(site.server.sentAgainAfterAnswer()).toEqual([]);
  });

  it("comes again after Retry-After, and all others wait too", async () => {
    await using site = await startSite({ flavour: "vllm", say });
    await ask(site, ["before"]);
    site.server.failNext({ kind: "error", status: 429, retryAfter: "0.3" });
    const start = performance.now();
    const { results } = await ask(site, ["one", "two"]);
    expect(performance.now() - start).toBeGreaterThan(290);
    expect(results.map(({ output }) => output)).toEqual([text("one"), text("two")]);
  });

  it("makes fewer requests run at once", async () => {
    await using site = await startSite({ flavour: "bigmodel", say }, { maxConcurrency: 8 });
    await ask(site, ["before"]);
    site.server.failNext(
      ...Array.from({ length: 3 }, () => ({ kind: "error" as const, status: 429, code: "1302" })),
    );
    const names = Array.from({ length: 24 }, (_, index) => `item ${index}.`);
    const { results } = await ask(site, names);
    expect(results.map(({ output }) => output)).toEqual(names.map(text));
    expect(site.server.sentAgainAfterAnswer()).toEqual([]);
    for (const name of names) {
      expect(site.server.asked(name).filter(({ outcome }) => outcome === "answered")).toHaveLength(1);
    }
  });

  it("ends, and the endpoint is unavailable for now", async () => {
    await using site = await startSite({ flavour: "vllm", say });
    await ask(site, ["before"]);
    site.server.failNext(...Array.from({ length: 9 }, () => ({ kind: "error" as const, status: 503 })));
    const { error } = await ask(site, ["question"]);
    expect(error).toMatchObject({ code: "EndpointUnavailable", retry: "backoff" });
    expect(site.server.asked("question")).toHaveLength(4);
  });
});

describe("an error that no retry mends", () => {
  it.each([
    ["1113, arrears", 429, "1113", "balance"],
    ["1121, a locked account", 429, "1121", "account"],
    ["1211, no such model", 400, "1211", "model"],
    ["HTTP 401", 401, undefined, "key"],
  ])("ends the run at once, and says what to do: %s", async (_what, status, code, mend) => {
    await using site = await startSite({ flavour: "bigmodel", key: KEY, say });
    await ask(site, ["before"]);
    site.server.failNext({ kind: "error", status, ...(code !== undefined && { code }) });
    const { error } = await ask(site, ["question"]);
    expect(error).toMatchObject({
      code: "EndpointRefused",
      retry: "never",
      message: expect.stringContaining(mend),
    });
    expect(JSON.stringify(error) + String(error)).not.toContain(KEY);
    expect(site.server.asked("question")).toHaveLength(1);
  });

  it.each([
    ["1301, content", "1301"],
    ["1210, parameters", "1210"],
    ["1214, messages", "1214"],
  ])("is of the item alone: %s", async (_what, code) => {
    await using site = await startSite({ flavour: "bigmodel", say });
    await ask(site, ["before"]);
    site.server.failNext({ kind: "error", status: 400, code, when: item("bad") });
    const { results, error } = await ask(site, ["good", "bad", "fine"]);
    expect(error).toBeUndefined();
    expect(results.map((result) => result.error?.code)).toEqual([undefined, "ItemInvalid", undefined]);
    expect(results[1]?.error?.message).toContain(code);
    expect(results[1]?.error?.message).not.toContain("bad");
    expect(site.server.asked("bad")).toHaveLength(1);
  });

  it.each([
    ["1308, until the time that it names", "1308", "limit reached, reset at 2099-01-02 03:04:05"],
    ["1304, until tomorrow", "1304", "daily limit"],
  ])("makes the endpoint unavailable: %s", async (_what, code, message) => {
    await using site = await startSite({ flavour: "bigmodel", say });
    await ask(site, ["before"]);
    site.server.failNext({ kind: "error", status: 429, code, message });
    const { error } = await ask(site, ["question"]);
    expect(error).toMatchObject({ code: "EndpointUnavailable", retry: { afterMs: expect.any(Number) } });
    const { retry } = error as AutoglmError;
    const afterMs = typeof retry === "object" ? retry.afterMs : 0;
    if (code === "1308")
      expect(Date.now() + afterMs).toBeCloseTo(Date.parse("2099-01-02T03:04:05+08:00"), -5);
    else expect(afterMs).toBeLessThanOrEqual(86_400_000);
    const sent = site.server.requests.length;
    expect(hasErrorCode((await ask(site, ["again"])).error, "EndpointUnavailable")).toBe(true);
    expect(site.server.requests).toHaveLength(sent);
  });
});

describe("an answer that is lost", () => {
  it.each<readonly [string, Fault]>([
    ["cut before its first byte", { kind: "cut" }],
    ["cut in the middle of the stream", { kind: "cut", afterTokens: 1 }],
  ])(
    "is asked for under the same request_id, and under a new one once the server knows it: %s",
    async (_what, fault) => {
      await using site = await startSite({ flavour: "bigmodel", say });
      await ask(site, ["before"]);
      site.server.failNext(fault);
      const { results } = await ask(site, ["question"], { parameters: { maxNewTokens: 100 } });
      expect(results[0]?.output).toEqual(text("question"));
      const [lost, duplicate, answered] = site.server.asked("question");
      expect(lost).toMatchObject({ outcome: "cut" });
      expect(duplicate).toMatchObject({ outcome: "refused", body: { request_id: lost?.body["request_id"] } });
      expect(answered).toMatchObject({ outcome: "answered" });
      expect(answered?.body["request_id"]).not.toBe(lost?.body["request_id"]);
      expect(site.server.sentAgainAfterAnswer()).toEqual([]);
      expect(site.engine.usage()[0]?.usage).toMatchObject({ answersLost: 1 });
    },
  );

  it.each([
    ["as a data line", false],
    ["as an event of its own", true],
  ])("by an error inside the stream is retried by its code, %s", async (_what, event) => {
    await using site = await startSite({ flavour: "vllm", say });
    await ask(site, ["before"]);
    const parameters = { maxNewTokens: 100 };
    site.server.failNext({ kind: "errorInStream", code: "1305", event, when: item("busy") });
    site.server.failNext({ kind: "errorInStream", code: "1301", event, when: item("unfit") });
    const { results } = await ask(site, ["busy", "unfit"], { parameters });
    expect(results[0]?.output).toEqual(text("busy"));
    expect(results[1]?.error).toMatchObject({ code: "ItemInvalid" });
    expect(site.server.asked("busy")).toHaveLength(2);
    expect(site.server.asked("unfit")).toHaveLength(1);
  });

  it("is said of the item whose request it was, when the endpoint is given up for it", async () => {
    await using site = await startSite({ flavour: "vllm", say });
    await ask(site, ["before"]);
    const cut = { kind: "cut" as const, when: item("second") };
    site.server.failNext(cut, cut, cut, cut);
    const { results, error } = await ask(site, ["first", "second", "third"]);
    expect(error).toMatchObject({
      code: "EndpointUnavailable",
      details: { mayHaveAnswered: true, items: [1] },
    });
    expect(results.map((result) => result?.output)).toEqual([text("first"), undefined, text("third")]);
  });

  it("is said of it too when the last send of several was merely refused", async () => {
    await using site = await startSite({ flavour: "vllm", say });
    await ask(site, ["before"]);
    const busy = { kind: "error" as const, status: 503 };
    site.server.failNext({ kind: "cut" }, busy, busy, busy);
    const { error } = await ask(site, ["question"]);
    expect(error).toMatchObject({ code: "EndpointUnavailable", details: { items: [0] } });
  });

  it("is said of all texts that were sent together", async () => {
    await using site = await startSite({ flavour: "vllm", say }, { maxConcurrency: 1 });
    const cut = { kind: "cut" as const, whenEmbedding: () => true };
    site.server.failNext(cut, cut, cut, cut);
    const { results, error } = await ask(site, ["one", " ", "three"], { type: "feature-extraction" });
    expect(error).toMatchObject({ code: "EndpointUnavailable", details: { items: [0, 2] } });
    expect(results[1]?.error).toMatchObject({ code: "ItemInvalid" });
  });

  it("is not said of what the server did not take, of a server that is not there, or of a probe", async () => {
    await using site = await startSite({ flavour: "vllm", say });
    const cut = { kind: "cut" as const };
    site.server.failNext(cut, cut, cut, cut);
    const probed = await ask(site, ["question"]);
    await ask(site, ["before"]);
    const busy = { kind: "error" as const, status: 503 };
    site.server.failNext(busy, busy, busy, busy);
    const refused = await ask(site, ["question"]);
    await site.server.stop();
    // The client's open connections end: a request that is written to one is in doubt.
    await sleep(100);
    const gone = await ask(site, ["question"]);
    for (const { error } of [probed, refused, gone]) {
      expect(error).toMatchObject({ code: "EndpointUnavailable" });
      expect((error as AutoglmError).details).toEqual({});
    }
  });

  it("by silence is given up in time", async () => {
    await using site = await startSite({ flavour: "vllm", say }, { silenceMs: 300 });
    await ask(site, ["before"]);
    site.server.failNext({ kind: "slow", ms: 2000 });
    const { results } = await ask(site, ["question"]);
    expect(results[0]?.output).toEqual(text("question"));
    expect(site.server.asked("question").map(({ outcome }) => outcome)).toEqual(["cut", "answered"]);
  });

  it("is not, when the first byte is merely late", async () => {
    await using site = await startSite({ flavour: "vllm", say });
    await ask(site, ["before"]);
    site.server.failNext({ kind: "slow", ms: 400 });
    const { results } = await ask(site, ["question"]);
    expect(results[0]?.output).toEqual(text("question"));
    expect(site.server.asked("question")).toHaveLength(1);
  });
});

describe("nothing that was answered", () => {
  it("is dropped when the endpoint gives up: the next run asks for the rest alone", async () => {
    await using site = await startSite({ flavour: "bigmodel", say }, { maxConcurrency: 4 });
    await ask(site, ["before"]);
    const names = Array.from({ length: 40 }, (_, index) => `item ${index}.`);
    site.server.failNext({ kind: "error", status: 429, code: "1113", when: item("item 20.") });
    const first = await ask(site, names);
    expect(first.error).toMatchObject({ code: "EndpointRefused" });
    async function* rest(): AsyncGenerator<ParsedItem> {
      for (const [index, name] of names.entries()) {
        if (first.results[index] === undefined) yield { item: index, text: name };
      }
    }
    const second = await ask(site, rest());
    for (const [index, name] of names.entries()) {
      expect((first.results[index] ?? second.results[index])?.output).toEqual(text(name));
    }
    expect(site.server.sentAgainAfterAnswer()).toEqual([]);
  });

  it.each<readonly [string, number, string]>([
    ["refused", 401, "EndpointRefused"],
    ["busy for too long", 503, "EndpointUnavailable"],
  ])("is dropped when one text of a batch is %s", async (_what, status, code) => {
    await using site = await startSite({ flavour: "vllm", say });
    const texts = Array.from({ length: 16 }, (_, index) => `text ${index}`);
    const unfit = {
      kind: "error" as const,
      status: 400,
      whenEmbedding: (some: readonly string[]) => some.length > 1,
    };
    const failing = {
      kind: "error" as const,
      status,
      whenEmbedding: ([one]: readonly string[]) => one === "text 7",
    };
    site.server.failNext(...[unfit, failing].flatMap((fault) => Array.from({ length: 4 }, () => fault)));
    const type = "feature-extraction";
    const first = await ask(site, texts, { type });
    expect(first.error).toMatchObject({ code });
    const missing = texts.filter((_, index) => first.results[index] === undefined);
    expect(missing).toEqual(["text 7"]);
    site.server.forgetFaults();
    const second = await ask(site, missing, { type });
    expect(second.results[0]?.output).toBeDefined();
    const answered = site.server.requests.filter(
      ({ path, outcome }) => path.endsWith("/embeddings") && outcome === "answered",
    );
    expect(
      answered
        .flatMap(({ body }) => body["input"])
        .map(String)
        .toSorted(),
    ).toEqual(texts.toSorted());
  });

  it("is sent again in a storm of all kinds of failures", async () => {
    await using site = await startSite(
      { flavour: "bigmodel", say },
      { maxConcurrency: 6, rules: { maxAttempts: 50, firstPauseMs: 1, longestPauseMs: 4 } },
    );
    await ask(site, ["before"]);
    const names = Array.from({ length: 120 }, (_, index) => `item ${index}.`);
    const faults: Fault[] = names.flatMap((_, index) => [
      { kind: "error", status: 429, code: index % 2 === 0 ? "1302" : "1305" },
      { kind: "cut", afterTokens: index % 3 },
      { kind: "errorInStream", code: "1303", event: index % 2 === 0 },
      { kind: "reset" },
    ]);
    site.server.failNext(...faults.slice(0, 200));
    const { results, error } = await ask(site, names, { parameters: { maxNewTokens: 100 } });
    expect(error).toBeUndefined();
    expect(results.map(({ output }) => output)).toEqual(names.map(text));
    expect(site.server.sentAgainAfterAnswer()).toEqual([]);
    expect(site.server.mostOpen).toBeLessThanOrEqual(6);
  });
});

describe("a run", () => {
  it("takes no more items than it has room for", async () => {
    await using site = await startSite({ flavour: "vllm", say }, { maxConcurrency: 2 });
    let taken = 0;
    async function* items(): AsyncGenerator<ParsedItem> {
      for (; taken < 100; taken++) yield { item: taken, text: `item ${taken}.` };
    }
    const results = site.engine.infer({
      model: site.model,
      type: "text-generation",
      items: items(),
      parameters: {},
      signal: AbortSignal.timeout(20_000),
    });
    await results.next();
    await sleep(200);
    expect(taken).toBeLessThan(8);
    await results.return(undefined);
    await sleep(100);
    expect(taken).toBeLessThan(8);
  });

  it("ends when it is aborted, and leaves no request behind", async () => {
    await using site = await startSite({ flavour: "vllm", say });
    await ask(site, ["before"]);
    site.server.failNext({ kind: "slow", ms: 3000 });
    const stop = new AbortController();
    const run = ask(site, ["question"], { signal: stop.signal });
    await expect.poll(() => site.server.asked("question").length).toBe(1);
    stop.abort();
    expect((await run).error).toMatchObject({ code: "Aborted" });
    await expect.poll(() => site.server.asked("question")[0]?.outcome).toBe("cut");
  });

  it("passes errors of the parser through, and waits for items that come late", async () => {
    await using site = await startSite({ flavour: "vllm", say });
    async function* items(): AsyncGenerator<ParsedItem> {
      yield { item: 0, text: "early" };
      yield { item: 1, error: { code: "ItemInvalid", message: "no text" } };
      await sleep(200);
      yield { item: 2, text: "late" };
    }
    const { results } = await ask(site, items());
    expect(results[0]?.output).toEqual(text("early"));
    expect(results[1]?.error).toEqual({ code: "ItemInvalid", message: "no text" });
    expect(results[2]?.output).toEqual(text("late"));
  });

  it("counts the tokens that it used", async () => {
    await using site = await startSite({ flavour: "bigmodel", say, thinks: true });
    await ask(site, ["question"]);
    const [used] = site.engine.usage();
    expect(used?.usage.answers).toBe(
      site.server.requests.filter(({ outcome }) => outcome === "answered").length,
    );
    expect(used?.usage.promptTokens).toBeGreaterThan(0);
    expect(used?.usage.completionTokens).toBeGreaterThan(0);
  });

  it("needs its key, and says where to put it", async () => {
    await using site = await startSite({ flavour: "bigmodel", key: KEY, say });
    const model = { ...site.model, endpoint: { ...site.model.endpoint, keyName: "other-key" } };
    const { error } = await ask({ engine: site.engine, model }, ["question"]);
    expect(error).toMatchObject({
      code: "EndpointKeyMissing",
      message: expect.stringContaining("other-key"),
    });
    expect(site.server.requests).toEqual([]);
    expect(await site.engine.keyNames()).toContain("test-key");
  });

  it("of a type that takes prompts needs one, and a usable one", async () => {
    await using site = await startSite({ flavour: "vllm", say });
    const without = await ask(site, ["question"], { type: "summarization", prompts: [] });
    expect(without.error).toMatchObject({ code: "PromptNeeded" });
    const broken = {
      name: "broken",
      taskType: "summarization" as const,
      language: "any" as const,
      template: "{{ text }} {{ tone }}",
      variables: {},
      examples: [],
    };
    const { error } = await ask(site, ["question"], { type: "summarization", prompts: [broken] });
    expect(error).toMatchObject({ code: "PromptInvalid", message: expect.stringContaining("tone") });
    expect(site.server.requests).toEqual([]);
  });
});
