/** What models, loads and runs do to each other, with processes that load and run as each test says. */
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { afterAll, beforeAll, expect, test } from "vitest";
import { AutoglmError } from "@autoglm/api";
import { createLogger } from "@autoglm/telemetry";
import type { PipelineItem } from "../pipelines/pipeline.ts";
import type { InferenceChild } from "./child.ts";
import { ModelLoader } from "./model-loader.ts";
import { OnlineQueue } from "./online-queue.ts";
import type { Serving } from "./protocol.ts";
import { TASK_RANK, type ItemOwner } from "./queued-item.ts";
import { Residency } from "./residency.ts";
import { Scheduler } from "./scheduler.ts";
import type { ModelOnDisk, ServedModel } from "./served-model.ts";

let directory: string;
beforeAll(() => {
  directory = mkdtempSync(path.join(tmpdir(), "autoglm-loading-"));
  writeFileSync(path.join(directory, "model.onnx"), "not read here");
});
afterAll(() => rmSync(directory, { recursive: true }));

const SERVING: Serving = {
  budget: 1,
  runUnits: 1,
  largestShapes: [],
  taskTypes: ["text-classification"],
  maxItems: 1,
  maxLength: 10,
  overlaps: false,
  provider: "cpu",
};
const ITEM: PipelineItem = { type: "text-classification", text: "x", parameters: {} };
const ANSWER = { output: { type: "text-classification", labels: [], scoreSource: "none" } };

interface Behaviour {
  /** @param die ends the process by itself @param nth load, from 1 */
  readonly load?: (nth: number, die: () => AutoglmError) => Promise<void>;
  readonly runMs?: number;
  /** Called for every start of a process, from 1. */
  readonly start?: (nth: number) => void;
}

/** The parts of the engine as it puts them together, a model of `bytes` needing as much of the budget. */
function engineOf(budgetBytes: number, { load, runMs = 5, start }: Behaviour = {}) {
  const models = new Map<string, ServedModel>();
  const count = { starts: 0, loads: 0 };
  function startProcess(): InferenceChild {
    start?.(++count.starts);
    const exited = Promise.withResolvers<AutoglmError>();
    const die = () => {
      const error = new AutoglmError("InferenceWorkerLost", "the inference process ended");
      process.alive = false;
      exited.resolve(error);
      return error;
    };
    const process = {
      alive: true,
      wasKilled: false,
      memoryBytes: 1,
      exited: exited.promise,
      onCalibrated: () => undefined,
      measureMemory: async () => undefined,
      async call({ kind }: { readonly kind: string }) {
        if (kind !== "load") {
          await sleep(runMs);
          return { kind: "done", results: [ANSWER] };
        }
        await (load?.(++count.loads, die) ?? sleep(5));
        return { kind: "loaded", serving: SERVING };
      },
      async kill() {
        process.wasKilled = true;
        die();
      },
    };
    void exited.promise.then(noteChange);
    return process as unknown as InferenceChild;
  }
  const noteChange = () => {
    residency.noteChange();
    scheduler.schedule();
  };
  const residency = new Residency(models, { budgetBytes, processOverheadBytes: 0 });
  const scheduler = new Scheduler(models, {
    threads: 2,
    silenceMs: 1000,
    onChange: noteChange,
    addProcess: (served) => loader.addProcess(served),
  });
  const loader = new ModelLoader({
    models,
    threads: 2,
    executionProviders: ["cpu"],
    // One process for each model, so that tests say when there is another.
    performanceHint: "latency",
    processes: { take: startProcess, keepSpare: () => undefined },
    residency,
    log: createLogger({ name: "loading-test", level: "silent" }),
    hasFreeThreads: (threads) => scheduler.hasFreeThreads(threads),
    onChange: noteChange,
  });
  const online = new OnlineQueue({
    limit: 100,
    find: ({ digest }) => models.get(digest),
    loader,
    nextSequence: () => scheduler.nextSequence(),
    schedule: () => scheduler.schedule(),
  });
  return {
    count,
    loader,
    async load(model: ModelOnDisk): Promise<ServedModel> {
      const served = loader.use(model);
      try {
        await loader.ensureLoaded(served);
        return served;
      } finally {
        loader.release(served);
      }
    },
    /** @returns how it ended */
    ask: (model: ModelOnDisk) =>
      new Promise<string>((resolve) => {
        const owner: ItemOwner = {
          over: false,
          settle: () => resolve("answered"),
          fail: ({ code }) => resolve(code),
        };
        online.submit({ model, item: ITEM, owner });
      }),
    enqueue(served: ServedModel, owner: ItemOwner): void {
      const sequence = scheduler.nextSequence();
      served.enqueue({ sequence, rank: TASK_RANK, item: ITEM, deadline: Infinity, owner });
      scheduler.schedule();
    },
  };
}

const modelOf = (name: string, memoryBytes: number): ModelOnDisk => ({
  name,
  variant: "cpu",
  directory,
  contextLength: 1,
  memoryBytes,
  digest: name,
});

/** Waits for it, or says that it took too long. */
const soon = <T>(promise: Promise<T>, ms = 3000) =>
  Promise.race([promise, sleep(ms, "still waits" as const)]);

function taskItem(): { readonly owner: ItemOwner; readonly ended: Promise<string> } {
  const { promise, resolve } = Promise.withResolvers<string>();
  const owner = {
    over: false,
    settle: () => resolve("answered"),
    fail: ({ code }: AutoglmError) => resolve(code),
  };
  return { owner, ended: promise };
}

test.each([
  ["ends while it loads", (die: () => AutoglmError) => die()],
  ["can't load", () => new AutoglmError("ModelLoadFailed", "no memory")],
])(
  "a further process that %s costs its model nothing, and is not started again and again",
  async (_, how) => {
    const engine = engineOf(10, {
      runMs: 300,
      load: async (nth, die) => {
        await sleep(5);
        if (nth > 1) throw how(die);
      },
    });
    const model = modelOf("a", 1);
    const served = await engine.load(model);
    const task = taskItem();
    engine.enqueue(served, task.owner);
    await sleep(20);
    // A task's run keeps the only process: worth a further one.
    expect(await soon(engine.ask(model))).toBe("answered");
    expect(await soon(task.ended)).toBe("answered");
    expect(served.setAside).toBeUndefined();
    expect(engine.count.loads).toBeGreaterThan(1);
    expect(engine.count.loads).toBeLessThanOrEqual(3);
  },
);

test("an online request is not stuck behind a task's load that waits for a busy model", async () => {
  const engine = engineOf(3);
  const busy = modelOf("busy", 2);
  const end = new AbortController();
  const client = async () => {
    while (!end.signal.aborted) expect(await engine.ask(busy)).toBe("answered");
  };
  const clients = [client(), client(), client()];
  await sleep(30);
  const task = engine.load(modelOf("of a task", 2));
  await sleep(20);
  expect(await soon(engine.ask(modelOf("fits", 1)))).toBe("answered");
  end.abort();
  await Promise.all(clients);
  task.catch(() => undefined);
});

test("a process that can't be started gives back what was reserved for it", async () => {
  const engine = engineOf(2, {
    start: (nth) => {
      if (nth === 1) throw new Error("spawn ENOMEM");
    },
  });
  await expect(engine.load(modelOf("a", 2))).rejects.toThrow("spawn ENOMEM");
  await expect(soon(engine.load(modelOf("b", 2)))).resolves.toMatchObject({ reservedProcesses: 1 });
});

test("nobody takes the room of a model between its load and its first run", async () => {
  const engine = engineOf(2);
  const loaded = engine.load(modelOf("a", 2));
  const other = engine.ask(modelOf("b", 2));
  const served = await loaded;
  await sleep(20);
  const task = taskItem();
  engine.enqueue(served, task.owner);
  expect(await soon(task.ended)).toBe("answered");
  served.turn.ends = 0;
  engine.loader.release(engine.loader.use(served.model));
  expect(await soon(other)).toBe("answered");
});

test("a load gets its room when what waited for the other model is dropped", async () => {
  const engine = engineOf(2, { runMs: 30 });
  const served = await engine.load(modelOf("a", 2));
  let isOver = false;
  const owner = {
    get over() {
      return isOver;
    },
    // Who asked for all of it goes in the turn of the event loop in which a run ends.
    settle: () => {
      isOver = true;
    },
    fail: () => undefined,
  };
  for (let item = 0; item < 3; item++) engine.enqueue(served, owner);
  await sleep(10);
  served.turn.ends = 0;
  await expect(soon(engine.load(modelOf("b", 2)))).resolves.toMatchObject({ processes: 1 });
});
