import { mkdtemp, readdir, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { AutoglmError, gatePolicySchema, type GatePolicy, type ItemResult } from "@autoglm/api";
import { GateReplay, type GateLogRecord } from "@autoglm/core";
import { createLogger } from "@autoglm/telemetry";
import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import type { RunnableModel } from "../agent/ports.ts";
import type { ModelOnDisk } from "../models/model-store.ts";
import type { ParsedItem } from "../parse/index.ts";
import { GatedEngine, type GatedEngineOptions } from "./gated-engine.ts";
import { GateState } from "./gate-state.ts";
import { hardness, label, ScriptedEngine, type Script } from "./scripted-engine.test-support.ts";

const log = createLogger({ name: "gate-test", level: "silent" });
const model = (name: string): ModelOnDisk => ({
  name,
  variant: "fp32",
  directory: "/nowhere",
  contextLength: 128,
  memoryBytes: 1,
  digest: name,
});
/** A text says what each model makes of it: "sure", "doubtful" or "hard"; the deep model finds all of them good. */
const SCRIPTS: Record<"edge" | "deep" | "gate", Script> = {
  edge: ({ text }) =>
    text.includes("refused")
      ? { code: "ItemTooLong", message: "too long" }
      : label(text.includes("wrong") ? "bad" : "good", text.includes("doubtful") ? 0.6 : 0.95),
  deep: ({ text }) =>
    text.includes("unanswerable") ? { code: "EndpointUnavailable", message: "" } : label("good", 0.99),
  gate: ({ text }) => hardness(text.includes("hard") ? 0.9 : 0.1),
};

let folder: string;
const opened: GatedEngine[] = [];
beforeEach(async () => {
  folder = await mkdtemp(path.join(tmpdir(), "gate-"));
});
afterEach(async () => {
  // Whatever is still being written must not meet a folder that is gone.
  for (const gate of opened.splice(0)) await gate.close();
  await rm(folder, { recursive: true, force: true });
});

interface World {
  readonly engine: ScriptedEngine;
  readonly gate: GatedEngine;
  readonly run: (texts: readonly string[]) => Promise<ItemResult[]>;
}

async function openGate(
  policy: Partial<GatePolicy> = {},
  change: Partial<GatedEngineOptions> = {},
  scripts: Partial<typeof SCRIPTS> = {},
): Promise<World> {
  const engine = new ScriptedEngine({ ...SCRIPTS, ...scripts });
  const gate = await GatedEngine.open({
    engine,
    type: "text-classification",
    edge: model("edge"),
    deep: { name: "deep", variant: "fp32", isEndpoint: false, find: async () => model("deep") },
    preGate: model("gate"),
    policy: gatePolicySchema.parse({ hysteresis: 0, ...policy }),
    siteOnly: false,
    scope: "task.0",
    state: await GateState.open(path.join(folder, "gate"), log),
    log,
    random: () => 0.5,
    ...change,
  });
  opened.push(gate);
  const run = async (texts: readonly string[]) => {
    const results: ItemResult[] = [];
    const signal = AbortSignal.timeout(20_000);
    await gate.load(model("edge"), signal);
    const request = {
      model: model("edge") as RunnableModel,
      type: "text-classification",
      parameters: {},
    } as const;
    for await (const result of gate.infer({ ...request, items: itemsOf(texts), signal })) {
      results[result.item] = result;
    }
    return results;
  };
  return { engine, gate, run };
}

async function collect(results: AsyncIterable<ItemResult>): Promise<ItemResult[]> {
  const all: ItemResult[] = [];
  for await (const result of results) all.push(result);
  return all;
}

async function* itemsOf(texts: readonly string[]): AsyncGenerator<ParsedItem> {
  for (const [item, text] of texts.entries()) yield { item, text };
}

async function recordsOf(scope = "task.0"): Promise<GateLogRecord[]> {
  const text = await readFile(path.join(folder, "gate/decisions", `${scope}.jsonl`), "utf8");
  return text
    .trimEnd()
    .split("\n")
    .map((line): GateLogRecord => JSON.parse(line));
}

const routeOf = (result: ItemResult | undefined) => `${result?.answeredBy?.model} ${result?.gate?.rule}`;

describe("GatedEngine", () => {
  it("lets the edge answer what it is sure of, and the deep model the rest", async () => {
    const { run, engine } = await openGate();
    const results = await run(["sure", "doubtful", "hard", ""]);
    expect(results.map(routeOf)).toEqual([
      "edge Confident",
      "deep LowConfidence",
      "deep PredictedHard",
      "deep EmptyInput",
    ]);
    // A hard input never saw the edge model, an empty one no network.
    expect(engine.asked["edge"]?.toSorted()).toEqual(["doubtful", "sure"]);
    expect(engine.asked["gate"]?.toSorted()).toEqual(["doubtful", "hard", "sure"]);
    expect(results[1]?.gate).toMatchObject({
      route: "deep",
      policy: "1",
      pHard: 0.1,
      confidence: expect.closeTo(0.6, 6),
    });
  });

  it.each([
    ["Pre", ["edge PredictedEasy", "edge PredictedEasy", "deep PredictedHard"]],
    ["Post", ["edge Confident", "deep LowConfidence", "edge Confident"]],
  ] as const)("gates before or after the edge alone (%s)", async (mode, expected) => {
    const { run } = await openGate({ mode });
    expect((await run(["sure", "doubtful", "hard"])).map(routeOf)).toEqual(expected);
  });

  it("neither finds nor loads the deep model before the gate opens", async () => {
    let found = 0;
    const deep = {
      name: "deep",
      variant: "fp32",
      isEndpoint: false,
      find: async () => {
        found++;
        return model("deep");
      },
    };
    const { run, engine } = await openGate({}, { deep });
    await run(["sure", "sure too"]);
    expect([found, engine.loaded.includes("deep")]).toEqual([0, false]);
    await run(["hard", "hard too"]);
    await run(["hard again"]);
    expect([found, engine.loaded.filter((name) => name === "deep")]).toEqual([1, ["deep"]]);
  });

  it("never asks the deep model for a SiteOnly input", async () => {
    const { run, engine } = await openGate({ auditShare: 1 }, { siteOnly: true });
    const results = await run(["sure", "doubtful", "hard", "", "refused"]);
    expect(results.map(routeOf)).toEqual([
      "edge Confident",
      "edge SiteOnly",
      "edge SiteOnly",
      "edge SiteOnly",
      "edge SiteOnly",
    ]);
    expect(engine.asked["deep"]).toBeUndefined();
    expect(engine.loaded).not.toContain("deep");
  });

  it("keeps the edge's answer where the deep model gives none, and asks it again after a pause alone", async () => {
    let nowMs = 0;
    const { run, engine } = await openGate({}, { now: () => nowMs });
    expect((await run(["doubtful unanswerable"])).map(routeOf)).toEqual(["edge DeepFailed"]);
    expect((await run(["doubtful", "hard"])).map(routeOf)).toEqual(["edge LinkDown", "edge LinkDown"]);
    expect(engine.asked["deep"]).toHaveLength(1);
    nowMs = 1000;
    expect((await run(["doubtful"])).map(routeOf)).toEqual(["deep LowConfidence"]);
    expect((await run(["doubtful", "hard"])).map(routeOf)).toEqual([
      "deep LowConfidence",
      "deep PredictedHard",
    ]);
  });

  it("gives the edge's answer to a hard input that the deep model failed on as a whole", async () => {
    const { run } = await openGate({}, {}, { deep: () => Promise.reject(new Error("gone")) });
    const results = await run(["hard 1", "hard 2", "doubtful", "sure"]);
    expect(results.map(({ answeredBy }) => answeredBy?.model)).toEqual(["edge", "edge", "edge", "edge"]);
    for (const result of results.slice(0, 3)) expect(["DeepFailed", "LinkDown"]).toContain(result.gate?.rule);
  });

  it("tries to load the deep model again when it could not be loaded", async () => {
    let nowMs = 0;
    const { run, engine } = await openGate({}, { now: () => nowMs });
    engine.loadFailures["deep"] = 1;
    expect((await run(["hard"])).map(routeOf)).toEqual(["edge DeepFailed"]);
    nowMs = 1000;
    expect((await run(["hard"])).map(routeOf)).toEqual(["deep PredictedHard"]);
  });

  it("asks the deep model where the edge has no answer, and gives the edge's error where neither has", async () => {
    const { run } = await openGate();
    const results = await run(["refused", "refused unanswerable"]);
    expect(results.map(routeOf)).toEqual(["deep EdgeFailed", "edge DeepFailed"]);
    expect(results[1]?.error?.code).toBe("ItemTooLong");
  });

  it("goes on without predictions when its network fails", async () => {
    const { run } = await openGate({}, {}, { gate: () => Promise.reject(new Error("no network")) });
    expect((await run(["sure", "hard", "doubtful"])).map(routeOf)).toEqual([
      "edge Confident",
      "edge Confident",
      "deep LowConfidence",
    ]);
  });

  it("ends with the error of an edge model that fails as a whole", async () => {
    const { run } = await openGate({}, {}, { edge: () => Promise.reject(new Error("edge is gone")) });
    await expect(run(["sure"])).rejects.toThrow("edge is gone");
  });

  it("cuts labels after it has looked at the lead of the first", async () => {
    const { gate } = await openGate();
    const parameters = { topK: 1 };
    const request = { model: model("edge"), type: "text-classification", parameters } as const;
    const signal = AbortSignal.timeout(5000);
    const results = await collect(gate.infer({ ...request, items: itemsOf(["sure"]), signal }));
    expect(results[0]?.output).toMatchObject({ labels: [{ label: "good" }] });
    expect(results[0]?.gate?.margin).toBeCloseTo(0.9, 6);
  });

  it("ends at once when nobody wants the answers any more", async () => {
    const stop = new AbortController();
    const { gate } = await openGate({}, {}, { deep: () => new Promise(() => undefined) });
    const request = { model: model("edge"), type: "text-classification", parameters: {} } as const;
    const results = gate.infer({ ...request, items: itemsOf(["hard"]), signal: stop.signal });
    setTimeout(() => stop.abort(), 20);
    await expect(collect(results)).rejects.toMatchObject({ code: "Aborted" });
  });
});

describe("budget", () => {
  const texts = Array.from(
    { length: 400 },
    (_, index) => `${index % 2 === 0 ? "hard" : "doubtful"} ${index}`,
  );

  it("holds while many requests escalate at once", async () => {
    const { gate, engine } = await openGate({ budget: { maxEscalations: 37 } });
    const signal = AbortSignal.timeout(20_000);
    const request = { model: model("edge"), type: "text-classification", parameters: {}, signal } as const;
    const requests = Array.from({ length: 8 }, () => gate.infer({ ...request, items: itemsOf(texts) }));
    const results = (await Promise.all(requests.map((results) => collect(results)))).flat();
    expect(results).toHaveLength(3200);
    expect(engine.asked["deep"]).toHaveLength(37);
    const rules = Map.groupBy(results, ({ gate }) => gate?.rule);
    expect(results.filter(({ gate }) => gate?.route === "deep")).toHaveLength(37);
    expect(rules.get("EscalationsSpent")).toHaveLength(3200 - 37);
  });

  it("counts a token for every byte that a tokenizer might make one of", async () => {
    const deep = { name: "deep", variant: "fp32", isEndpoint: true, find: async () => model("deep") };
    // Twice 64 for the template, 512 for the answer and the bytes of the text: 1164 to 1174 each.
    const { run, engine } = await openGate({ budget: { maxTokens: 3 * 1174 } }, { deep });
    await run(texts.slice(0, 50));
    expect(engine.asked["deep"]).toHaveLength(3);
  });

  it("holds as a share of the items seen", async () => {
    const { run, engine } = await openGate({ budget: { maxShare: 0.1 } });
    await run(texts);
    expect(engine.asked["deep"]?.length).toBeGreaterThan(0);
    expect(engine.asked["deep"]?.length).toBeLessThanOrEqual(40);
  });

  it("is not given anew to a process that starts again after a kill", async () => {
    const first = await openGate({ budget: { maxEscalations: 40 } });
    await first.run(texts.slice(0, 5));
    // Not closed: what is on the disk is what a kill leaves.
    const second = await openGate({ budget: { maxEscalations: 40 } });
    await second.run(texts);
    const escalated = [first, second].map(({ engine }) => engine.asked["deep"]?.length ?? 0);
    expect(escalated[0]! + escalated[1]!).toBeLessThanOrEqual(40);
  });

  it("loses nothing when it is closed in order", async () => {
    const first = await openGate({ budget: { maxEscalations: 40 } });
    await first.run(texts.slice(0, 5));
    await first.gate.close();
    const second = await openGate({ budget: { maxEscalations: 40 } });
    await second.run(texts);
    expect(second.engine.asked["deep"]).toHaveLength(35);
  });

  it("counts an escalation of which nobody knows whether it was answered", async () => {
    const lost = new AutoglmError("EndpointUnavailable", "scripted", { details: { items: [0] } });
    const first = await openGate({ budget: { maxEscalations: 3 } }, {}, { deep: () => Promise.reject(lost) });
    await first.run(["hard"]);
    await first.gate.close();
    const second = await openGate({ budget: { maxEscalations: 3 } });
    await second.run(texts.slice(0, 20));
    expect(second.engine.asked["deep"]).toHaveLength(2);
  });

  it("sends nothing that got its edge answer while the disk was slow", async () => {
    const state = await GateState.open(path.join(folder, "gate"), log);
    const disk = Promise.withResolvers<void>();
    const save = state.saveSpent.bind(state);
    let writes = 0;
    let written = 0;
    state.saveSpent = async (...spent) => {
      // The second block of escalations waits.
      if (++writes === 2) await disk.promise;
      await save(...spent);
      written++;
    };
    const down = Promise.withResolvers<void>();
    const deep = () => down.promise.then(() => Promise.reject(new Error("gone")));
    const { gate, engine } = await openGate({ budget: { maxEscalations: 100 } }, { state }, { deep });
    const more = Promise.withResolvers<void>();
    const end = Promise.withResolvers<void>();
    async function* items(): AsyncGenerator<ParsedItem> {
      for (let item = 0; item < 50; item++) {
        if (item === 5) await more.promise;
        yield { item, text: `hard ${item}` };
      }
      await end.promise;
    }
    const signal = AbortSignal.timeout(20_000);
    const request = { model: model("edge"), type: "text-classification", parameters: {}, signal } as const;
    const results: ItemResult[] = [];
    const running = (async () => {
      for await (const result of gate.infer({ ...request, items: items() })) results.push(result);
    })();
    await expect.poll(() => engine.asked["deep"]?.length).toBe(5);
    more.resolve();
    await expect.poll(() => writes).toBe(2);
    const sent = engine.asked["deep"]?.length;
    down.resolve();
    await expect.poll(() => results.length).toBe(50);
    disk.resolve();
    await expect.poll(() => written).toBe(2);
    // Long enough for a model in memory to be asked.
    await sleep(50);
    end.resolve();
    await running;
    expect(results.every(({ answeredBy }) => answeredBy?.model === "edge")).toBe(true);
    expect(engine.asked["deep"]).toHaveLength(sent ?? 0);
  });

  it("is spent where its file is damaged", async () => {
    await (await openGate({ budget: { maxEscalations: 40 } })).run(texts.slice(0, 5));
    await writeFile(path.join(folder, "gate/budget/task.0.json"), "{");
    const { run, engine } = await openGate({ budget: { maxEscalations: 40 } });
    await run(texts.slice(0, 5));
    expect(engine.asked["deep"]).toBeUndefined();
  });
});

describe("audits", () => {
  const sureButWrong = Array.from({ length: 60 }, (_, index) => `wrong ${index}`);

  it("give the deep model's answer and teach the gate, beyond a kill", async () => {
    const first = await openGate({ auditShare: 0.6 });
    expect(routeOf((await first.run(sureButWrong))[0])).toBe("deep Audit");
    // Sure at 0.95 and always another answer than the deep model's: then the gate doubts it by itself.
    expect(routeOf((await first.run(["wrong after that"]))[0])).toBe("deep LowConfidence");
    // Not closed; what was learned is written as it is learned.
    await expect.poll(() => learnedOutcomes()).toBe(61);
    const second = await openGate({ auditShare: 0 });
    expect((await second.run(["wrong again"])).map(routeOf)).toEqual(["deep LowConfidence"]);
  });

  it("draw their share alone", async () => {
    let draw = 0;
    const { run } = await openGate({ auditShare: 0.25 }, { random: () => (draw++ % 4) / 4 });
    const results = await run(Array.from({ length: 40 }, (_, index) => `sure ${index}`));
    expect(results.filter(({ gate }) => gate?.rule === "Audit")).toHaveLength(10);
  });

  it("teach all gates with the same edge model at once, and each log replays alone", async () => {
    const state = await GateState.open(path.join(folder, "gate"), log);
    const one = await openGate({ auditShare: 0.6 }, { state, scope: "one.0" });
    const other = await openGate({ auditShare: 0.6 }, { state, scope: "other.0" });
    await Promise.all([one.run(sureButWrong), other.run(sureButWrong.slice(0, 40))]);
    await one.run(["wrong after that"]);
    await one.gate.close();
    expect(routeOf((await other.run(["wrong after that"]))[0])).toBe("deep LowConfidence");
    await other.gate.close();
    expect(await learnedOutcomes()).toBe(102);
    for (const scope of ["one.0", "other.0"]) {
      const replay = new GateReplay();
      expect((await recordsOf(scope)).map((record) => replay.next(record)).filter(Boolean)).toEqual([]);
      expect(replay.outcomes).toBeGreaterThan(100);
    }
  });

  async function learnedOutcomes(): Promise<number> {
    const [file] = (await readdir(path.join(folder, "gate/learned"))).filter((name) =>
      name.endsWith(".json"),
    );
    if (file === undefined) return 0;
    return JSON.parse(await readFile(path.join(folder, "gate/learned", file), "utf8")).outcomes;
  }
});

describe("decision log", () => {
  it("has every decision, and a replay reproduces each, across a restart", async () => {
    const texts = [
      "sure",
      "doubtful",
      "hard",
      "wrong",
      "",
      "doubtful unanswerable",
      "refused",
      "wrong doubtful",
    ];
    for (const round of [1, 2]) {
      const { run, gate } = await openGate({ auditShare: 0.6, hysteresis: 0.1 });
      await run([...texts, `sure ${round}`]);
      await gate.close();
    }
    const replay = new GateReplay();
    expect((await recordsOf()).map((record) => replay.next(record)).filter(Boolean)).toEqual([]);
    expect(replay.decisions).toBeGreaterThan(2 * texts.length);
    expect(replay.outcomes).toBeGreaterThan(2);
  });

  it("can be replayed part by part, whatever record a part ends with", async () => {
    for (let round = 0; round < 6; round++) {
      const scope = `task.${round}`;
      const state = await GateState.open(path.join(folder, "gate"), log, { logPartBytes: 3000 });
      const { run, gate } = await openGate({ auditShare: 0.6 }, { scope, state });
      for (let turn = 0; turn < 12 + round; turn++) await run([`wrong ${turn}`]);
      await gate.close();
      for (const part of [`${scope}.old`, scope]) {
        const replay = new GateReplay();
        expect((await recordsOf(part)).map((record) => replay.next(record)).filter(Boolean)).toEqual([]);
      }
    }
  });

  it("is closed where the budget can't be written down, and that is the error to know", async () => {
    const state = await GateState.open(path.join(folder, "gate"), log);
    const full = new Error("no space left on device");
    let isClosed = false;
    const openLog = state.openLog.bind(state);
    state.openLog = async (...options) => {
      const decisions = await openLog(...options);
      const close = decisions.close.bind(decisions);
      vi.spyOn(decisions, "close").mockImplementationOnce(async () => {
        await close();
        isClosed = true;
        throw new Error("the log could not be written down either");
      });
      return decisions;
    };
    const { run, gate } = await openGate({ budget: { maxEscalations: 3 } }, { state });
    await run(["hard"]);
    vi.spyOn(state, "saveSpent").mockRejectedValueOnce(full);
    await expect(gate.close()).rejects.toBe(full);
    expect(isClosed).toBe(true);
  });

  it("holds no text", async () => {
    const { run, gate } = await openGate({ auditShare: 1 });
    await run(["doubtful 秘密 secret", "hard 秘密 secret", "sure 秘密 secret"]);
    await gate.close();
    for (const file of await readdir(path.join(folder, "gate"), { recursive: true, withFileTypes: true })) {
      if (!file.isFile()) continue;
      const content = await readFile(path.join(file.parentPath, file.name), "utf8");
      expect(content).not.toMatch(/秘密|secret|doubtful/);
    }
  });
});
