import { spawn } from "node:child_process";
import { cp, mkdtemp, rm, truncate } from "node:fs/promises";
import { getPriority, tmpdir } from "node:os";
import path from "node:path";
import { setImmediate } from "node:timers/promises";
import { afterAll, beforeAll, describe, expect, test, vi } from "vitest";
import { hasErrorCode, itemResultSchema, type ErrorCode, type ItemResult, type TaskType } from "@autoglm/api";
import { collect, infer, inferenceProcesses, itemsOf, slowModel, startEngine } from "./harness.ts";
import { sampleModel } from "./models.ts";

let folder: string;
beforeAll(async () => {
  folder = await mkdtemp(path.join(tmpdir(), "autoglm-engine-"));
});
afterAll(() => rm(folder, { recursive: true }));

const type = "text-classification";
const FAST = "快";
const SLOW = "慢".repeat(8);
const ENDLESS = "停";

/** A fast item, and others once the result of the first is taken, so that they are at work when the caller is told. */
function oneThen(...others: string[]) {
  const release = Promise.withResolvers<void>();
  const queued = Promise.withResolvers<void>();
  async function* items() {
    yield { item: 0, text: FAST };
    await release.promise;
    yield* others.map((text, index) => ({ item: index + 1, text }));
    queued.resolve();
  }
  const takeFirst = async (results: AsyncIterable<ItemResult>) => {
    const iterator = results[Symbol.asyncIterator]();
    await iterator.next();
    release.resolve();
    await queued.promise;
    await setImmediate();
    return iterator;
  };
  return { items: items(), takeFirst };
}

const failsWith = (code: ErrorCode) => (error: unknown) => hasErrorCode(error, code);
const signal = () => AbortSignal.timeout(50_000);

describe("a process that fails", () => {
  test("killed in the middle of a run, it loses no item", async () => {
    await using engine = startEngine();
    const { items, takeFirst } = oneThen(...Array<string>(20).fill(SLOW));
    const results = await takeFirst(infer(engine, { model: slowModel, type, items }));
    for (const pid of inferenceProcesses()) process.kill(pid, "SIGKILL");
    const rest: ItemResult[] = [];
    for (let next = await results.next(); next.done !== true; next = await results.next())
      rest.push(next.value);
    const numbers = rest.map(({ item }) => item).sort((a, b) => a - b);
    expect(numbers).toEqual(Array.from({ length: 20 }, (_, index) => index + 1));
    expect(rest.every(({ output }) => output !== undefined)).toBe(true);
  });

  test("an item that never ends gets an error by itself", async () => {
    await using engine = startEngine({ itemTimeoutMs: 1000 });
    const texts = Array<string>(40).fill(FAST);
    texts[17] = ENDLESS;
    const results = await collect(infer(engine, { model: slowModel, type, texts }));
    expect(results.filter(({ output }) => output !== undefined).length).toBe(39);
    expect(results[17]?.error?.code).toBe("InferenceTimedOut");
  });

  test("the inference processes end with the agent, even when it is killed", async () => {
    const script = `
      const { slowModel, startEngine } = await import(${JSON.stringify(path.join(import.meta.dirname, "harness.ts"))});
      await startEngine().load(slowModel, AbortSignal.timeout(50_000));
      process.stdout.write("loaded");
    `;
    const parent = spawn(process.execPath, ["--input-type=module", "--eval", script], {
      stdio: ["ignore", "pipe", "inherit"],
    });
    await new Promise((resolve) => parent.stdout.once("data", resolve));
    const children = inferenceProcesses(parent.pid);
    expect(children.length).toBe(2);
    parent.kill("SIGKILL");
    const alive = () => children.filter((pid) => isAlive(pid));
    await vi.waitFor(() => expect(alive()).toEqual([]), { timeout: 20_000 });
  });
});

function isAlive(pid: number): boolean {
  try {
    return process.kill(pid, 0);
  } catch {
    return false;
  }
}

test("the event loop turns while a run takes its time", async () => {
  await using engine = startEngine();
  await engine.load(slowModel, signal());
  let turns = 0;
  const ticker = setInterval(() => turns++, 1);
  await collect(infer(engine, { model: slowModel, type, texts: [SLOW] }));
  clearInterval(ticker);
  expect(turns).toBeGreaterThan(10);
});

test("an inference process with a model gives way to the agent", async () => {
  await using engine = startEngine();
  const own = getPriority();
  await engine.load(slowModel, signal());
  const [loaded = 0] = inferenceProcesses()
    .map((pid) => getPriority(pid) - own)
    .toSorted((a, b) => b - a);
  expect(loaded).toBeGreaterThan(0);
});

test.each([
  ["throughput", 2],
  ["latency", 1],
] as const)(
  "under load a small model has with the hint %s %i processes of two threads",
  async (performanceHint, most) => {
    await using engine = startEngine({ performanceHint });
    let processes = 0;
    for await (const _ of infer(engine, {
      model: slowModel,
      type,
      texts: Array.from({ length: 400 }, () => SLOW),
    }))
      processes = Math.max(processes, engine.stateOf(slowModel)?.processes ?? 0);
    expect(processes).toBe(most);
  },
);

test("loads once, and says how long it took", async () => {
  await using engine = startEngine();
  const first = await engine.load(slowModel, signal());
  expect(first.loadMs).toBeGreaterThan(0);
  await engine.measureMemory();
  expect(engine.reports()[0]?.memoryBytes).toBeGreaterThan(10_000_000);
  expect(await engine.load(slowModel, signal())).toEqual({ loadMs: 0 });
  await collect(infer(engine, { model: slowModel, type, texts: [FAST] }));
  expect(engine.reports()).toMatchObject([{ model: "slow-classifier", variant: "fp32" }]);
  expect(engine.reports()[0]?.itemMs).toBeGreaterThan(0);
  expect(engine.usedBytes()).toBeGreaterThanOrEqual(engine.reports()[0]?.memoryBytes ?? 0);
});

describe("models that can't be loaded", () => {
  const copyOfSlow = async (name: string, digest = name) => {
    const directory = path.join(folder, name);
    await cp(slowModel.directory, directory, { recursive: true });
    return { ...slowModel, directory, digest };
  };

  test("are said to be so, and others go on", async () => {
    await using engine = startEngine();
    const cut = await copyOfSlow("cut");
    await truncate(path.join(cut.directory, "model.onnx"), 500);
    const unnamed = await copyOfSlow("unnamed");
    await rm(path.join(unnamed.directory, "pipeline.json"));
    const missing = { ...slowModel, directory: path.join(folder, "missing"), digest: "missing" };
    const huge = { ...slowModel, memoryBytes: 2 ** 50, digest: "huge" };
    for (const model of [cut, unnamed, missing, huge]) {
      await expect(engine.load(model, signal())).rejects.toSatisfy(failsWith("ModelLoadFailed"));
      const results = collect(infer(engine, { model, type, texts: [FAST] }));
      await expect(results).rejects.toSatisfy(failsWith("ModelLoadFailed"));
    }
    expect((await collect(infer(engine, { model: slowModel, type, texts: [FAST] }))).length).toBe(1);
  });

  test("a model is not asked for a task that it does not do", async () => {
    await using engine = startEngine();
    const results = collect(infer(engine, { model: slowModel, type: "text-generation", texts: [FAST] }));
    await expect(results).rejects.toSatisfy(failsWith("ModelDoesNotServeType"));
  });

  test("a classifier with labels of its own refuses others before it reads an item", async () => {
    await using engine = startEngine();
    let isRead = false;
    async function* items() {
      isRead = true;
      yield* itemsOf([FAST]);
    }
    const parameters = { candidateLabels: ["sport", "economy"] };
    const refused = infer(engine, { model: slowModel, type, items: items(), parameters });
    await expect(collect(refused)).rejects.toSatisfy(failsWith("ParametersInvalid"));
    expect(isRead).toBe(false);
  });

  test("a model that vanished while its process was lost ends the request instead of hanging it", async () => {
    await using engine = startEngine({ threads: 1 });
    const model = await copyOfSlow("vanishing");
    const { items, takeFirst } = oneThen(ENDLESS);
    const results = await takeFirst(infer(engine, { model, type, items }));
    await rm(model.directory, { recursive: true });
    for (const pid of inferenceProcesses()) process.kill(pid, "SIGKILL");
    await expect(results.next()).rejects.toSatisfy(failsWith("ModelLoadFailed"));
  });
});

describe("memory", () => {
  test("models take turns where only one fits, and nothing is lost", async () => {
    await using engine = startEngine({ memoryBudgetBytes: 1.5 * slowModel.memoryBytes });
    const models = ["a", "b", "c"].map((digest) => ({ ...slowModel, name: digest, digest }));
    const texts = Array<string>(20).fill(FAST);
    const all = await Promise.all(models.map((model) => collect(infer(engine, { model, type, texts }))));
    expect(all.map(({ length }) => length)).toEqual([20, 20, 20]);
    expect(engine.reports().length).toBe(1);
  });

  test("the model that was used longest ago goes first", async () => {
    await using engine = startEngine({ memoryBudgetBytes: 2.5 * slowModel.memoryBytes, threads: 1 });
    const use = (digest: string) => {
      return collect(infer(engine, { model: { ...slowModel, name: digest, digest }, type, texts: [FAST] }));
    };
    for (const name of ["a", "b", "a", "c"]) await use(name);
    expect(engine.reports().map(({ model }) => model)).toEqual(["a", "c"]);
  });

  test("on a card each process counts with what CUDA takes besides", async () => {
    const onCard = { budgetKind: "gpu", executionProviders: ["cuda", "cpu"] } as const;
    const mebibyte = 1024 * 1024;
    await using small = startEngine({ ...onCard, memoryBudgetBytes: 672 * mebibyte });
    const { signal } = new AbortController();
    await expect(small.load(slowModel, signal)).rejects.toThrow(
      `needs ${slowModel.memoryBytes + 672 * mebibyte} bytes of memory, ${672 * mebibyte} of them for CUDA`,
    );
    await using larger = startEngine({ ...onCard, memoryBudgetBytes: 1000 * mebibyte });
    for (const digest of ["a", "b"]) await larger.load({ ...slowModel, name: digest, digest }, signal);
    expect(larger.reports().map(({ model }) => model)).toEqual(["b"]);
    // There is no card here.
    expect(larger.stateOf({ ...slowModel, name: "b", digest: "b" })).toMatchObject({
      provider: "cpu",
      fallbackReason: expect.stringContaining("libonnxruntime_providers_cuda.so"),
    });
  });

  test("a model gets the room that was made for it, also from one that has more work than processes", async () => {
    await using engine = startEngine({ memoryBudgetBytes: 2.5 * slowModel.memoryBytes });
    const stop = new AbortController();
    function* endless() {
      for (;;) yield SLOW;
    }
    const busy = infer(engine, { model: slowModel, type, texts: endless(), signal: stop.signal });
    const reading = (async () => {
      for await (const _ of busy);
    })();
    await vi.waitFor(() => expect(engine.stateOf(slowModel)?.processes).toBe(2), { timeout: 20_000 });
    const other = { ...slowModel, name: "other", digest: "other" };
    const [result] = await collect(infer(engine, { model: other, type, texts: [FAST] }));
    expect(result?.output).toBeDefined();
    stop.abort();
    await expect(reading).rejects.toSatisfy(failsWith("Aborted"));
  });

  test("a model that is unloaded while it loads serves whoever comes then, with one process", async () => {
    await using engine = startEngine();
    const loading = engine.load(slowModel, AbortSignal.timeout(1));
    await expect(loading).rejects.toSatisfy(failsWith("Aborted"));
    await engine.unload(slowModel);
    const [result] = await collect(infer(engine, { model: slowModel, type, texts: [FAST] }));
    expect(result?.output).toBeDefined();
    // And the spare one.
    await vi.waitFor(() => expect(inferenceProcesses().length).toBe(2));
  });

  test("an online request waits for room no longer than its deadline", async () => {
    await using engine = startEngine({ memoryBudgetBytes: slowModel.memoryBytes });
    const { items, takeFirst } = oneThen(ENDLESS);
    await takeFirst(infer(engine, { model: slowModel, type, items }));
    const failed = Promise.withResolvers<unknown>();
    engine.submit({
      model: { ...slowModel, digest: "other" },
      item: { type, text: FAST, parameters: {} },
      deadline: performance.now() + 300,
      owner: { over: false, settle: failed.reject, fail: failed.resolve },
    });
    expect(await failed.promise).toSatisfy(failsWith("Timeout"));
  });

  test("an online request gets the room of a task, which goes on after it", async () => {
    await using engine = startEngine({ memoryBudgetBytes: slowModel.memoryBytes });
    const stop = new AbortController();
    const done: number[] = [];
    function* endless() {
      for (;;) yield FAST;
    }
    const task = (async () => {
      const results = infer(engine, { model: slowModel, type, texts: endless(), signal: stop.signal });
      for await (const { item } of results) done.push(item);
    })();
    await expect.poll(() => done.length).toBeGreaterThan(10);
    const other = { ...slowModel, name: "other", digest: "other" };
    const answer = () => {
      const answered = Promise.withResolvers<unknown>();
      engine.submit({
        model: other,
        item: { type, text: FAST, parameters: {} },
        deadline: performance.now() + 60_000,
        owner: { over: false, settle: answered.resolve, fail: answered.reject },
      });
      return answered.promise;
    };
    expect(await answer()).toMatchObject({ output: expect.anything() });
    const { length } = done;
    expect(engine.reports().map(({ model }) => model)).toEqual(["other"]);
    // In its turn the model stays for the next one.
    expect(await answer()).toMatchObject({ output: expect.anything() });
    expect(done.length).toBe(length);
    await expect.poll(() => done.length, { timeout: 30_000 }).toBeGreaterThan(length + 10);
    stop.abort();
    await expect(task).rejects.toSatisfy(failsWith("Aborted"));
    // Each once, the ones that waited while the model was away included.
    const sorted = done.toSorted((a, b) => a - b);
    expect(new Set(done).size).toBe(done.length);
    expect(sorted.slice(0, length)).toEqual(Array.from({ length }, (_, item) => item));
  });

  test("an online request is not stuck behind a task that waits for room", async () => {
    await using engine = startEngine({ memoryBudgetBytes: slowModel.memoryBytes });
    const stop = new AbortController();
    const model = (name: string) => ({ ...slowModel, name, digest: name });
    function* endless() {
      for (;;) yield FAST;
    }
    const done = { a: 0, b: 0 };
    const tasks = (["a", "b"] as const).map(async (name) => {
      const results = infer(engine, { model: model(name), type, texts: endless(), signal: stop.signal });
      for await (const _ of results) done[name]++;
    });
    await expect.poll(() => Math.max(done.a, done.b)).toBeGreaterThan(10);
    const answered = Promise.withResolvers<unknown>();
    engine.submit({
      model: model("c"),
      item: { type, text: FAST, parameters: {} },
      deadline: performance.now() + 40_000,
      owner: { over: false, settle: answered.resolve, fail: answered.reject },
    });
    expect(await answered.promise).toMatchObject({ output: expect.anything() });
    // Both tasks come to their room all the same.
    await expect.poll(() => Math.min(done.a, done.b), { timeout: 30_000 }).toBeGreaterThan(0);
    stop.abort();
    for (const task of tasks) await expect(task).rejects.toSatisfy(failsWith("Aborted"));
  });

  test("waiting for room ends with the signal", async () => {
    await using engine = startEngine({ memoryBudgetBytes: slowModel.memoryBytes });
    const { items, takeFirst } = oneThen(ENDLESS);
    await takeFirst(infer(engine, { model: slowModel, type, items }));
    const waiting = engine.load({ ...slowModel, digest: "other" }, AbortSignal.timeout(300));
    await expect(waiting).rejects.toSatisfy(failsWith("Aborted"));
  });
});

describe("requests", () => {
  test("read no more than they can queue, and close their source when they are left", async () => {
    await using engine = startEngine();
    let read = 0;
    let closed = false;
    async function* endless() {
      try {
        for (;;) yield { item: read++, text: FAST };
      } finally {
        closed = true;
      }
    }
    let taken = 0;
    for await (const _ of infer(engine, { model: slowModel, type, items: endless() }))
      if (++taken === 50) break;
    const readWhenLeft = read;
    expect(readWhenLeft).toBeLessThanOrEqual(taken + 256);
    await vi.waitFor(() => expect(closed).toBe(true));
    expect(read).toBeLessThanOrEqual(readWhenLeft + 1);
  });

  test("end at once when they are aborted, also in the middle of a run that never ends", async () => {
    await using engine = startEngine();
    const abort = new AbortController();
    const { items, takeFirst } = oneThen(ENDLESS);
    const iterator = await takeFirst(infer(engine, { model: slowModel, type, items, signal: abort.signal }));
    abort.abort();
    await expect(iterator.next()).rejects.toSatisfy(failsWith("Aborted"));
  });

  test("fail with what their source fails with, after the results before it", async () => {
    await using engine = startEngine();
    async function* failing() {
      yield* itemsOf([FAST, FAST]);
      throw new TypeError("broken source");
    }
    const results: ItemResult[] = [];
    const reading = async () => {
      for await (const result of infer(engine, { model: slowModel, type, items: failing() }))
        results.push(result);
    };
    await expect(reading()).rejects.toThrow("broken source");
    expect(results.length).toBe(2);
  });

  test("pass errors of the parser on, in their place", async () => {
    await using engine = startEngine();
    const error = { code: "ItemInvalid", message: "broken line" } as const;
    async function* items() {
      yield { item: 0, text: FAST };
      yield { item: 1, error };
    }
    const results = await collect(infer(engine, { model: slowModel, type, items: items() }));
    expect(results[0]?.output).toBeDefined();
    expect(results[1]).toEqual({ item: 1, stage: "final", ms: 0, error });
  });

  test("closing the engine ends what is open", async () => {
    const engine = startEngine();
    const { items, takeFirst } = oneThen(ENDLESS);
    const iterator = await takeFirst(infer(engine, { model: slowModel, type, items }));
    await engine.close();
    await expect(iterator.next()).rejects.toSatisfy(failsWith("Aborted"));
    expect(inferenceProcesses()).toEqual([]);
  });
});

test("a quick request does not wait for a long answer of another model", async () => {
  await using engine = startEngine();
  const generator = await sampleModel(folder, "smollm2-135m-instruct", "int4");
  await Promise.all([engine.load(generator, signal()), engine.load(slowModel, signal())]);
  const finished: string[] = [];
  const generation = collect(
    infer(engine, {
      model: generator,
      type: "text-generation",
      texts: ["Write a long story about a river."],
      parameters: { maxNewTokens: 100 },
    }),
  ).then(() => finished.push("generation"));
  await collect(infer(engine, { model: slowModel, type, texts: Array<string>(50).fill(FAST) }));
  finished.push("classification");
  await generation;
  expect(finished).toEqual(["classification", "generation"]);
});

test.each<[model: string, type: TaskType]>([
  ["zh-sentiment", "text-classification"],
  ["zh-ner", "token-classification"],
  ["smollm2-135m-instruct", "text-generation"],
])("%s answers hostile items, each with a result or an error of its own", async (name, type) => {
  await using engine = startEngine();
  const model = await sampleModel(folder, name);
  const texts = [
    "",
    " \u3000\n",
    "很".repeat(100_000),
    "a".repeat(100_000),
    "word ".repeat(20_000),
    "\uD800 alone \uDFFF",
    "\u0000\u0007\u001B[31m",
    "<|im_start|>system<|im_end|><|endoftext|>".repeat(3),
    "<|im_start|>".repeat(8000),
    "{{ messages }}{% for x in range(999999999) %}{% endfor %}",
    "\u202E\u200F\uFEFF\uFDD0",
    "ﷺ".repeat(2000),
    "👩‍👩‍👧‍👦".repeat(500),
    "__proto__ constructor toString",
    "好的，谢谢。",
  ];
  const results = await collect(infer(engine, { model, type, texts, parameters: { maxNewTokens: 4 } }));
  expect(results.length).toBe(texts.length);
  for (const result of results) {
    expect(itemResultSchema.parse(result)).toEqual(result);
    const outcome = result.error?.code ?? result.output?.type;
    expect(["ItemInvalid", "ItemTooLong", type]).toContain(outcome);
  }
  expect(results.at(-1)?.output).toBeDefined();
});
